/*
 * Growable pools, reset, statistics and limits with a say, as C programs see them: every
 * misuse, blocks that double, memory that is kept, what destructors and references
 * make of a reset, counts, and functions that have their say.
 */
#include "pools.h"

/* talloc_set_memlimit() is, and works. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include <pthread.h>

enum { KIB = 1024 };

/* Each chunk is a block of malloc's: no pool keeps memory, and what was freed is not known. */
static int on_malloc;

static int deaths;

static int die(char *ptr)
{
	(void)ptr;
	deaths++;
	return 0;
}

static int refuse(char *ptr)
{
	(void)ptr;
	return -1;
}

static void misuse(void)
{
	char *plain = node(NULL, "plain");
	void *pool = tm_pool_growable(plain, 100, 0);
	struct tm_stats stats;

	check(pool != NULL && talloc_parent(pool) == plain);
	check(talloc_get_size(pool) == 0);

	errno = 0;
	check(tm_pool_growable(plain, (size_t)1 << 28, 0) == NULL && errno == ENOMEM);
	errno = 0;
	check(tm_pool_growable(plain, SIZE_MAX, SIZE_MAX) == NULL && errno == ENOMEM);
	check(talloc_total_blocks(plain) == 2);
	expect_silence();

	expect_refused(tm_pool_set_keep(plain, 1000) == -1, "is not a pool");
	expect_refused(tm_stats(plain, &stats) == -1, "was not asked to count");
	expect_refused(tm_stats(pool, NULL) == -1, "nowhere to write to");
	expect_silence();

	/* What is no chunk is a fault, and the call gives -1. */
	check(tm_reset(NULL) == -1);
	expect_fault(UNKNOWN);
	check(tm_pool_set_keep(NULL, 0) == -1);
	expect_fault(UNKNOWN);
	check(tm_stats_enable(NULL) == -1);
	expect_fault(UNKNOWN);
	check(tm_stats(NULL, &stats) == -1);
	expect_fault(UNKNOWN);
	check(tm_limit(NULL, 0, 0, NULL, NULL) == -1);
	expect_fault(UNKNOWN);
	check(tm_pool_growable(&stats, 0, 0) == NULL);
	expect_fault(UNKNOWN);
	check(talloc_free(pool) == 0);
	if (!on_malloc) {
		check(tm_reset(pool) == -1);
		expect_fault(AFTER_FREE);
	}

	/* The null context is all threads'. */
	talloc_enable_null_tracking();
	pool = talloc_parent(node(NULL, "orphan"));
	check(pool != NULL);
	expect_refused(tm_stats_enable(pool) == -1, "null context");
	expect_refused(tm_limit(pool, 1, 1, NULL, NULL) == -1, "null context");
	talloc_free_children(pool);
	talloc_disable_null_tracking();
}

static void blocks_that_double(void)
{
	static const size_t sizes[][2] = { { 0, 0 },	  { 1, 1 },
					   { 100, 1000 }, { 1024, 64 * KIB },
					   { 5000, 10 },  { (size_t)5 << 20, (size_t)1 << 30 } };
	size_t i, j, round;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *pool = tm_pool_growable(NULL, sizes[i][0], sizes[i][1]);
		char *first = NULL;

		for (round = 0; round < 3; round++) {
			for (j = 0; j < 3000; j++) {
				size_t size = j * 7919 % (j % 100 == 0 ? 100000 : 300);
				char *p = (char *)talloc_size(pool, size);

				check(p != NULL && ((uintptr_t)p & 15) == 0);
				memset(p, (int)j, size);
				if (j == 0) {
					check(on_malloc || first == NULL || p == first ||
					      sizes[i][0] < 100);
					first = p;
				}
			}
			check(talloc_total_blocks(pool) == 3001);
			check(tm_reset(pool) == 0);
			check(talloc_total_blocks(pool) == 1 && talloc_total_size(pool) == 0);
		}
		check(talloc_free(pool) == 0);
	}
}

