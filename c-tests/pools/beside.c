/*
 * A member that is stolen to the parent of its pool stays in the one tree that draws on the pool. From the moment in which
 * the tree comes apart, whichever way, two threads may draw on it: each way is tried, and then both do.
 *
 * ROUNDS says how often each of the two uses what it has.
 */
#include "contents.h"
#include "pools.h"

#include <pthread.h>

enum { HELD = 6 };

static long rounds = 30000;
static pthread_barrier_t barrier;

/* Draws on the pool of `from`, and gives back, with contents that nobody else may touch. */
static void draw_on(void *from, unsigned of)
{
	char *held[HELD] = { NULL };
	long i;

	for (i = 0; i < rounds; i++) {
		size_t at = (size_t)i % HELD, size = 1 + (size_t)(i * 7) % 150;

		if (held[at] != NULL) {
			check(holds(held[at], talloc_get_size(held[at]), of));
			if (i % 5 == 0) {
				held[at] = (char *)talloc_realloc_size(from, held[at], size + 200);
				check(held[at] != NULL);
			}
			check(talloc_free(held[at]) == 0);
		}
		held[at] = (char *)talloc_size(i % 3 == 0 && at > 0 && held[at - 1] != NULL ? held[at - 1] : from, size);
		check(held[at] != NULL);
		fill(held[at], size, of);
		if (i % 3 == 0 && at > 0) {
			/* It goes with its parent. */
			check(talloc_free(held[at]) == 0);
			held[at] = NULL;
		}
	}
	for (i = 0; i < HELD; i++) {
		if (held[i] != NULL) {
			check(holds(held[i], talloc_get_size(held[i]), of));
			check(talloc_free(held[i]) == 0);
		}
	}
}

static void *other(void *from)
{
	pthread_barrier_wait(&barrier);
	draw_on(from, 2);
	return NULL;
}

/* Two threads at once, each with a tree of its own, which draw on one pool. */
static void apart(void *one, void *two)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, other, two) == 0);
	pthread_barrier_wait(&barrier);
	draw_on(one, 1);
	check(pthread_join(thread, NULL) == 0);
}

static void *home, *away;
static char *stray;

static int refuse(char *p)
{
	return p == stray ? -1 : 0;
}

/* A pool below `home`, and a member of it beside it. */
static void *pool_and_stray(size_t room)
{
	void *pool;

	home = talloc_new(NULL);
	away = talloc_new(NULL);
	check(home != NULL && away != NULL);
	pool = talloc_pool(home, room);
	check(pool != NULL && talloc_strdup(pool, "first") != NULL);
	stray = talloc_strdup(pool, "stray");
	check(stray != NULL && talloc_steal(home, stray) == stray);
	check(talloc_parent(stray) == home);
	return pool;
}

static void end(void *pool, size_t members)
{
	struct tm_stats stats;

	check(strcmp(stray, "stray") == 0);
	if (pool != NULL) {
		check(tm_stats(pool, &stats) == 0);
		check(stats.allocation_count - stats.free_count == members);
		check(stats.failed_count == 0);
	}
	check(talloc_free(home) == 0 && talloc_free(away) == 0);
}

/* The pool goes to another tree. */
static void pool_moves(size_t room)
{
	void *pool = pool_and_stray(room);

	check(talloc_steal(away, pool) == pool);
	apart(pool, stray);
	end(pool, 2);
}

/* It goes, and comes back, and the member goes. */
static void pool_comes_back(size_t room)
{
	void *pool = pool_and_stray(room);

	check(talloc_steal(NULL, pool) == pool && talloc_steal(home, pool) == pool);
	check(talloc_reparent(home, away, stray) == stray);
	apart(pool, stray);
	end(pool, 2);
}

/* The member goes to another tree. */
static void member_moves(size_t room)
{
	void *pool = pool_and_stray(room);

	check(talloc_steal(away, stray) == stray);
	apart(pool, stray);
	end(pool, 2);
}

/* Home, where it came from, and beside the pool again, and then to another tree. */
static void member_comes_home(size_t room)
{
	void *pool = pool_and_stray(room);

	check(talloc_steal(pool, stray) == stray && talloc_steal(home, stray) == stray);
	check(talloc_steal(NULL, stray) == stray);
	check(talloc_steal(away, stray) == stray);
	apart(pool, stray);
	end(pool, 2);
}

