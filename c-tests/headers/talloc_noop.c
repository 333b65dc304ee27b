/* The switches that are set before talloc.h is included. */
#define TALLOC_GET_TYPE_ABORT_NOOP
#define TALLOC_DEPRECATED 1
#define TALLOC_MAX_DEPTH 77
#define __location__ "elsewhere"
#include <talloc.h>

#if TALLOC_MAX_DEPTH != 77
#error "TALLOC_MAX_DEPTH was not kept"
#endif

struct item {
	int a;
};

int use_deprecated(void *context);

int use_deprecated(void *context)
{
	struct item *i = talloc_p(context, struct item);
	struct item *j = talloc_zero_p(context, struct item);
	struct item *k = talloc_array_p(context, struct item, 3);
	char *s = talloc_append_string(context, (char *)NULL, "text");

	k = talloc_realloc_p(context, k, struct item, 4);
	/* Without a check: no function is called. */
	i = talloc_get_type_abort((void *)j, struct item);
	return talloc_destroy(k) + (i == j) + (s == NULL) +
	       (__location__[0] == 'e' ? 0 : 1);
}
