/* The result of a steal has the type of what was stolen. */
#include <talloc.h>

struct apple { int seeds; };
struct pear { int seeds; };

struct pear *wrong(void *context, struct apple *a);

struct pear *wrong(void *context, struct apple *a)
{
	return talloc_steal(context, a);
}