/* What was drawn below the member goes to another tree. */
static void grandchild_moves(size_t room)
{
	void *pool = pool_and_stray(room);
	char *below = talloc_strdup(talloc_strdup(stray, "child"), "grandchild");

	check(talloc_steal(away, below) == below);
	apart(pool, below);
	check(talloc_free(below) == 0);
	end(pool, 3);
}

/* With what lies in the heap between. */
static void heap_between(size_t room)
{
	void *pool = pool_and_stray(room);
	void *heap = talloc_size(home, 10);
	char *below = talloc_strdup(stray, "below");

	check(talloc_steal(heap, below) == below);
	check(talloc_steal(stray, heap) == heap);
	check(talloc_steal(away, heap) == heap);
	apart(pool, below);
	check(talloc_free(heap) == 0);
	end(pool, 2);
}

/* Of two members beside the pool that is gone, one goes. */
static void orphans_part(size_t room)
{
	void *pool = pool_and_stray(room);
	char *second = talloc_strdup(pool, "second");

	check(talloc_steal(home, second) == second && talloc_free(pool) == 0);
	check(talloc_steal(away, second) == second);
	apart(stray, second);
	check(strcmp(second, "second") == 0);
	end(NULL, 0);
}

/* The parent goes, and the member, which refuses to, is its grandparent's; the pool has been taken to safety. */
static void parent_dies(size_t room)
{
	void *pool = pool_and_stray(room), *top = talloc_new(NULL);

	check(talloc_steal(top, home) == home);
	talloc_set_destructor(stray, refuse);
	check(talloc_steal(away, pool) == pool);
	check(talloc_free(home) == 0 && talloc_parent(stray) == top);
	home = top;
	apart(pool, stray);
	talloc_set_destructor(stray, NULL);
	end(pool, 2);
}

/* The same, and the pool is what stays, by a reference that is held elsewhere. */
static void pool_outlives(size_t room)
{
	void *pool = pool_and_stray(room), *top = talloc_new(NULL);

	check(talloc_steal(top, stray) == stray || talloc_parent(stray) == home);
	check(talloc_reference(away, pool) == pool);
	check(talloc_free(home) == 0 && talloc_parent(pool) == away);
	home = top;
	apart(pool, stray);
	end(pool, 2);
}

/* The tree moves as a whole, and comes apart after that. */
static void tree_moves(size_t room)
{
	void *pool = pool_and_stray(room), *top = talloc_new(NULL);

	check(talloc_steal(top, home) == home);
	draw_on(pool, 1);
	draw_on(stray, 2);
	check(talloc_steal(NULL, home) == home && talloc_free(top) == 0);
	check(talloc_steal(away, pool) == pool);
	apart(pool, stray);
	end(pool, 2);
}

/* The tree becomes part of a shared context, where all threads draw on the pool, and the member leaves that. */
static void shared_home(size_t room)
{
	void *pool = pool_and_stray(room);
	void *shared = tm_shared_context(NULL, "shared");

	check(shared != NULL && talloc_steal(shared, home) == home);
	apart(pool, stray);
	check(talloc_steal(away, stray) == stray);
	apart(pool, stray);
	check(talloc_steal(NULL, home) == home);
	apart(pool, stray);
	end(pool, 2);
	check(talloc_free(shared) == 0);
}

/* In the place of a member with children comes a chunk of the heap, which goes to another tree, and they with it. */
static void heap_instead(size_t room)
{
	int is_beside;

	for (is_beside = 0; is_beside < 2; is_beside++) {
		void *pool = pool_and_stray(room);
		char *member = talloc_strdup(pool, "member"), *below = talloc_strdup(member, "below");

		if (is_beside != 0) {
			check(talloc_steal(home, member) == member);
		}
		member = (char *)talloc_realloc_size(NULL, member, 8 << 20);
		check(member != NULL && talloc_parent(below) == member);
		check(talloc_steal(away, member) == member);
		apart(pool, below);
		check(talloc_free(member) == 0);
		end(pool, 2);
	}
}

enum { MEMBERS = 40000 };

static char *strays[MEMBERS];
static void *shared;
static pthread_t user;

static void *free_strays(void *unused)
{
	int i;

	pthread_barrier_wait(&barrier);
	for (i = MEMBERS - 1; i >= 0; i--) {
		check(talloc_free(strays[i]) == 0);
	}
	return unused;
}

