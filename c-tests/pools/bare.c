/*
 * Bare bytes of pools, as C programs see them: every misuse, what takes them for a chunk, pools of every kind,
 * large ones, when they go, what they count for, limits that have a say, and a pool that threads share.
 */
#include "pools.h"

#include <pthread.h>

enum { KIB = 1024 };

/* Each chunk is a block of malloc's: no pool has room of its own. */
static int on_malloc;

/* `size` bare bytes that were written over. */
static char *piece(void *pool, size_t size, int byte)
{
	char *at = (char *)tm_palloc(pool, size);

	check(at != NULL && ((uintptr_t)at & 15) == 0);
	memset(at, byte, size);
	return at;
}

static int is_whole(const char *at, size_t size, int byte)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (at[i] != (char)byte) {
			return 0;
		}
	}
	return 1;
}

static void misuse(void)
{
	char *plain = node(NULL, "plain");
	void *pool = tm_pool_growable(plain, KIB, 0);
	char *member = node(pool, "member");
	tm_cache *cache = tm_cache_create(plain, "cache", 64, 0, 0, NULL, NULL);
	size_t sizes[] = { (size_t)1 << 28, SIZE_MAX / 2, SIZE_MAX - 15, SIZE_MAX };
	size_t i, round;

	expect_refused(tm_palloc(plain, 8) == NULL, "tm_palloc: plain is not a pool");
	expect_refused(tm_palloc(member, 8) == NULL, "tm_palloc: member is not a pool");
	expect_refused(tm_pcalloc(plain, 8) == NULL, "tm_pcalloc: plain is not a pool");
	expect_refused(tm_palloc(cache, 8) == NULL, "is not a pool");
	/* As a new pool, and as one in use. */
	for (round = 0; round < 2; round++) {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			errno = 0;
			check(tm_palloc(pool, sizes[i]) == NULL && errno == ENOMEM);
			errno = 0;
			check(tm_pcalloc(pool, sizes[i]) == NULL && errno == ENOMEM);
		}
		piece(pool, 8, 1);
	}
	expect_silence();

	/* What is no chunk is a fault, and the call gives NULL. */
	check(tm_palloc(NULL, 8) == NULL);
	expect_fault(UNKNOWN);
	check(tm_pcalloc(NULL, 8) == NULL);
	expect_fault(UNKNOWN);
	check(tm_palloc(&sizes, 8) == NULL);
	expect_fault(UNKNOWN);
	check(tm_palloc((char *)pool + 8, 8) == NULL);
	expect_fault(UNKNOWN);
	if (!on_malloc) {
		check(tm_palloc((void *)(uintptr_t)0x12345670, 8) == NULL);
		expect_fault(UNKNOWN);
	}
	check(talloc_free(pool) == 0);
	if (!on_malloc) {
		check(tm_palloc(pool, 8) == NULL);
		expect_fault(AFTER_FREE);
		check(tm_pcalloc(pool, 8) == NULL);
		expect_fault(AFTER_FREE);
	}
	check(talloc_free(plain) == 0);
}

/* Whatever takes a chunk, or memory of another kind, knows them for none, and they stay as they were. */
static void they_are_no_chunks(void)
{
	void *pool = tm_pool_growable(NULL, 4 * KIB, 0);
	char *plain = node(NULL, "plain");
	tm_cache *cache = tm_cache_create(plain, "cache", 64, 0, 0, NULL, NULL);
	char *pieces[3];
	size_t i;

	/* Beside a member without a payload, beside others, and by itself. */
	talloc_new(pool);
	pieces[0] = piece(pool, 64, 'a');
	pieces[1] = piece(pool, 64, 'b');
	pieces[2] = piece(pool, 5 << 20, 'c');
	for (i = 0; i < 3; i++) {
		check(talloc_free(pieces[i]) == -1);
		expect_fault(UNKNOWN);
		check(talloc_steal(plain, pieces[i]) == NULL);
		expect_fault(UNKNOWN);
		check(talloc_size(pieces[i], 8) == NULL);
		expect_fault(UNKNOWN);
		check(talloc_realloc_size(plain, pieces[i], 100) == NULL);
		expect_fault(UNKNOWN);
		check(talloc_get_name(pieces[i]) == NULL || ours_faults == 1);
		expect_fault(UNKNOWN);
		check(tm_reset(pieces[i]) == -1);
		expect_fault(UNKNOWN);
		check(tm_palloc(pieces[i], 8) == NULL);
		expect_fault(UNKNOWN);
		expect_refused((tm_kfree(pieces[i]), 1), "tm_kfree");
		expect_refused((tm_cache_free(cache, pieces[i]), 1), "tm_cache_free");
		check(is_whole(pieces[i], 64, 'a' + (int)i));
	}
	/* They are not to be seen where chunks are. */
	check(talloc_total_blocks(pool) == 2 && talloc_total_size(pool) == 0);
	check(talloc_free(pool) == 0 && talloc_free(plain) == 0);
}

