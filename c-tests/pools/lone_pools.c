/*
 * Pools whose first block has 64 KiB of addresses to itself, so that members are checked as fast as other chunks: whatever
 * was in one is known as gone, by each function, in whichever way it went; and of a thread there are a few at a time, whoever
 * frees them.
 */
#include "contents.h"
#include "pools.h"

#include <pthread.h>

enum { KIB = 1024, SLICE = 64 * KIB, ROOM = 8 * KIB, FEW = 16, MANY = 40 };

/* Where in its 64 KiB the payload of a pool lies that has them to itself: it never lies elsewhere there. */
static size_t place;

static bool is_lone(const void *pool)
{
	return (size_t)pool % SLICE == place;
}

static void learn_place(void)
{
	void *pool = talloc_pool(NULL, ROOM);

	place = (size_t)pool % SLICE;
	check(place < KIB);
	check(talloc_free(pool) == 0);
}

/* Each function that takes a short way for a member. */
static void is_gone(char *p)
{
	void *root = talloc_new(NULL);

	expect_no_fault();
	check(talloc_free(p) == -1);
	expect_fault(AFTER_FREE);
	check(talloc_get_type_abort(p, struct nothing) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_check_name(p, "p") == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_parent(p) == NULL);
	expect_fault(AFTER_FREE);
	(void)talloc_get_name(p);
	expect_fault(AFTER_FREE);
	talloc_set_name_const(p, "name");
	expect_fault(AFTER_FREE);
	check(talloc_get_size(p) == 0);
	expect_fault(AFTER_FREE);
	check(talloc_size(p, 10) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_zero_size(p, 10) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_strdup(p, "below") == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_realloc_size(NULL, p, 500) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_steal(root, p) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_steal(p, root) == NULL);
	expect_fault(AFTER_FREE);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	expect_fault(AFTER_FREE);
	check(talloc_free(root) == 0);
}

static void all_are_gone(char *const *members, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		is_gone(members[i]);
	}
}

enum { MEMBERS = 20 };

/* Members of a pool, one below the other and side by side, up to some beyond its room. */
static void fill_pool(void *pool, char **members)
{
	int i;

	for (i = 0; i < MEMBERS; i++) {
		members[i] = (char *)talloc_size(i % 3 == 0 ? pool : members[i - 1], (size_t)i * 30);
		check(members[i] != NULL);
		talloc_set_name_const(members[i], "p");
		fill(members[i], (size_t)i * 30, (unsigned)i);
	}
	for (i = 0; i < MEMBERS; i++) {
		check(holds(members[i], (size_t)i * 30, (unsigned)i));
		check(talloc_check_name(members[i], "p") == members[i]);
	}
}

static void stale_members(void)
{
	static const size_t rooms[] = { 4 * KIB, ROOM, SLICE - 2 * KIB, 300 * KIB };
	char *old[MEMBERS], *new[MEMBERS];
	size_t i;

	for (i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		void *pool = talloc_pool(NULL, rooms[i]), *kept = talloc_new(NULL), *again;
		char *large;

		check(rooms[i] > SLICE || is_lone(pool));
		/* One by one. */
		fill_pool(pool, old);
		for (int n = MEMBERS - 1; n >= 0; n--) {
			check(talloc_free(old[n]) == 0);
		}
		all_are_gone(old, MEMBERS);
		/* All at once; the pool stays, and is what it was. */
		fill_pool(pool, old);
		talloc_free_children(pool);
		all_are_gone(old, MEMBERS);
		check(talloc_get_size(pool) == 0 && talloc_parent(pool) == NULL);
		fill_pool(pool, old);
		check(tm_reset(pool) == 0);
		all_are_gone(old, MEMBERS);
		check(talloc_total_blocks(pool) == 1);
		/* But for its name. */
		check(talloc_set_name(pool, "%s", "a name") != NULL);
		fill_pool(pool, old);
		talloc_free_children(pool);
		check(strcmp(talloc_get_name(pool), "a name") == 0 && talloc_total_blocks(pool) == 2);
		all_are_gone(old, MEMBERS);
		/* With the pool. */
		fill_pool(pool, old);
		check(talloc_free(pool) == 0);
		all_are_gone(old, MEMBERS);
		/* With one that lives on. */
		pool = talloc_pool(NULL, rooms[i]);
		fill_pool(pool, old);
		check(talloc_steal(kept, old[0]) == old[0] && talloc_free(pool) == 0);
		all_are_gone(old + 3, MEMBERS - 3);
		check(talloc_total_blocks(kept) == 4 && holds(old[1], 30, 1));
		check(talloc_free(kept) == 0);
		all_are_gone(old, MEMBERS);
		/* In the same place lies another pool, and then what is none. */
		again = talloc_pool(NULL, rooms[i]);
		all_are_gone(old, MEMBERS);
		fill_pool(again, new);
		for (int n = 0; n < MEMBERS; n++) {
			for (int m = 0; m < MEMBERS; m++) {
				if (old[n] == new[m]) {
					old[n] = NULL;
				}
			}
			if (old[n] != NULL) {
				is_gone(old[n]);
			}
		}
		check(talloc_free(again) == 0);
		large = (char *)talloc_size(NULL, SLICE + rooms[i]);
		for (int n = 0; n < MEMBERS; n++) {
			/* But for where its own header is. */
			if (new[n] < large - KIB || new[n] > large + KIB) {
				is_gone(new[n]);
			}
		}
		check(talloc_free(large) == 0);
	}
}