/* While the pool is on its way out, its parent goes where another thread uses it, and what is beside the pool. */
static int move_home(char *p)
{
	check(p != NULL && talloc_steal(shared, home) == home);
	check(pthread_create(&user, NULL, free_strays, NULL) == 0);
	pthread_barrier_wait(&barrier);
	return 0;
}

/* Both threads free what each has of the pool: none is lost, or the pool would stay for ever. */
static void dying_pool(size_t room)
{
	enum { TIMES = 40 };
	long before = 0;
	int i, round;

	for (round = 0; round < TIMES && room == 1000; round++) {
		void *pool = pool_and_stray(MEMBERS * 150L);
		char *last;

		for (i = 0; i < MEMBERS; i++) {
			strays[i] = (char *)talloc_size(stray, 16);
			check(strays[i] != NULL && talloc_size(pool, 16) != NULL);
		}
		last = talloc_strdup(pool, "last");
		shared = tm_shared_context(NULL, "shared");
		talloc_set_destructor(last, move_home);
		check(talloc_free(pool) == 0);
		check(pthread_join(user, NULL) == 0);
		check(strcmp(stray, "stray") == 0);
		check(talloc_free(shared) == 0 && talloc_free(away) == 0);
		if (round == TIMES / 4) {
			before = kib_of("VmRSS:");
		}
	}
	check(before == 0 || kib_of("VmRSS:") < before + 20000);
}

/* A pool that threads share, and a member that leaves for its parent's tree, which they do not. */
static void shared_pool(size_t room)
{
	void *pool;

	home = talloc_new(NULL);
	away = talloc_new(NULL);
	pool = tm_shared_pool(home, room);
	stray = talloc_strdup(pool, "stray");
	check(stray != NULL && talloc_steal(home, stray) == stray);
	apart(pool, stray);
	end(NULL, 0);
}

/* The pool is emptied, and used anew, while the member lives on beside it. */
static void emptied(size_t room)
{
	void *pool = pool_and_stray(room);

	check(tm_reset(pool) == 0);
	draw_on(pool, 1);
	check(strcmp(stray, "stray") == 0);
	check(talloc_steal(away, stray) == stray);
	apart(pool, stray);
	check(tm_reset(pool) == 0);
	end(pool, 1);
}

/* With nothing left it is as it was when it was new: no thread shares it, and the next member that is beside it may go. */
static void settled(size_t room)
{
	void *pool = pool_and_stray(room);

	check(talloc_free(stray) == 0 && tm_reset(pool) == 0);
	draw_on(pool, 1);
	stray = talloc_strdup(pool, "stray");
	check(talloc_steal(home, stray) == stray && talloc_steal(away, stray) == stray);
	apart(pool, stray);
	end(pool, 1);
}

/* Beside a pool that has no parent there is nobody. */
static void pool_without_parent(size_t room)
{
	void *pool = talloc_pool(NULL, room);

	home = talloc_new(NULL);
	away = talloc_new(NULL);
	stray = talloc_strdup(pool, "stray");
	check(talloc_steal(NULL, stray) == stray);
	apart(pool, stray);
	check(talloc_steal(home, stray) == stray && talloc_steal(away, pool) == pool);
	end(pool, 1);
}

int main(void)
{
	static void (*const ways[])(size_t) = {
		pool_moves, pool_comes_back, member_moves, member_comes_home, grandchild_moves, heap_between,
		orphans_part, parent_dies, pool_outlives, tree_moves, shared_home, heap_instead, dying_pool, shared_pool,
		emptied, settled, pool_without_parent,
	};
	/* A slot, a slice, and more than that; the last is used up, and what comes then is the heap's. */
	static const size_t rooms[] = { 1000, 8192, 200000, 300 };
	const char *number = getenv("ROUNDS");
	size_t way, room;

	if (number != NULL) {
		rounds = atol(number);
	}
	rounds = often(rounds);
	check(pthread_barrier_init(&barrier, NULL, 2) == 0);
	for (way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
		for (room = 0; room < sizeof(rooms) / sizeof(rooms[0]); room++) {
			if (getenv("TALK") != NULL) {
				printf("way %zu, room %zu\n", way, rooms[room]);
				fflush(stdout);
			}
			ways[way](rooms[room]);
		}
	}
	printf("ok\n");
	return 0;
}
