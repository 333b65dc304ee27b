/*
 * Destructors and finalizers that move their chunks between shared contexts, out of them and into
 * them, also where another thread is busy, and where it frees what they move to.
 */
#include "shared.h"

static int to_b(char *p)
{
	runs++;
	check(talloc_steal(b, p) == p);
	return 0;
}

static int out_and_refuse(char *p)
{
	runs++;
	check(talloc_steal(plain, p) == p);
	return -1;
}

static void destructors_that_move(void)
{
	char *top, *p, *q;

	fresh();
	/* It moves itself, agrees, and dies with all below it. */
	p = node(a, "p");
	node(node(p, "child"), "grandchild");
	talloc_set_destructor(p, to_b);
	check(talloc_free(p) == 0 && runs == 1);
	top = node(a, "top");
	p = node(top, "p");
	node(p, "child");
	talloc_set_destructor(p, to_b);
	check(talloc_free(top) == 0 && runs == 2);
	/* From a tree that is not shared. */
	p = node(plain, "p");
	q = node(p, "q");
	node(q, "child");
	talloc_set_destructor(p, to_b);
	talloc_set_destructor(q, to_b);
	check(talloc_free(p) == 0 && runs == 4);
	/* What refuses to die with it goes to where it has gone; to nobody, if that was for its parent to say. */
	for (int from = 0; from < 3; from++) {
		top = from == 2 ? node(a, "top") : from ? plain : (char *)a;
		p = node(top, "p");
		q = node(p, "q");
		talloc_set_destructor(p, to_b);
		talloc_set_destructor(q, refuse);
		check(talloc_free(from == 2 ? top : p) == 0 && runs == 6 + 2 * from);
		check(talloc_parent(q) == (from == 2 ? NULL : b));
		talloc_set_destructor(q, (int (*)(char *))NULL);
		check(talloc_free(q) == 0);
	}
	runs = 4;
	/* It refuses, from where it has gone. */
	top = node(a, "top");
	p = node(top, "p");
	node(p, "child");
	talloc_set_destructor(p, out_and_refuse);
	check(talloc_free(top) == 0 && runs == 5);
	check(talloc_parent(p) == plain && talloc_total_blocks(p) == 2);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	check(talloc_free(p) == 0);
	/* It refuses when its shared context goes, and again as a child of that, whose parent gets it. */
	top = (char *)tm_shared_context(plain, "c");
	p = node(node(top, "between"), "p");
	talloc_set_destructor(p, refuse);
	check(talloc_free(top) == 0 && runs == 7);
	check(talloc_parent(p) == plain);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	check(talloc_free(p) == 0);
	end();
}

static void *free_children_of(void *p)
{
	talloc_free_children(p);
	return NULL;
}

static int to_b_where_another_is_busy(char *p)
{
	check(talloc_steal(b, p) == p);
	check(pthread_create(&another, NULL, free_children_of, p) == 0);
	wait_until(1);
	return 0;
}

/* It agrees to die, but another thread frees its children just then, so it stays where it has gone. */
static void destructors_that_move_what_is_in_use(void)
{
	int shared;

	for (shared = 0; shared < 2; shared++) {
		char *top, *p, *child;

		fresh();
		reach(0);
		top = node(shared ? a : plain, "top");
		p = node(top, "p");
		child = node(p, "child");
		talloc_set_destructor(p, to_b_where_another_is_busy);
		talloc_set_destructor(child, die_slowly);
		check(talloc_free(top) == 0);
		check(talloc_parent(p) == b && talloc_total_blocks(p) == 2);
		reach(2);
		check(pthread_join(another, NULL) == 0);
		check(talloc_total_blocks(p) == 1 && talloc_free(p) == 0);
		end();
	}
}

static tm_cache *cache;

static void construct(void *object)
{
	(void)object;
}

static void move_cache_to_b_where_another_is_busy(void *object)
{
	(void)object;
	/* With the first of its objects. */
	if (runs++ == 0) {
		to_b_where_another_is_busy((char *)cache);
	}
}

/* The same where nobody can refuse: the cache has ended, but its chunk stays where another thread frees its children. */
static void what_ends_and_is_in_use(void)
{
	int shared;

	for (shared = 0; shared < 2; shared++) {
		char *top, *child;

		fresh();
		reach(0);
		top = node(shared ? a : plain, "top");
		cache = tm_cache_create(top, "cache", 64, 0, 0, construct, move_cache_to_b_where_another_is_busy);
		tm_cache_free(cache, tm_cache_alloc(cache));
		child = node(cache, "child");
		talloc_set_destructor(child, die_slowly);
		check(talloc_free(top) == 0);
		check(talloc_parent(cache) == b && talloc_total_blocks(cache) == 2);
		reach(2);
		check(pthread_join(another, NULL) == 0);
		check(talloc_total_blocks(cache) == 1 && talloc_free(cache) == 0);
		end();
	}
}

static pthread_mutex_t coming_and_going = PTHREAD_MUTEX_INITIALIZER;
static void *of_the_moment;

static int to_what_is_there(char *p)
{
	check(pthread_mutex_lock(&coming_and_going) == 0);
	check(talloc_steal(of_the_moment, p) == p);
	check(pthread_mutex_unlock(&coming_and_going) == 0);
	return 0;
}

static void *come_and_go(void *unused)
{
	while (!__atomic_load_n(&runs, __ATOMIC_RELAXED)) {
		check(pthread_mutex_lock(&coming_and_going) == 0);
		check(talloc_free(of_the_moment) == 0);
		of_the_moment = tm_shared_context(NULL, "of the moment");
		check(pthread_mutex_unlock(&coming_and_going) == 0);
	}
	return unused;
}

/* Who frees a shared context cannot know of a chunk that a destructor in another thread has just taken there. */
static void destructors_that_move_to_what_goes(void)
{
	int i;

	fresh();
	of_the_moment = tm_shared_context(NULL, "of the moment");
	check(pthread_create(&another, NULL, come_and_go, NULL) == 0);
	for (i = 0; i < 100000; i++) {
		char *p = node(i % 2 ? a : plain, "p");

		if (i % 3 == 0) {
			node(p, "child");
		}
		talloc_set_destructor(p, to_what_is_there);
		check(talloc_free(p) == 0);
	}
	__atomic_store_n(&runs, 1, __ATOMIC_RELAXED);
	check(pthread_join(another, NULL) == 0);
	check(talloc_free(of_the_moment) == 0);
	end();
}

int main(void)
{
	catch_faults();
	must_pass("destructors that move", destructors_that_move);
	must_pass("destructors that move what is in use", destructors_that_move_what_is_in_use);
	must_pass("what ends and is in use", what_ends_and_is_in_use);
	must_pass("destructors that move to what goes", destructors_that_move_to_what_goes);
	return 0;
}
