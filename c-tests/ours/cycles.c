/*
 * No verb makes a context its own ancestor. In the drop-in, one stolen by what lies below it
 * changes places with that; where there is no place to take, it is refused and logged.
 */
#include "ours.h"

static int deaths;

static int count(char *p)
{
	(void)p;
	deaths++;
	return 0;
}

/* The log has one line, and says what was refused. */
static void expect_refusal(void)
{
	check(strstr(ours_log, "below it") != NULL);
	check(strchr(ours_log, '\n') == ours_log + strlen(ours_log) - 1);
	ours_log[0] = '\0';
	expect_no_fault();
}

int main(void)
{
	char *root, *a, *b, *c, *p;
	int i;

	catch_faults();
	root = node(NULL, "root");
	a = node(root, "a");
	b = node(a, "b");
	c = node(b, "c");

	puts("stolen by a child: it takes the place");
	check(talloc_steal(b, a) == a);
	check(talloc_parent(b) == root && talloc_parent(a) == b);
	check(talloc_parent(c) == b && talloc_total_blocks(root) == 4);
	check(ours_log[0] == '\0');

	puts("by a grandchild, by move, by reparent");
	talloc_steal(root, a);
	talloc_steal(a, b);
	check(talloc_steal(c, a) == a);
	check(talloc_parent(c) == root && talloc_parent(a) == c);
	check(talloc_parent(b) == a && talloc_total_blocks(root) == 4);
	p = c;
	check(talloc_move(b, &p) == c && p == NULL);
	check(talloc_parent(b) == root && talloc_parent(c) == b);
	check(talloc_parent(a) == c && talloc_total_blocks(root) == 4);
	check(talloc_reparent(root, a, b) == b);
	check(talloc_parent(a) == root && talloc_parent(b) == a);
	check(talloc_parent(c) == b && talloc_total_blocks(root) == 4);
	check(ours_log[0] == '\0');

	puts("where there is no place to take: refused");
	check(talloc_steal(c, root) == NULL);
	expect_refusal();
	check(talloc_steal(a, root) == NULL);
	expect_refusal();
	p = root;
	check(talloc_move(c, &p) == NULL);
	check(p == root);
	expect_refusal();
	check(talloc_reparent(NULL, c, root) == NULL);
	expect_refusal();
	check(talloc_parent(root) == NULL && talloc_total_blocks(root) == 4);

	puts("to itself: nothing");
	check(talloc_steal(a, a) == a);
	check(talloc_parent(a) == root);
	expect_no_fault();

	puts("ten thousand levels down");
	p = c;
	for (i = 0; i < 20000; i++) {
		p = node(p, "link");
	}
	check(talloc_steal(p, root) == NULL);
	expect_refusal();
	check(talloc_steal(p, a) == a);
	check(talloc_parent(p) == root && talloc_parent(a) == p);
	expect_no_fault();
	check(talloc_total_blocks(root) == 20004);
	check(talloc_free(root) == 0);

	puts("the heir lies below: the context lives on without a parent");
	root = node(NULL, "root");
	p = node(root, "p");
	a = node(p, "a");
	b = node(a, "b");
	talloc_set_destructor(p, count);
	talloc_set_destructor(b, count);
	talloc_reference(b, p);
	check(talloc_unlink(root, p) == 0);
	check(deaths == 0);
	check(talloc_parent(p) == NULL && talloc_reference_count(p) == 0);
	check(talloc_parent(b) == a && talloc_parent(a) == p);
	check(talloc_total_blocks(root) == 1 && talloc_total_blocks(p) == 3);
	check(talloc_free(p) == 0);
	check(deaths == 2);

	puts("a chunk that holds itself, too");
	deaths = 0;
	p = node(root, "p");
	talloc_set_destructor(p, count);
	talloc_reference(p, p);
	check(talloc_unlink(root, p) == 0);
	check(talloc_parent(p) == NULL && deaths == 0);
	check(talloc_free(p) == 0);
	check(deaths == 1 && talloc_total_blocks(root) == 1);

	puts("the parent dies, the newest of two references is from below");
	deaths = 0;
	a = node(root, "a");
	b = node(root, "b");
	p = node(a, "p");
	talloc_set_destructor(p, count);
	talloc_reference(b, p);
	talloc_reference(node(p, "q"), p);
	check(talloc_free(a) == 0);
	check(deaths == 0);
	check(talloc_parent(p) == NULL && talloc_reference_count(p) == 0);
	check(talloc_total_blocks(p) == 2);
	check(talloc_free(p) == 0);
	check(deaths == 1);

	puts("the parent dies, the only reference is from below: all dies");
	deaths = 0;
	a = node(root, "a");
	p = node(a, "p");
	talloc_set_destructor(p, count);
	talloc_reference(node(p, "q"), p);
	check(talloc_free(a) == 0);
	check(deaths == 1);
	check(talloc_free(root) == 0);

	puts("rings of references below each other");
	deaths = 0;
	root = node(NULL, "root");
	a = node(root, "a");
	b = node(root, "b");
	talloc_set_destructor(a, count);
	talloc_set_destructor(b, count);
	talloc_reference(a, b);
	talloc_reference(b, a);
	check(talloc_unlink(root, a) == 0);
	check(talloc_parent(a) == b);
	check(talloc_unlink(root, b) == 0);
	check(talloc_parent(b) == NULL && talloc_parent(a) == b);
	check(deaths == 0 && talloc_total_blocks(root) == 1);
	check(talloc_free(b) == 0);
	check(deaths == 2);
	check(talloc_free(root) == 0);
	expect_no_fault();
	return 0;
}