/* What a growable pool lays by when it is emptied. */
static void stale_in_large_blocks(void)
{
	void *pool = tm_pool_growable(NULL, ROOM, 1 << 20);
	char *members[200];
	int round, i;

	check(tm_pool_set_keep(pool, 16 << 20) == 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 200; i++) {
			members[i] = (char *)talloc_size(i % 3 == 0 ? pool : members[i - 1], 5000);
			fill(members[i], 5000, (unsigned)i);
		}
		for (i = 0; i < 200; i++) {
			check(holds(members[i], 5000, (unsigned)i));
		}
		check(tm_reset(pool) == 0);
		all_are_gone(members, 200);
	}
	check(talloc_free(pool) == 0);
	all_are_gone(members, 200);
}

/* As many as there may be; some that share their slice are the first in it. */
static bool has_few(void *const *pools, int n)
{
	int i, lone = 0;

	for (i = 0; i < n; i++) {
		lone += is_lone(pools[i]) ? 1 : 0;
	}
	return lone >= FEW && lone <= FEW + 6;
}

static void make(void **pools, int n)
{
	char *members[MEMBERS];
	int i;

	for (i = 0; i < n; i++) {
		pools[i] = talloc_pool(NULL, ROOM);
		fill_pool(pools[i], members);
	}
}

static void *free_all(void *pools)
{
	void **pool = (void **)pools;
	int i;

	for (i = 0; i < MANY; i++) {
		check(talloc_free(pool[i]) == 0);
	}
	return NULL;
}

static void *make_and_end(void *pools)
{
	make((void **)pools, MANY);
	check(has_few((void *const *)pools, MANY));
	return NULL;
}

static void few_at_a_time(void)
{
	void *pools[MANY], *pair[2];
	pthread_t thread;
	int round;

	for (round = 0; round < 50; round++) {
		make(pools, MANY);
		check(has_few(pools, MANY));
		/* Here, or in another thread. */
		if (round % 2 == 0) {
			(void)free_all(pools);
		} else {
			check(pthread_create(&thread, NULL, free_all, pools) == 0);
			check(pthread_join(thread, NULL) == 0);
		}
		/* Those of a thread that has ended. */
		check(pthread_create(&thread, NULL, make_and_end, pools) == 0);
		check(pthread_join(thread, NULL) == 0);
		(void)free_all(pools);
	}
	/* A small one is worth no slice. */
	pair[0] = talloc_pool(NULL, 1000);
	pair[1] = talloc_pool(NULL, 1000);
	check(!is_lone(pair[0]) || !is_lone(pair[1]));
	check(talloc_free(pair[0]) == 0 && talloc_free(pair[1]) == 0);
	/* And a context that threads share keeps none for itself. */
	pair[0] = tm_shared_pool(NULL, ROOM);
	pair[1] = talloc_pool(pair[0], ROOM);
	check(!is_lone(pair[0]) || !is_lone(pair[1]));
	check(talloc_free(pair[0]) == 0);
}

/* Many are no more memory than they need. */
static void many_pools(void)
{
	enum { POOLS = 5000 };
	static void *pools[POOLS];
	long before = kib_of("VmRSS:");
	int i;

	for (i = 0; i < POOLS; i++) {
		pools[i] = talloc_pool(NULL, 4000);
		check(talloc_strdup(pools[i], "one") != NULL);
	}
	check(kib_of("VmRSS:") - before < POOLS * 6L);
	for (i = 0; i < POOLS; i++) {
		check(talloc_free(pools[i]) == 0);
	}
}

/* A fork: both processes go on with what there is, and the child's own are no others than its parent's would be. */
static void forked(void)
{
	void *pools[MANY], *more[MANY];
	char *members[MEMBERS], *new[MEMBERS];
	int status, i;
	pid_t pid;

	make(pools, MANY);
	fill_pool(pools[0], members);
	fflush(stdout);
	pid = fork();
	for (i = 0; i < MEMBERS; i++) {
		check(holds(members[i], (size_t)i * 30, (unsigned)i));
	}
	fill_pool(pools[1], new);
	talloc_free_children(pools[0]);
	all_are_gone(members, MEMBERS);
	(void)free_all(pools);
	all_are_gone(members, MEMBERS);
	all_are_gone(new, MEMBERS);
	make(more, MANY);
	check(has_few(more, MANY));
	(void)free_all(more);
	expect_no_fault();
	if (pid == 0) {
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	catch_faults();
	learn_place();
	must_pass("stale members", stale_members);
	must_pass("stale in large blocks", stale_in_large_blocks);
	must_pass("few at a time", few_at_a_time);
	must_pass("many pools", many_pools);
	must_pass("forked", forked);
	return 0;
}
