/* tmempool.h brings talloc.h along, in either order, once and twice. */
#include <tmempool.h>
#include <talloc.h>
#include <tmempool.h>

const char *version_of_both(void *context);

const char *version_of_both(void *context)
{
	return talloc_version_major() == 2 ? tm_version() : talloc_strdup(context, "other");
}
