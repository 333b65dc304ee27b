/*
 * References and limits across shared contexts: what the functions of limits may do to either end,
 * and to what has the limit.
 */
#include "shared.h"

static void references_across(void)
{
	char *p, *q, *holder;

	fresh();
	/* Saved by a reference from another shared context. */
	p = node(node(a, "top"), "p");
	node(p, "child");
	holder = node(b, "holder");
	check(talloc_reference(holder, p) == p);
	check(talloc_free(talloc_parent(p)) == 0);
	check(talloc_parent(p) == holder && talloc_reference_count(p) == 0);
	check(talloc_total_blocks(b) == 4);
	check(talloc_free(holder) == 0);
	/* The referrer goes first. */
	p = node(a, "p");
	holder = node(b, "holder");
	check(talloc_reference(holder, p) == p);
	check(talloc_free(p) == -1);
	check(talloc_free(holder) == 0);
	check(talloc_reference_count(p) == 0 && talloc_free(p) == 0);
	/* Unlinked from its parent, it goes to the referrer. */
	p = node(a, "p");
	check(talloc_reference(b, p) == p);
	check(talloc_unlink(a, p) == 0 && talloc_parent(p) == b);
	check(talloc_unlink(b, p) == 0);
	/* Between a tree that is not shared and one that is. */
	p = node(a, "p");
	q = node(plain, "q");
	check(talloc_reference(plain, p) == p && talloc_reference(a, q) == q);
	check(talloc_reparent(plain, b, p) == p);
	check(talloc_unlink(b, p) == 0 && talloc_unlink(a, q) == 0);
	check(talloc_free(p) == 0 && talloc_free(q) == 0);
	ours_log[0] = '\0';
	end();
}

static void limits_and_pools(void)
{
	char *p, *pool;

	fresh();
	check(talloc_set_memlimit(a, 1000) == 0);
	check(talloc_size(a, 2000) == NULL);
	p = (char *)talloc_size(b, 2000);
	check(talloc_steal(a, p) == p && talloc_size(a, 1) == NULL);
	check(talloc_steal(b, p) == p && talloc_free(talloc_size(a, 100)) == 0);
	check(talloc_free(p) == 0);
	/* A limit above a shared context does not count what is in it. */
	p = node(plain, "p");
	check(talloc_set_memlimit(p, 500) == 0);
	check(talloc_steal(p, b) == b);
	check(talloc_size(b, 5000) != NULL && talloc_size(p, 5000) == NULL);
	check(talloc_total_size(p) >= 5000);
	talloc_report_full(p, stdout);
	check(talloc_steal(NULL, b) == b);
	talloc_free_children(b);
	check(talloc_free(p) == 0);
	/* Pools go in and out, with members in other trees. */
	pool = (char *)talloc_pool(plain, 10000);
	p = (char *)talloc_size(pool, 100);
	check(talloc_steal(a, pool) == pool);
	check(talloc_size(pool, 100) != NULL && talloc_size(p, 200) != NULL);
	check(talloc_steal(b, p) == p && talloc_size(p, 300) != NULL);
	check(talloc_steal(plain, pool) == pool && talloc_size(pool, 100) != NULL);
	check(talloc_free(pool) == 0 && talloc_free(p) == 0);
	end();
}

static int make_room_elsewhere(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	void *other = context == a ? b : a;
	void *p;

	(void)used, (void)wanted, (void)limit, (void)data;
	__atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
	/* The other one may be full, too. */
	p = talloc_size(other, 1);
	check(p == NULL || talloc_free(talloc_steal(other, p)) == 0);
	return 0;
}

static void *refer_to_and_fro(void *from)
{
	void *to = from == a ? b : a;
	int i;

	for (i = 0; i < 5000; i++) {
		char *p = (char *)talloc_size(to, 10), *holder = (char *)talloc_size(from, 10);

		if (p != NULL && holder != NULL && talloc_reference(holder, p) != NULL) {
			check(talloc_unlink(holder, p) == 0);
		}
		talloc_free(p);
		talloc_free(holder);
	}
	return NULL;
}

