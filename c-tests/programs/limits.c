/*
 * Memory limits. Headers count, and their size differs, so the programs use
 * sizes that are decided either way; upstream's errors are named.
 */
#include "check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static char *root;

static void try_size(const char *title, const void *ctx, size_t size)
{
	void *p;

	errno = 0;
	p = talloc_size(ctx, size);
	printf("%s: %s%s\n", title, p == NULL ? "NULL" : "ok",
	       p == NULL && errno == ENOMEM ? ", ENOMEM" : "");
}

int main(void)
{
	char *a, *b, *p, *q, *pool;
	int i, count;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("set, and the line in a report");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	try_size("5000", a, 5000);
	try_size("9000", a, 9000);
	try_size("4000", a, 4000);
	try_size("4000", a, 4000);
	show(talloc_total_size(a));
	show(talloc_free(a));

	section("at every depth below");
	a = (char *)talloc_named_const(root, 0, "a");
	b = node(node(node(a, "1"), "2"), "3");
	show(talloc_set_memlimit(a, 10000));
	try_size("8000", b, 8000);
	try_size("8000", b, 8000);
	talloc_free(b);
	b = node(a, "b");
	try_size("8000", b, 8000);
	show(talloc_free(a));

	section("a limit below a limit: the outer");
	a = (char *)talloc_named_const(root, 0, "a");
	b = (char *)talloc_named_const(a, 0, "b");
	show(talloc_set_memlimit(a, 10000));
	show(talloc_set_memlimit(b, 100000));
	try_size("9000 in b", b, 9000);
	try_size("9000 in b", b, 9000);
	show(talloc_free(a));

	section("a limit below a limit: the inner");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 100000));
	b = (char *)talloc_named_const(a, 0, "b");
	show(talloc_set_memlimit(b, 10000));
	try_size("20000 in b", b, 20000);
	try_size("20000 in a", a, 20000);
	try_size("9000 in b", b, 9000);
	try_size("90000 in a", a, 90000);
	show(talloc_free(b));
	try_size("70000 in a", a, 70000);
	show(talloc_free(a));

	section("freed bytes come back");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	for (i = 0; i < 100; i++) {
		p = (char *)talloc_size(a, 9000);
		check(p != NULL);
		talloc_free(p);
	}
	puts("100 times 9000");
	show(talloc_free(a));

	section("what is there already counts");
	a = (char *)talloc_named_const(root, 0, "a");
	p = (char *)talloc_size(a, 8000);
	show(talloc_set_memlimit(a, 10000));
	try_size("5000", a, 5000);
	talloc_free(p);
	try_size("5000", a, 5000);
	show(talloc_free(a));

	section("realloc below a limit");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	p = (char *)talloc_size(a, 1000);
	q = (char *)talloc_realloc_size(a, p, 20000);
	show(q == NULL);
	show(talloc_get_size(p));
	q = (char *)talloc_realloc_size(a, p, 8000);
	show(q != NULL);
	show(talloc_get_size(q));
	try_size("5000", a, 5000);
	q = (char *)talloc_realloc_size(a, q, 1000);
	try_size("5000", a, 5000);
	show(talloc_free(a));

	section("stolen in");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	p = (char *)talloc_size(root, 8000);
	talloc_steal(a, p);
	try_size("5000", a, 5000);
	talloc_free(p);
	try_size("5000", a, 5000);
	show(talloc_free(a));

	section("stolen in, too large: it is taken");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	p = (char *)talloc_size(root, 80000);
	show(talloc_steal(a, (void *)p) == p);
	try_size("1", a, 1);
	talloc_free(p);
	try_size("1", a, 1);
	show(talloc_free(a));

	section("a pool counts once, its members do not");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	pool = (char *)talloc_pool(a, 8000);
	show(pool != NULL);
	for (i = 0, count = 0; i < 5; i++) {
		count += talloc_size(pool, 1000) != NULL;
	}
	show(count);
	try_size("4000 beside", a, 4000);
	talloc_free_children(pool);
	try_size("7000 inside", pool, 7000);
	show(talloc_pool(a, 8000) == NULL);
	show(talloc_free(a));

	section("a pool too large for the limit");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	errno = 0;
	show(talloc_pool(a, 20000) == NULL);
	show(errno == ENOMEM);
	show(talloc_free(a));

	section("strings and names below a limit");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 1000));
	p = talloc_strdup(a, "short");
	show(p != NULL);
	for (i = 0; i < 1000 && p != NULL; i++) {
		q = talloc_strdup_append(p, "0123456789");
		if (q == NULL) {
			break;
		}
		p = q;
	}
	show(i < 1000);
	show(strlen(p) + 1 == talloc_get_size(p));
	show(talloc_asprintf(a, "%2000d", 1) == NULL);
	show(talloc_named(a, 10, "%2000d", 1) == NULL);
	show(talloc_total_blocks(a));
	show(talloc_free(a));

	section("a limit of no bytes");
	a = (char *)talloc_named_const(root, 0, "a");
	printf("%d\n", talloc_set_memlimit(a, 0));
	try_size("1", a, 1);
	try_size("0", a, 0);
	show(talloc_free(a));

	section("set again: raised, lowered");
	a = (char *)talloc_named_const(root, 0, "a");
	show(talloc_set_memlimit(a, 10000));
	try_size("9000", a, 9000);
	try_size("9000", a, 9000);
	show(talloc_set_memlimit(a, 30000));
	try_size("9000", a, 9000);
	show(talloc_set_memlimit(a, 5000));
	try_size("1", a, 1);
	show(talloc_free(a));

	section("a limit on a string");
	p = talloc_strdup(root, "text");
	show(talloc_set_memlimit(p, 10000));
	try_size("9000", p, 9000);
	try_size("9000", p, 9000);
	show(talloc_free(p));

	show(talloc_total_blocks(root));
	talloc_free(root);
	return 0;
}
