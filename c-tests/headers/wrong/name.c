/* A format of talloc_named that does not match its arguments. */
#include <talloc.h>

void *wrong(void *context);

void *wrong(void *context)
{
	return talloc_named(context, 10, "%d", "text");
}
