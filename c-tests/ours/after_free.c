/*
 * Use after free is recognised, whatever the chunk was freed with: alone, with
 * its parent, with a pool and its hundred thousand members at once.
 */
#include "ours.h"

enum { MANY = 100000 };

static char *stale[MANY];

/* Every stale pointer is known for what it is, or at least is no live chunk. */
static void all_stale(const char *title, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		check(talloc_get_name(stale[i]) == NULL);
		expect_fault(AFTER_FREE);
		if (i % 100 == 0) {
			check(talloc_free(stale[i]) == -1);
			expect_fault(AFTER_FREE);
			check(node(stale[i], "x") == NULL);
			expect_fault(AFTER_FREE);
		}
	}
	printf("%s: %d stale pointers\n", title, count);
}

int main(void)
{
	char *root, *pool, *p, *q;
	int i, round;

	catch_faults();

	p = node(NULL, "p");
	check(talloc_free(p) == 0);
	stale[0] = p;
	all_stale("one", 1);
	check(talloc_free(p) == -1);
	check(strstr(ours_log, "first free may be at after_free.c:") != NULL);
	expect_fault(AFTER_FREE);

	root = node(NULL, "root");
	for (i = 0; i < MANY; i++) {
		stale[i] = (char *)talloc_size(root, i % 300);
	}
	check(talloc_free(root) == 0);
	all_stale("children of a context", MANY);

	root = node(NULL, "root");
	p = root;
	for (i = 0; i < MANY; i++) {
		p = stale[i] = node(p, "link");
	}
	check(talloc_free(root) == 0);
	all_stale("links of a chain", MANY);

	pool = (char *)talloc_pool(NULL, MANY * 160);
	for (i = 0; i < MANY; i++) {
		stale[i] = (char *)talloc_size(pool, 50);
		check(stale[i] != NULL);
	}
	check(talloc_free(pool) == 0);
	all_stale("members of a pool", MANY);

	pool = (char *)talloc_pool(NULL, MANY * 160);
	for (i = 0; i < MANY; i++) {
		stale[i] = (char *)talloc_size(pool, 50);
	}
	talloc_free_children(pool);
	all_stale("members of a pool that was emptied", MANY);
	p = node(pool, "new");
	check(talloc_get_name(p) != NULL);
	check(talloc_free(pool) == 0);
	expect_no_fault();

	pool = (char *)talloc_pool(NULL, 1000);
	for (i = 0; i < MANY; i++) {
		stale[i] = (char *)talloc_size(pool, 50);
	}
	check(talloc_free(pool) == 0);
	all_stale("members of a pool, nearly all on the heap", MANY);

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 20; i++) {
			stale[i] = (char *)talloc_size(NULL, 1000000 + i);
		}
		for (i = 0; i < 20; i++) {
			check(talloc_free(stale[i]) == 0);
		}
		all_stale("large chunks", 20);
	}

	p = node(NULL, "p");
	for (i = 0, round = 1; round < 300; round++) {
		q = (char *)talloc_realloc_size(NULL, p, round * 5000);
		check(q != NULL);
		if (q != p) {
			stale[i++] = p;
			p = q;
		}
	}
	check(i > 0);
	all_stale("places left by realloc", i);
	check(talloc_free(p) == 0);

	/* A string that is freed is not read. */
	q = talloc_strdup(NULL, "text");
	check(talloc_free(q) == 0);
	check(talloc_strdup_append(q, "more") == NULL);
	expect_fault(AFTER_FREE);
	return 0;
}
