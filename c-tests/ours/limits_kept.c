/*
 * Limits where talloc's accounts go wrong: bytes that leave are given back, a
 * limit goes with its context, and realloc of the context keeps it.
 */
#include "ours.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static char *root;

/* Is there room for size bytes below ctx? */
static bool room(const void *ctx, size_t size)
{
	void *p = talloc_size(ctx, size);

	if (p == NULL) {
		check(errno == ENOMEM);
		return false;
	}
	check(talloc_free(p) == 0);
	return true;
}

static char *limited(const void *parent, size_t max)
{
	char *p = (char *)talloc_named_const(parent, 0, "limited");

	check(talloc_set_memlimit(p, max) == 0);
	return p;
}

static int veto(char *p)
{
	(void)p;
	return -1;
}

int main(void)
{
	char *a, *b, *p, *q, *pool;
	int i;

	catch_faults();
	root = node(NULL, "root");

	puts("a child stolen out gives its bytes back");
	a = limited(root, 10000);
	p = (char *)talloc_size(a, 8000);
	check(!room(a, 5000));
	talloc_steal(root, p);
	check(room(a, 9000));
	check(talloc_free(p) == 0);
	check(room(a, 9000) && !room(a, 10000));

	puts("a tree stolen out, and in again");
	p = node(a, "p");
	for (i = 0; i < 10; i++) {
		q = (char *)talloc_size(node(p, "q"), 500);
	}
	check(!room(a, 5000));
	talloc_steal(NULL, p);
	check(room(a, 9000));
	talloc_steal(a, p);
	check(!room(a, 5000));
	check(talloc_free(p) == 0);
	check(room(a, 9000));

	puts("stolen from one limit to another");
	b = limited(root, 20000);
	p = (char *)talloc_size(a, 8000);
	talloc_steal(b, p);
	check(room(a, 9000) && room(b, 11000) && !room(b, 12500));
	check(talloc_free(p) == 0);
	check(room(b, 19000));

	puts("a limited context stolen below another limit, and out");
	talloc_steal(b, a);
	p = (char *)talloc_size(a, 8000);
	check(!room(b, 12500) && !room(a, 3000));
	talloc_steal(root, a);
	check(room(b, 19000) && !room(a, 3000));
	check(talloc_free(p) == 0);
	check(room(a, 9000) && room(b, 19000));

	puts("moved and reparented");
	p = (char *)talloc_size(a, 8000);
	q = talloc_move(root, &p);
	check(room(a, 9000));
	check(talloc_reparent(root, a, q) == q);
	check(!room(a, 3000));
	check(talloc_reparent(a, root, q) == q);
	check(room(a, 9000));
	check(talloc_free(q) == 0);

	puts("inherited by a reference's owner");
	p = (char *)talloc_size(a, 8000);
	q = node(root, "q");
	talloc_reference(q, p);
	check(talloc_unlink(a, p) == 0);
	check(talloc_parent(p) == q);
	check(room(a, 9000));
	check(talloc_free(q) == 0);
	q = node(root, "q");
	p = (char *)talloc_size(q, 8000);
	talloc_reference(a, p);
	check(talloc_free(q) == 0);
	check(talloc_parent(p) == a);
	check(!room(a, 3000));
	check(talloc_unlink(a, p) == 0);
	check(room(a, 9000));

	puts("an orphan of a limited context");
	q = node(a, "q");
	p = (char *)talloc_size(q, 8000);
	talloc_set_destructor(p, veto);
	check(talloc_free(q) == 0);
	check(talloc_parent(p) == a && !room(a, 3000));
	talloc_steal(root, p);
	check(room(a, 9000));
	talloc_set_destructor(p, (int (*)(char *))NULL);
	check(talloc_free(p) == 0);

	puts("realloc of the context keeps its limit");
	a = (char *)talloc_realloc_size(root, a, 3000);
	check(a != NULL && room(a, 6000) && !room(a, 7000));
	check(talloc_realloc_size(root, a, 10000) == NULL);
	check(talloc_get_size(a) == 3000);
	talloc_free_children(root);
	a = limited(root, 10000);
	a = (char *)talloc_realloc_size(root, a, 3000);
	p = (char *)talloc_size(a, 3000);
	a = (char *)talloc_realloc_size(root, a, 100);
	check(room(a, 6000) && !room(a, 7000));
	check(talloc_free(p) == 0);
	check(room(a, 9000) && !room(a, 9960));

	puts("realloc below a limit, many times");
	p = (char *)talloc_size(a, 1);
	for (i = 0; i < 10000; i++) {
		q = (char *)talloc_realloc_size(a, p, (i * 7919) % 8000 + 1);
		check(q != NULL);
		p = q;
	}
	check(talloc_free(p) == 0);
	check(room(a, 9000) && !room(a, 9960));
	check(talloc_free(a) == 0);

	puts("a limit goes with its context: the same memory is free of it");
	for (i = 0; i < 1000; i++) {
		a = limited(root, 500);
		check(!room(a, 1000));
		check(talloc_free(a) == 0);
		a = node(root, "a");
		check(room(a, 100000));
		check(talloc_free(a) == 0);
	}

	puts("survivors of a limited context are free of it");
	a = limited(root, 1000);
	p = node(a, "p");
	talloc_steal(root, p);
	check(talloc_free(a) == 0);
	check(room(p, 100000));
	a = limited(root, 1000);
	q = node(a, "q");
	talloc_set_destructor(q, veto);
	check(talloc_free(a) == 0);
	check(talloc_parent(q) == root && room(q, 100000));
	talloc_set_destructor(q, (int (*)(char *))NULL);
	talloc_free_children(root);

	puts("references below a limit that is set later");
	a = node(root, "a");
	p = node(a, "p");
	q = node(a, "q");
	talloc_reference(p, q);
	talloc_reference(q, p);
	talloc_reference(p, node(root, "outside"));
	check(talloc_set_memlimit(a, 100000) == 0);
	talloc_reference(q, a);
	check(talloc_free(root) == 0);
	root = node(NULL, "root");

	puts("pools");
	a = limited(root, 10000);
	pool = (char *)talloc_pool(a, 5000);
	p = (char *)talloc_size(pool, 3000);
	check(room(a, 3000) && !room(a, 5000));
	talloc_steal(root, p);
	check(room(a, 3000) && !room(a, 5000));
	check(talloc_free(p) == 0);
	q = (char *)talloc_size(pool, 20000);
	check(q == NULL);
	talloc_steal(root, pool);
	check(room(a, 9000));
	q = (char *)talloc_size(pool, 20000);
	check(q != NULL);
	talloc_steal(a, pool);
	check(!room(a, 1));
	check(talloc_free(pool) == 0);
	check(room(a, 9000));
	pool = (char *)talloc_pool(root, 5000);
	p = (char *)talloc_size(pool, 3000);
	talloc_steal(a, p);
	check(talloc_free(pool) == 0);
	check(talloc_free(p) == 0);
	check(room(a, 9000) && !room(a, 10000));

	puts("limits in limits in limits");
	talloc_free_children(root);
	p = root;
	for (i = 0; i < 100; i++) {
		p = limited(p, 1000000 - i);
	}
	q = (char *)talloc_size(p, 500000);
	check(q != NULL && !room(p, 500000));
	for (a = p; a != root; a = (char *)talloc_parent(a)) {
		check(!room(a, 500000));
	}
	check(talloc_free(q) == 0);
	check(room(p, 500000));

	check(talloc_free(root) == 0);
	expect_no_fault();
	return 0;
}