/* The function of a limit on one end of a reference may use the other end's context. */
static void references_under_limits(void)
{
	pthread_t threads[4];
	char *p;
	int i;

	fresh();
	p = node(a, "p");
	check(tm_limit(b, 1, 0, make_room_elsewhere, NULL) == 0);
	check(talloc_reference(b, p) == p && talloc_unlink(b, p) == 0);
	check(tm_limit(b, 0, 1, make_room_elsewhere, NULL) == 0);
	check(talloc_reference(b, p) == NULL && runs == 0);
	check(talloc_size(b, 1) == NULL && runs > 0);
	check(talloc_free(p) == 0);
	check(tm_limit(a, 150, 400, make_room_elsewhere, NULL) == 0);
	check(tm_limit(b, 150, 400, make_room_elsewhere, NULL) == 0);
	for (i = 0; i < 4; i++) {
		check(pthread_create(&threads[i], NULL, refer_to_and_fro, i % 2 ? a : b) == 0);
	}
	for (i = 0; i < 4; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	end();
}

static int free_what_it_is_given(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	void **given = (void **)data;

	(void)used, (void)wanted, (void)limit;
	runs++;
	/* If that were gone, this would lie in its place. */
	check(talloc_free(*given) == -1);
	check(talloc_parent(talloc_size(talloc_parent(context), 10)) == talloc_parent(context));
	return 0;
}

static int move_what_it_is_given(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	void **given = (void **)data;

	(void)context, (void)used, (void)wanted, (void)limit;
	runs++;
	check(talloc_steal(b, *given) == *given);
	return 0;
}

/* What a reference is made to is not freed by the function of a limit; it may move. */
static void references_to_what_goes(void)
{
	int shared;

	for (shared = 0; shared < 2; shared++) {
		void *tree, *given;
		char *holder;

		fresh();
		tree = shared ? a : plain;
		holder = (char *)talloc_size(tree, 10);
		given = talloc_size(tree, 10);
		check(tm_limit(holder, 100, 0, free_what_it_is_given, &given) == 0);
		check(talloc_reference(holder, given) == given && runs == 1);
		check(talloc_reference_count(given) == 1 && talloc_unlink(holder, given) == 0);
		check(tm_limit(holder, 100, 0, move_what_it_is_given, &given) == 0);
		check(talloc_reference(holder, given) == NULL && runs == 2);
		check(talloc_parent(given) == b && talloc_reference_count(given) == 0);
		check(talloc_free(given) == 0);
		check(talloc_free(holder) == 0);
		talloc_free_children(tree);
		end();
	}
}

static void *use_in_b(void *p)
{
	int i;

	for (i = 0; i < 1000; i++) {
		talloc_set_destructor((char *)p, refuse);
		check(talloc_parent(p) == b);
		talloc_set_destructor((char *)p, (int (*)(char *))NULL);
	}
	return NULL;
}

static int move_where_another_is_busy(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	(void)used, (void)wanted, (void)limit;
	runs++;
	check(talloc_steal(a, data) == data);
	check(talloc_steal(b, context) == context);
	check(pthread_create(&another, NULL, use_in_b, context) == 0);
	return 0;
}

static void *free_it(void *p)
{
	check(talloc_free(p) == 0);
	return NULL;
}

static int let_it_go(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	(void)context, (void)used, (void)wanted, (void)limit, (void)data;
	runs++;
	reach(2);
	check(pthread_join(another, NULL) == 0);
	return 0;
}

/* What has the limit moves to another shared context than what the room is for; or it is being freed. */
static void limits_that_go(void)
{
	char *holder, *p;

	fresh();
	holder = node(a, "holder");
	p = node(holder, "p");
	check(tm_limit(holder, 0, 1, move_where_another_is_busy, p) == 0);
	check(talloc_size(p, 1000) != NULL && runs == 1);
	check(pthread_join(another, NULL) == 0);
	check(talloc_parent(p) == a && talloc_parent(holder) == b);
	check(talloc_size(holder, 1) == NULL && runs == 2);
	check(pthread_join(another, NULL) == 0);
	check(talloc_free(p) == 0 && talloc_free(holder) == 0);
	runs = 0;
	reach(0);
	holder = node(a, "holder");
	p = node(holder, "p");
	talloc_set_destructor(holder, die_slowly);
	check(tm_limit(holder, 1, 500, let_it_go, NULL) == 0);
	check(pthread_create(&another, NULL, free_it, holder) == 0);
	wait_until(1);
	check(talloc_size(p, 10) != NULL && talloc_size(p, 1000) == NULL && runs == 0);
	reach(2);
	check(pthread_join(another, NULL) == 0);
	end();
}

int main(void)
{
	catch_faults();
	must_pass("references across", references_across);
	must_pass("limits and pools", limits_and_pools);
	must_pass("references under limits", references_under_limits);
	must_pass("references to what goes", references_to_what_goes);
	must_pass("limits that go", limits_that_go);
	return 0;
}
