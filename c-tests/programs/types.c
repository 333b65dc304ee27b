/* Types by name: checks, aborts, and a handler that returns. */
#include "check.h"

struct apple { int seeds; };
struct pear { int seeds; };

static void mismatch(void)
{
	struct apple *a = talloc(NULL, struct apple);

	talloc_get_type_abort(a, struct pear);
	puts("not reached");
}

static void null_pointer(void)
{
	talloc_get_type_abort(NULL, struct pear);
	puts("not reached");
}

static void unnamed(void)
{
	talloc_get_type_abort(_talloc(NULL, 4), struct pear);
	puts("not reached");
}

static void print_reason(const char *reason)
{
	fputs("abort ", stdout);
	print_quoted(reason);
}

static void leave(const char *reason)
{
	print_reason(reason);
	fflush(stdout);
	_exit(3);
}

static void with_handler(void)
{
	talloc_set_abort_fn(leave);
	mismatch();
}

static void with_returning_handler(void)
{
	struct apple *a = talloc(NULL, struct apple);

	talloc_set_abort_fn(print_reason);
	show(talloc_get_type_abort(a, struct pear) == NULL);
	show(talloc_get_type_abort(NULL, struct pear) == NULL);
	show(talloc_get_type(a, struct apple) == a);
	talloc_free(a);
}

static void without_log(void)
{
	talloc_set_log_fn(NULL);
	mismatch();
}

int main(void)
{
	struct apple *a = talloc(NULL, struct apple);
	void *v = a;

	talloc_set_log_fn(log_line);
	section("right and wrong");
	show(talloc_get_type(v, struct apple) == a);
	show(talloc_get_type(v, struct pear) == NULL);
	show(talloc_get_type_abort(v, struct apple) == a);
	talloc_set_type(a, struct pear);
	show(talloc_get_type(v, struct apple) == NULL);
	show(talloc_get_type(v, struct pear) != NULL);
	show(talloc_find_parent_bytype(talloc_new(a), struct pear) != NULL);
	show(talloc_find_parent_bytype(talloc_new(a), struct apple) == NULL);
	talloc_free(a);

	section("aborts");
	in_child("mismatch", mismatch);
	in_child("NULL", null_pointer);
	in_child("unnamed", unnamed);
	in_child("with a handler", with_handler);
	in_child("with a handler that returns", with_returning_handler);
	in_child("without a log", without_log);
	return 0;
}
