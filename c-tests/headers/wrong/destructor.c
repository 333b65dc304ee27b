/* A destructor for another type. */
#include <talloc.h>

struct apple { int seeds; };
struct pear { int seeds; };

static int destroy(struct pear *p)
{
	return p->seeds;
}

void wrong(struct apple *a);

void wrong(struct apple *a)
{
	talloc_set_destructor(a, destroy);
}
