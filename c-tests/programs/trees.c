/* Steal, move, order among siblings, totals, and large trees. */
#include "check.h"

static char *root;

static void order(const char *title, const void *ctx)
{
	printf("%s:\n", title);
	report(ctx);
}

static int frees;

static int count(char *p)
{
	(void)p;
	frees++;
	return 0;
}

static int last_number = 1 << 30;

/* Children die newest first: their numbers fall. */
static int falling(int *number)
{
	check(*number < last_number);
	last_number = *number;
	return 0;
}

int main(void)
{
	char *a, *b, *c, *d, *p, *q;
	int i, *number;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("new children come first");
	a = node(root, "a");
	b = node(root, "b");
	c = node(root, "c");
	order("three", root);

	section("a stolen child comes first, also when stolen to its own parent");
	printf("%s\n", who(talloc_steal(root, a)));
	order("a stolen to its own parent", root);
	d = node(a, "d");
	talloc_steal(root, d);
	order("d stolen from a", root);
	talloc_steal(b, c);
	order("c stolen to b", root);
	talloc_steal(root, c);
	order("and back", root);

	section("steal of and to NULL");
	show(talloc_steal(root, (char *)NULL) == NULL);
	printf("%s\n", who(talloc_steal(NULL, c)));
	show(talloc_parent(c) == NULL);
	order("without c", root);
	printf("%s\n", who(talloc_steal(root, c)));
	order("with c", root);

	section("steal to itself");
	printf("%s\n", who(talloc_steal(a, a)));
	printf("parent of a: %s\n", who(talloc_parent(a)));

	section("move clears the caller's pointer");
	p = node(a, "p");
	q = talloc_move(b, &p);
	show(p == NULL);
	printf("%s below %s\n", who(q), who(talloc_parent(q)));
	p = NULL;
	show(talloc_move(b, &p) == NULL);

	section("TALLOC_FREE clears it too");
	TALLOC_FREE(q);
	show(q == NULL);
	TALLOC_FREE(q);
	show(q == NULL);

	section("taken from the front, the middle and the end");
	talloc_free(talloc_steal(root, d));
	talloc_free(b);
	order("without d and b", root);
	talloc_free(a);
	order("without a", root);
	talloc_free(c);
	order("without c", root);

	section("parents when the first child goes");
	for (i = 0; i < 10; i++) {
		talloc_asprintf(root, "%d", i);
	}
	p = node(root, "newest");
	q = node(p, "q");
	talloc_free(node(root, "newer still"));
	printf("%s, %s\n", who(talloc_parent(p)), who(talloc_parent(q)));
	talloc_free_children(root);

	section("a hundred thousand children");
	for (i = 0; i < 100000; i++) {
		number = talloc(root, int);
		*number = i;
		if (i % 1000 == 0) {
			talloc_set_destructor(number, falling);
		}
	}
	show(talloc_total_blocks(root));
	show(talloc_total_size(root));
	show(talloc_free(root));
	show(last_number);

	section("a deep chain");
	root = p = node(NULL, "root");
	for (i = 0; i < 9000; i++) {
		p = node(p, "link");
		talloc_set_destructor(p, count);
	}
	show(talloc_total_blocks(root));
	show(talloc_total_size(root));
	show(talloc_is_parent(p, root));
	show(talloc_find_parent_byname(p, "root") == root);
	show(talloc_free(root));
	show(frees);

	section("a wide and deep tree");
	root = node(NULL, "root");
	frees = 0;
	for (i = 0; i < 20; i++) {
		int j, k;

		p = node(root, "x");
		for (j = 0; j < 20; j++) {
			q = node(p, "y");
			for (k = 0; k < 20; k++) {
				talloc_set_destructor(node(q, "z"), count);
			}
		}
	}
	show(talloc_total_blocks(root));
	show(talloc_total_size(root));
	talloc_free(p);
	show(frees);
	show(talloc_total_blocks(root));
	show(talloc_free(root));
	show(frees);

	section("stolen back and forth");
	a = node(NULL, "a");
	b = node(NULL, "b");
	for (i = 0; i < 1000; i++) {
		node(a, "x");
	}
	p = node(a, "p");
	for (i = 0; i < 1000; i++) {
		check(talloc_steal(i % 2 ? a : b, p) == p);
	}
	show(talloc_total_blocks(a));
	show(talloc_total_blocks(b));
	talloc_free(a);
	talloc_free(b);

	section("versions");
	show(talloc_version_major());
	show(talloc_version_minor() >= 4);
	show(talloc_test_get_magic() == talloc_test_get_magic());
	show(talloc_test_get_magic() != 0);
	return 0;
}
