/*
 * A program of our own library is told when it steals a context by what lies below it: NULL, one
 * log line, and nothing has moved.
 */
#include "pools.h"

/* Wants the call to give NULL, and one line that says why and where. */
#define expect_refusal(call, why)                                                  \
	do {                                                                       \
		ours_log[0] = '\0';                                                \
		check((call) == NULL);                                             \
		check(strstr(ours_log, why " at ") != NULL);                       \
		check(strchr(ours_log, '\n') == ours_log + strlen(ours_log) - 1);  \
		ours_log[0] = '\0';                                                \
	} while (0)

#define expect_ring(call) expect_refusal(call, "lies below it")

static void *steal_upwards(void *root)
{
	void *a = talloc_named_const(root, 10, "a");
	void *b = talloc_named_const(a, 20, "b");
	void *c = talloc_named_const(b, 30, "c");
	void *p = a;

	expect_ring(talloc_steal(b, a));
	expect_ring(talloc_steal(c, a));
	expect_ring(talloc_steal(c, b));
	expect_ring(talloc_move(c, &p));
	check(p == a);
	expect_ring(talloc_reparent(root, c, a));
	check(talloc_parent(a) == root && talloc_parent(b) == a && talloc_parent(c) == b);
	check(talloc_total_blocks(a) == 3 && talloc_total_size(a) == 60);
	return a;
}

static int steals_its_parent(char **inner)
{
	void *parent = talloc_parent(inner);

	expect_refusal(talloc_steal(inner, parent), "is being freed");
	return 0;
}

int main(void)
{
	void *root, *a, *p;
	int i;

	catch_faults();

	puts("below a context");
	root = talloc_named_const(NULL, 0, "root");
	a = steal_upwards(root);

	puts("the root itself");
	expect_ring(talloc_steal(a, root));
	p = root;
	expect_ring(talloc_move(a, &p));
	check(p == root);
	check(talloc_parent(root) == NULL && talloc_total_blocks(root) == 4);

	puts("where it says: the caller's place");
	ours_log[0] = '\0';
	check(talloc_steal(a, root) == NULL && strstr(ours_log, __FILE__) != NULL);

	puts("to itself: nothing");
	ours_log[0] = '\0';
	check(talloc_steal(a, a) == a && talloc_parent(a) == root);
	expect_silence();

	puts("from ten thousand levels down");
	p = a;
	for (i = 0; i < 10000; i++) {
		p = talloc_new(p);
	}
	expect_ring(talloc_steal(p, a));
	check(talloc_parent(a) == root && talloc_total_blocks(root) == 10004);

	puts("under the null context");
	talloc_enable_null_tracking();
	p = talloc_named_const(NULL, 0, "tracked");
	a = talloc_new(p);
	expect_ring(talloc_steal(a, p));
	check(talloc_parent(a) == p);
	check(talloc_free(p) == 0);
	talloc_disable_null_tracking();

	puts("in a pool, with a destructor, in a shared context");
	p = talloc_pool(root, 4096);
	check(talloc_free(steal_upwards(p)) == 0);
	a = steal_upwards(root);
	talloc_set_destructor((char **)talloc_new(a), steals_its_parent);
	check(talloc_free(a) == 0);
	p = tm_shared_context(NULL, "shared");
	check(talloc_free(steal_upwards(p)) == 0);
	expect_ring(talloc_steal(talloc_new(p), p));
	check(talloc_free(p) == 0);

	check(talloc_free(root) == 0);
	expect_no_fault();
	return 0;
}
