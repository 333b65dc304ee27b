/* Realloc: what moves, what stays, what keeps its name, what is refused. */
#include "check.h"

static char *root;

static bool filled(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] != (char)(i * 7)) {
			return false;
		}
	}
	return true;
}

static void fill(char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		p[i] = (char)(i * 7);
	}
}

/* One step: the name and bytes afterwards. */
static char *step(char *p, size_t to)
{
	size_t from = talloc_get_size(p);
	size_t kept = from < to ? from : to;
	char *q;

	fill(p, from);
	talloc_set_name_const(p, "before");
	q = (char *)_talloc_realloc(NULL, p, to, "after");
	printf("%zu to %zu: %s, name %s, %s, parent %s\n", from, to,
	       q == NULL ? "NULL" : "done", who(q),
	       q != NULL && filled(q, kept) ? "bytes kept" : "BYTES LOST",
	       q == NULL ? "" : who(talloc_parent(q)));
	if (q != NULL) {
		show(talloc_get_size(q));
	}
	return q == NULL ? p : q;
}

static char *fresh(size_t size)
{
	return (char *)talloc_named_const(root, size, "before");
}

static int say(char *p)
{
	printf("destructor of %s\n", who(p));
	return 0;
}

int main(void)
{
	static const size_t grows[][2] = {
		{0, 0}, {0, 1}, {1, 1}, {1, 2}, {16, 16}, {16, 17}, {100, 200},
		{1000, 5000}, {5000, 200000}, {200000, 3000000},
	};
	static const size_t shrinks[][2] = {
		{2, 1}, {1000, 1}, {1023, 1}, {1024, 1}, {1025, 1}, {1026, 1},
		{2000, 977}, {2000, 976}, {2000, 975}, {100000, 99000},
		{100000, 98977}, {100000, 98976}, {100000, 1}, {3000000, 100},
	};
	char *p, *q, *pool;
	size_t i;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("same and growing");
	for (i = 0; i < sizeof(grows) / sizeof(grows[0]); i++) {
		p = fresh(grows[i][0]);
		p = step(p, grows[i][1]);
		talloc_free(p);
	}

	section("shrinking");
	for (i = 0; i < sizeof(shrinks) / sizeof(shrinks[0]); i++) {
		p = fresh(shrinks[i][0]);
		q = step(p, shrinks[i][1]);
		talloc_free(q);
	}

	section("small shrinks keep the pointer");
	p = fresh(2000);
	q = (char *)talloc_realloc_size(root, p, 1000);
	show(p == q);
	p = q;
	q = (char *)talloc_realloc_size(root, p, 1000);
	show(p == q);
	q = (char *)talloc_realloc_size(root, p, 1);
	show(p == q);
	show(talloc_get_size(q));
	talloc_free(q);

	section("shrunk, then grown back");
	p = step(fresh(500), 100);
	p = step(p, 500);
	p = step(p, 100);
	p = step(p, 501);
	talloc_free(p);

	section("NULL becomes an allocation");
	p = talloc_realloc(root, NULL, char, 10);
	printf("%s, parent %s, size %zu\n", who(p), who(talloc_parent(p)),
	       talloc_get_size(p));
	p = (char *)_talloc_realloc(root, NULL, 0, "nothing");
	printf("%s\n", who(p));
	p = (char *)talloc_realloc_size(NULL, NULL, 10);
	printf("parent %s\n", who(talloc_parent(p)));
	talloc_free(p);

	section("size 0 frees");
	p = node(root, "p");
	talloc_set_destructor(p, say);
	show(talloc_realloc(root, p, char, 0) == NULL);
	p = node(root, "p");
	talloc_set_destructor(p, say);
	show(talloc_realloc_size(root, p, 0) == NULL);
	p = node(root, "p");
	talloc_set_destructor(p, say);
	show(talloc_realloc_fn(root, p, 0) == NULL);

	section("size 0 with another context is an unlink: it fails");
	p = node(root, "p");
	q = node(root, "q");
	show(talloc_realloc_size(q, p, 0) == NULL);
	printf("parent: %s\n", who(talloc_parent(p)));
	show(talloc_realloc_size(NULL, p, 0) == NULL);
	printf("parent: %s\n", who(talloc_parent(p)));
	talloc_free_children(root);

	section("the context does not matter otherwise");
	p = node(root, "p");
	q = node(root, "q");
	p = (char *)_talloc_realloc(q, p, 5000, "moved");
	printf("parent: %s\n", who(talloc_parent(p)));
	talloc_free_children(root);

	section("too large: refused, and the old stays");
	p = fresh(100);
	fill(p, 100);
	show(talloc_realloc_size(root, p, 0x10000000) == NULL);
	show(talloc_realloc_size(root, p, SIZE_MAX) == NULL);
	show(talloc_realloc_size(root, p, SIZE_MAX - 96) == NULL);
	show(talloc_realloc(root, p, int, 0x4000000) == NULL);
	show(talloc_realloc(root, p, int, 0xffffffff) == NULL);
	show(talloc_get_size(p));
	show(filled(p, 100));
	printf("%s, parent %s\n", who(p), who(talloc_parent(p)));
	talloc_free(p);

	section("children, siblings, references, destructor move along");
	p = node(root, "p");
	q = node(root, "q");
	node(p, "child 1");
	node(node(p, "child 2"), "grandchild");
	node(root, "r");
	talloc_reference(p, q);
	talloc_set_destructor(p, say);
	p = (char *)_talloc_realloc(root, p, 300000, "p moved");
	report(root);
	talloc_free(p);
	report(root);
	talloc_free_children(root);

	section("first, middle, last and only child");
	node(root, "a");
	p = node(root, "b");
	node(root, "c");
	p = (char *)_talloc_realloc(root, p, 70000, "b moved");
	report(root);
	talloc_free(p);
	p = node(root, "newest");
	p = (char *)_talloc_realloc(root, p, 70000, "newest moved");
	report(root);
	talloc_free_children(root);
	p = node(root, "only");
	p = (char *)_talloc_realloc(root, p, 70000, "only moved");
	report(root);
	talloc_free(p);

	section("a root with children");
	p = node(NULL, "p");
	q = node(p, "q");
	node(p, "r");
	p = (char *)_talloc_realloc(NULL, p, 70000, "p moved");
	show(talloc_parent(q) == p);
	report(p);
	talloc_free(p);

	section("a formatted name");
	p = node(root, "p");
	talloc_set_name(p, "formatted %d", 1);
	p = (char *)_talloc_realloc(root, p, 70000, "moved");
	printf("%s\n", who(p));
	report(p);
	p = (char *)_talloc_realloc(root, p, 69999, "shrunk a little");
	printf("%s\n", who(p));
	talloc_free(p);

	section("a string");
	p = talloc_strdup(root, "text");
	p = talloc_realloc(root, p, char, 100);
	printf("%s %s\n", who(p), p);
	talloc_free(p);

	section("the target of a reference, and the referrer");
	p = node(root, "p");
	q = node(root, "q");
	talloc_reference(q, p);
	show(talloc_realloc_size(root, p, 10) == NULL);
	show(talloc_realloc_size(root, p, 1) == NULL);
	show(talloc_get_size(p));
	q = (char *)_talloc_realloc(root, q, 5000, "q moved");
	report(root);
	show(talloc_unlink(q, p));
	p = (char *)_talloc_realloc(root, p, 10, "p grown");
	printf("%s\n", who(p));
	talloc_free_children(root);

	section("a pool itself");
	pool = (char *)talloc_pool(root, 1000);
	show(talloc_realloc_size(root, pool, 2000) == NULL);
	show(talloc_realloc_size(root, pool, 10) == NULL);
	show(talloc_get_size(pool));
	show(talloc_realloc_size(root, pool, 0) == NULL);
	show(talloc_total_blocks(root));

	section("in a pool: last member, grown and shrunk in place");
	pool = (char *)talloc_pool(root, 4000);
	p = (char *)talloc_named_const(pool, 500, "before");
	p = step(p, 600);
	p = step(p, 100);
	p = step(p, 100);
	p = step(p, 3000);
	p = step(p, 1500);
	p = step(p, 100);
	p = step(p, 10000);
	p = step(p, 100);
	talloc_free(pool);

	section("in a pool: not the last member");
	pool = (char *)talloc_pool(root, 4000);
	p = (char *)talloc_named_const(pool, 500, "before");
	q = node(pool, "behind it");
	p = step(p, 600);
	p = step(p, 5000);
	p = step(p, 500);
	show(talloc_total_size(pool));
	talloc_free(pool);

	section("many steps");
	p = fresh(1);
	for (i = 1; i < 3000; i = i * 3 + 1) {
		p = step(p, i);
	}
	for (; i > 0; i /= 5) {
		p = step(p, i);
	}
	talloc_free(p);

	talloc_free(root);
	return 0;
}