/* Pools of every kind have them, of every size, and lose them when they are to. */
static void every_kind_of_pool(void)
{
	static const size_t sizes[] = { 1, 15, 16, 17, 100, 1000, 4000, 40000, 400000, 4 << 20 };
	enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
	void *root = talloc_new(NULL);
	void *pools[] = { talloc_pool(root, 0),
			  talloc_pool(root, 100),
			  talloc_pool(root, 10 << 20),
			  talloc_pooled_object(root, uint64_t, 9, 100),
			  tm_pool_growable(root, 0, 0),
			  tm_pool_growable(root, 100, 1000),
			  tm_pool_growable(root, 64 * KIB, 0),
			  tm_shared_pool(root, 1000) };
	char *pieces[SIZES];
	char *zeros;
	size_t i, j, round;

	for (i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		void *pool = pools[i];

		for (round = 0; round < 6; round++) {
			char *out = node(pool, "out");
			struct tm_stats before, now;

			check(tm_stats(pool, &before) == 0);
			for (j = 0; j < SIZES; j++) {
				pieces[j] = piece(pool, sizes[j], (int)j);
				memset(talloc_size(pool, sizes[j]), 0xff, sizes[j]);
				check(tm_palloc(pool, 0) != NULL);
			}
			for (j = 0; j < SIZES; j++) {
				check(is_whole(pieces[j], sizes[j], (int)j));
			}
			/* Where others were. */
			zeros = (char *)tm_pcalloc(pool, 5000);
			check(zeros != NULL && is_whole(zeros, 5000, 0));
			if (round % 2 == 0) {
				talloc_steal(root, out);
			}
			if (round < 4) {
				check(tm_reset(pool) == 0);
			} else {
				talloc_free_children(pool);
			}
			check(tm_stats(pool, &now) == 0);
			check(now.current_allocated <= before.current_allocated);
			check(now.allocation_count >= before.allocation_count + 2 * SIZES + 1);
			if (round % 2 == 0) {
				check(talloc_free(out) == 0);
			}
		}
		piece(pool, 100, 1);
		piece(pool, 5 << 20, 1);
	}
	/* With the last ones in them. */
	check(talloc_free(root) == 0);
}

static char *seen_by_destructor;

static int look(char *ptr)
{
	(void)ptr;
	check(is_whole(seen_by_destructor, 1000, 'x'));
	/* One that is made meanwhile goes with the others. */
	check(tm_palloc(talloc_parent(ptr), 10) != NULL);
	return 0;
}

/* Destructors of what is freed with them find them whole. */
static void they_go_last(void)
{
	void *pool = tm_pool_growable(NULL, KIB, 0);
	int round;

	for (round = 0; round < 4; round++) {
		char *early = node(pool, "early");

		seen_by_destructor = piece(pool, 1000, 'x');
		talloc_set_destructor(early, look);
		talloc_set_destructor(node(pool, "late"), look);
		if (round < 3) {
			check(tm_reset(pool) == 0);
			check(talloc_total_blocks(pool) == 1);
		}
	}
	check(talloc_free(pool) == 0);
}

static void counts(void)
{
	void *root = talloc_new(NULL);
	void *pool = tm_pool_growable(root, 4 * KIB, 0);
	struct tm_stats s, t;
	int counting;

	for (counting = 0; counting < 2; counting++) {
		struct tm_stats before;

		if (counting) {
			check(tm_stats_enable(root) == 0 && tm_stats_enable(pool) == 0);
		}
		check(tm_stats(pool, &before) == 0);
		piece(pool, 100, 1);
		piece(pool, 1, 1);
		piece(pool, 4 << 20, 1);
		check(talloc_size(pool, 50) != NULL);
		check(tm_palloc(pool, (size_t)1 << 28) == NULL);
		check(tm_stats(pool, &s) == 0);
		check(s.allocation_count == before.allocation_count + 4);
		check(s.free_count == before.free_count);
		check(s.failed_count == before.failed_count + 1);
		check(s.current_allocated == before.current_allocated + (4 << 20) + 151);
		check(s.total_allocated == before.total_allocated + (4 << 20) + 151);
		if (counting) {
			check(tm_stats(root, &t) == 0);
			check(t.current_allocated == s.current_allocated);
			/* A move of the pool takes along what is in it. */
			talloc_steal(NULL, pool);
			check(tm_stats(root, &t) == 0 && t.current_allocated == 0);
			talloc_steal(root, pool);
			check(tm_stats(root, &t) == 0 && t.current_allocated == s.current_allocated);
		}
		check(tm_reset(pool) == 0);
		check(tm_stats(pool, &s) == 0);
		check(s.current_allocated == 0 && s.free_count == s.allocation_count);
		check(s.peak_allocated == (4 << 20) + 151);
	}
	/* Counted from the middle, and freed with the pool. */
	check(tm_stats(root, &t) == 0 && t.current_allocated == 0);
	piece(pool, 1000, 1);
	check(talloc_free(pool) == 0);
	check(tm_stats(root, &t) == 0 && t.current_allocated == 0);
	check(t.free_count == t.allocation_count);
	check(talloc_free(root) == 0);
}