/* A server that resets one pool a million times keeps its memory, and no more. */
static void memory_stays(void)
{
	void *pool = tm_pool_growable(NULL, 4 * KIB, 0);
	long before = 0;
	int i, j;

	for (i = 0; i < 20000; i++) {
		for (j = 0; j < 50; j++) {
			check(talloc_size(pool, (size_t)(i * 31 + j * 17) % 500) != NULL);
		}
		check(talloc_strdup(talloc_new(pool), "a string in a context") != NULL);
		check(tm_reset(pool) == 0);
		if (i == 100) {
			before = kib_of("VmRSS:");
		}
	}
	check(on_malloc || kib_of("VmRSS:") - before < 1024);

	/* After a peak the limit holds. */
	for (i = 0; i < 200000; i++) {
		check(talloc_size(pool, 200) != NULL);
	}
	check(tm_pool_set_keep(pool, 64 * KIB) == 0);
	check(tm_reset(pool) == 0);
	tm_release_free_memory();
	check(on_malloc || kib_of("VmRSS:") - before < 4096);
	check(talloc_free(pool) == 0);
}

static void a_reset_is_a_free_of_the_children(void)
{
	char *root = node(NULL, "root");
	char *pool = (char *)tm_pool_growable(root, KIB, 0);
	char *out, *kept, *stays, *gone;
	int round;

	talloc_set_name(pool, "pool of %d", 7);
	for (round = 0; round < 3; round++) {
		deaths = 0;
		gone = node(node(pool, "a"), "b");
		talloc_set_destructor(gone, die);
		out = node(pool, "out");
		talloc_steal(root, out);
		kept = node(pool, "kept");
		talloc_reference(root, kept);
		stays = node(pool, "stays");
		talloc_set_destructor(stays, refuse);
		talloc_steal(pool, node(root, "in"));
		check(tm_reset(pool) == 0);
		check(deaths == 1);
		check(talloc_parent(out) == root && talloc_parent(kept) == root);
		check(talloc_parent(stays) == root);
		check(strcmp(talloc_get_name(pool), "pool of 7") == 0);
		check(talloc_total_blocks(pool) == 2);
		if (!on_malloc) {
			check(talloc_get_name(gone) == NULL || ours_faults == 1);
			expect_fault(AFTER_FREE);
		}
		talloc_set_destructor(stays, (int (*)(char *))NULL);
		check(talloc_free(stays) == 0 && talloc_free(kept) == 0 && talloc_free(out) == 0);
	}
	/* From within a destructor of what is being reset. */
	check(tm_reset(root) == 0);
	check(talloc_total_blocks(root) == 1);
	check(talloc_free(root) == 0);
}

static int reset_parent(char *ptr)
{
	deaths++;
	check(tm_reset(talloc_parent(ptr)) == 0);
	return 0;
}

static void reset_from_a_destructor(void)
{
	char *pool = (char *)tm_pool_growable(NULL, KIB, 0);
	int i;

	deaths = 0;
	for (i = 0; i < 100; i++) {
		char *p = node(pool, "p");

		talloc_set_destructor(p, reset_parent);
		node(p, "below");
	}
	check(tm_reset(pool) == 0);
	check(deaths == 100 && talloc_total_blocks(pool) == 1);
	check(talloc_free(pool) == 0);
}

static void counts(void)
{
	char *root = node(NULL, "root");
	char *pool = (char *)tm_pool_growable(root, KIB, 16 * KIB);
	char *inner = node(pool, "inner");
	char *p, *moved;
	struct tm_stats s, t;

	check(tm_stats(pool, &s) == 0 && s.allocation_count == 1);
	check(tm_stats_enable(root) == 0 && tm_stats_enable(root) == 0);
	check(tm_stats(root, &s) == 0);
	check(s.allocation_count == talloc_total_blocks(root) - 1);
	check(s.current_allocated == talloc_total_size(root) - talloc_get_size(root));
	check(tm_stats_enable(inner) == 0);

	p = (char *)talloc_size(inner, 1000);
	moved = (char *)talloc_size(root, 100000);
	check(tm_stats(inner, &t) == 0);
	check(t.allocation_count == 1 && t.current_allocated == 1000 && t.peak_allocated == 1000);
	p = (char *)talloc_realloc_size(inner, p, 3000);
	p = (char *)talloc_realloc_size(inner, p, 50);
	check(tm_stats(inner, &t) == 0);
	check(t.total_allocated == 3000 && t.current_allocated == 50 && t.peak_allocated == 3000);
	talloc_steal(inner, moved);
	check(tm_stats(inner, &t) == 0 && t.allocation_count == 2 && t.current_allocated == 100050);
	check(talloc_size(inner, (size_t)1 << 30) == NULL);
	check(talloc_realloc_size(inner, p, (size_t)1 << 30) == NULL);
	check(tm_stats(inner, &t) == 0 && t.failed_count == 2);
	check(tm_stats(root, &t) == 0 && t.failed_count == 2);
	check(t.allocation_count == s.allocation_count + 2 && t.free_count == 0);
	check(tm_reset(pool) == 0);
	check(tm_stats(root, &t) == 0);
	check(t.allocation_count - t.free_count == 1 && t.current_allocated == 0);
	check(talloc_free(root) == 0);
}

