/* A format that does not match its arguments. */
#include <talloc.h>

char *wrong(void *context);

char *wrong(void *context)
{
	return talloc_asprintf(context, "%s", 42);
}