static int evict(void *ctx, size_t used, size_t wanted, size_t limit, void *data)
{
	check(ctx != NULL && used + wanted > limit);
	++*(int *)data;
	/* Of the very pool that more is wanted of. */
	return tm_reset(*(void **)ctx);
}

static void limits(void)
{
	void **ctx = (void **)talloc_size(NULL, sizeof(void *));
	int i, calls = 0;

	*ctx = tm_pool_growable(ctx, KIB, 4 * KIB);
	piece(*ctx, 3 * KIB, 1);
	check(tm_limit(ctx, 0, 100 * KIB, evict, &calls) == 0);
	for (i = 0; i < 10000; i++) {
		piece(*ctx, 200, i);
		piece(*ctx, 2000, i);
	}
	check(calls > 100 && calls < 1000);
	errno = 0;
	check(tm_palloc(*ctx, 200 * KIB) == NULL && errno == ENOMEM);
	check(tm_reset(*ctx) == 0);
	/* Nothing is left of all that: nearly the whole limit is there again. */
	check(tm_limit(ctx, 0, 100 * KIB, NULL, NULL) == 0);
	piece(*ctx, 90 * KIB, 1);
	check(tm_palloc(*ctx, 20 * KIB) == NULL && errno == ENOMEM);
	talloc_free_children(*ctx);
	piece(*ctx, 90 * KIB, 1);
	check(talloc_free(*ctx) == 0);
	check(talloc_size(ctx, 90 * KIB) != NULL);
	check(talloc_free(ctx) == 0);
}

static void *leaving;

static int move_away(void *ctx, size_t used, size_t wanted, size_t limit, void *to)
{
	check(ctx != to && used + wanted > limit);
	check(talloc_steal(to, leaving) == leaving);
	return 0;
}

/* What goes to another shared context while a limit is asked is left alone, and refused. */
static void moves_away(void)
{
	void *from = tm_shared_context(NULL, "from"), *to = tm_shared_context(NULL, "to");
	void *pool = tm_pool_growable(from, KIB, 0);
	char *plain = node(from, "plain");
	struct tm_stats s;

	check(tm_limit(from, 0, 8 * KIB, move_away, to) == 0);
	leaving = pool;
	errno = 0;
	check(tm_palloc(pool, 9 * KIB) == NULL && errno == ENOMEM);
	check(talloc_parent(pool) == to);
	check(tm_stats(pool, &s) == 0 && s.failed_count == 0 && s.allocation_count == 0);
	leaving = plain;
	errno = 0;
	check(talloc_realloc_size(from, plain, 9 * KIB) == NULL && errno == ENOMEM);
	check(talloc_parent(plain) == to);
	expect_silence();
	expect_refused(tm_palloc(plain, 8) == NULL, "tm_palloc: plain is not a pool");
	check(talloc_free(from) == 0 && talloc_free(to) == 0);
}

/* Members that moved to another thread's tree are freed there, while bare bytes are taken and given up here. */
static void *free_them(void *arg)
{
	void **out = (void **)arg;

	check(talloc_free(*out) == 0);
	return NULL;
}

static void members_elsewhere(void)
{
	void *pool = tm_pool_growable(NULL, KIB, 0);
	int round, i;

	for (round = 0; round < often(200); round++) {
		void *out = talloc_new(NULL);
		pthread_t other;

		for (i = 0; i < 50; i++) {
			talloc_steal(out, talloc_size(pool, 50));
			piece(pool, 50, i);
		}
		check(pthread_create(&other, NULL, free_them, &out) == 0);
		for (i = 0; i < 50; i++) {
			piece(pool, 100, i);
		}
		check(tm_reset(pool) == 0);
		check(pthread_join(other, NULL) == 0);
	}
	check(talloc_free(pool) == 0);
}

static void *use_shared(void *pool)
{
	int i;

	for (i = 0; i < often(20000); i++) {
		char *at = piece(pool, 24, i);

		check(is_whole(at, 24, i));
		if (i % 100 == 0) {
			talloc_free(talloc_size(pool, 100));
		}
	}
	return NULL;
}

static void shared(void)
{
	enum { THREADS = 4 };
	void *pool = tm_shared_pool(NULL, 64 * KIB);
	pthread_t running[THREADS];
	struct tm_stats s;
	size_t i;

	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&running[i], NULL, use_shared, pool) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(running[i], NULL) == 0);
	}
	check(tm_stats(pool, &s) == 0);
	check(s.current_allocated == THREADS * (size_t)often(20000) * 24);
	check(talloc_free(pool) == 0);
}

int main(void)
{
	const char *options = getenv("TMEMPOOL_OPTIONS");

	on_malloc = options != NULL && strstr(options, "backend=malloc") != NULL;
	catch_faults();
	misuse();
	they_are_no_chunks();
	every_kind_of_pool();
	they_go_last();
	counts();
	limits();
	moves_away();
	members_elsewhere();
	shared();
	expect_no_fault();
	return 0;
}