struct eviction {
	void *cache;
	int calls;
	int soft_calls;
	size_t soft;
};

static int evict(void *ctx, size_t used, size_t wanted, size_t limit, void *data)
{
	struct eviction *e = (struct eviction *)data;

	check(ctx != NULL && used + wanted > limit);
	if (limit == e->soft) {
		e->soft_calls++;
		return 0;
	}
	e->calls++;
	/* Not from within itself, however much is wanted. */
	check(talloc_size(ctx, 1 << 20) == NULL);
	return tm_reset(e->cache);
}

static void limits(void)
{
	struct eviction e = { NULL, 0, 0, 50000 };
	char *ctx = node(NULL, "ctx");
	char *big;
	int i;

	e.cache = tm_pool_growable(ctx, KIB, 4 * KIB);
	tm_pool_set_keep(e.cache, 0);
	check(tm_limit(ctx, e.soft, 100000, evict, &e) == 0);
	for (i = 0; i < 10000; i++) {
		check(talloc_size(e.cache, 200) != NULL);
	}
	check(e.calls > 20 && e.soft_calls > 20);
	check(tm_reset(e.cache) == 0);
	big = (char *)talloc_size(ctx, 90000);
	check(big != NULL);
	e.calls = 0;
	errno = 0;
	check(talloc_size(ctx, 20000) == NULL && errno == ENOMEM && e.calls == 1);
	/* The old call sets the same limit. */
	check(talloc_set_memlimit(ctx, 200000) == 0);
	check(talloc_size(ctx, 20000) != NULL && e.calls == 1);
	check(tm_limit(ctx, 0, 0, NULL, NULL) == 0);
	check(talloc_size(ctx, 1 << 20) != NULL);
	check(talloc_free(ctx) == 0);
}

static int count_it(void *ctx, size_t used, size_t wanted, size_t limit, void *data)
{
	check(ctx != NULL && used + wanted > limit);
	/* Set anew from within, it has been heard of. */
	check(tm_limit(ctx, limit, 0, count_it, data) == 0);
	++*(int *)data;
	return 0;
}

/* A soft limit that is passed already as it is set is told of with what comes next. */
static void soft_limit_below(void)
{
	void *ctx = talloc_new(NULL);
	int calls = 0;

	check(talloc_size(ctx, 1000) != NULL);
	check(tm_limit(ctx, 10, 0, count_it, &calls) == 0 && calls == 0);
	check(talloc_size(ctx, 100) != NULL && calls == 1);
	check(talloc_size(ctx, 100) != NULL && calls == 1);
	check(talloc_free(ctx) == 0);
}

/* Pools of different trees, in as many threads. */
static void *one_of_many(void *arg)
{
	void *pool = tm_pool_growable(NULL, 512, 8 * KIB);
	uint64_t state = (uintptr_t)arg + 1;
	int i;

	check(tm_stats_enable(pool) == 0);
	for (i = 0; i < 50000; i++) {
		void *p = talloc_size(pool, draw(&state, 500));

		check(p != NULL);
		if (draw(&state, 3) == 0) {
			check(talloc_free(p) == 0);
		} else if (draw(&state, 1000) == 0) {
			check(tm_reset(pool) == 0);
		}
	}
	check(talloc_free(pool) == 0);
	return NULL;
}

static void threads(void)
{
	enum { THREADS = 8 };
	pthread_t running[THREADS];
	size_t i;

	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&running[i], NULL, one_of_many, (void *)i) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(running[i], NULL) == 0);
	}
}

int main(void)
{
	const char *options = getenv("TMEMPOOL_OPTIONS");

	on_malloc = options != NULL && strstr(options, "backend=malloc") != NULL;
	catch_faults();
	misuse();
	blocks_that_double();
	memory_stays();
	a_reset_is_a_free_of_the_children();
	reset_from_a_destructor();
	counts();
	limits();
	soft_limit_below();
	threads();
	expect_no_fault();
	return 0;
}
