/*
 * Managed ranges: memory that is never touched, every misuse, callbacks that come
 * back, threads that share a range, and forks under load.
 */
#include "pools.h"

#include <pthread.h>
#include <sys/mman.h>

enum { KIB = 1024, RANGE = 1024 * KIB, PAGE = 4096 };

/* Memory that ends the process when it is touched. */
static char *forbidden(size_t size)
{
	void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(at != MAP_FAILED);
	return (char *)at;
}

static const enum tm_genpool_algo algos[] = {
	TM_FIRST_FIT,	    TM_BEST_FIT,	      TM_WORST_FIT, TM_NEXT_FIT,
	TM_FIRST_FIT_ALIGN, TM_FIRST_FIT_ORDER_ALIGN, TM_BUDDY,
};
enum { ALGOS = sizeof(algos) / sizeof(algos[0]) };

static void count(void *start, size_t size, size_t avail, void *arg)
{
	size_t *sum = (size_t *)arg;

	check(start != NULL);
	sum[0]++;
	sum[1] += size;
	sum[2] += avail;
}

static void untouched(void)
{
	char *ranges[3];
	char *context = node(NULL, "context");
	tm_genpool *g = tm_genpool_create(context, 12);
	size_t sum[3] = { 0, 0, 0 };
	struct tm_stats stats;
	size_t i;

	check(g != NULL);
	check(talloc_parent(g) == context);
	for (i = 0; i < 3; i++) {
		ranges[i] = forbidden(RANGE);
		check(tm_genpool_add(g, ranges[i], RANGE) == 0);
		check(tm_genpool_size(g) == (i + 1) * RANGE);
	}
	for (i = 0; i < ALGOS; i++) {
		char *one, *two, *all[3];
		size_t j;

		tm_genpool_set_algo(g, algos[i]);
		one = (char *)tm_genpool_alloc(g, 3 * PAGE);
		two = (char *)tm_genpool_alloc_algo(g, 1, algos[i], 8 * PAGE);
		check(one != NULL && two != NULL && one != two);
		check(((uintptr_t)two & (8 * PAGE - 1)) == 0);
		check(tm_genpool_has_addr(g, one, 3 * PAGE) == 1);
		/* A buddy holds a whole block. */
		check(tm_genpool_avail(g) == 3 * RANGE - (algos[i] == TM_BUDDY ? 4 + 8 : 3 + 1) * PAGE ||
		      algos[i] == TM_BUDDY);
		check(tm_genpool_free(g, one, 3 * PAGE) == 0);
		check(tm_genpool_free(g, two, 1) == 0);
		check(tm_genpool_avail(g) == 3 * RANGE);
		if (algos[i] == TM_BUDDY || algos[i] == TM_FIRST_FIT_ORDER_ALIGN) {
			continue;
		}
		for (j = 0; j < 3; j++) {
			all[j] = (char *)tm_genpool_alloc(g, RANGE);
			check(all[j] != NULL);
		}
		errno = 0;
		check(tm_genpool_alloc(g, 1) == NULL && errno == ENOMEM);
		check(tm_genpool_avail(g) == 0);
		for (j = 0; j < 3; j++) {
			check(tm_genpool_free(g, all[j], RANGE) == 0);
		}
	}
	check(tm_genpool_alloc_fixed(g, ranges[1] + 5 * PAGE, 2 * PAGE) == ranges[1] + 5 * PAGE);
	errno = 0;
	check(tm_genpool_alloc_fixed(g, ranges[1] + 6 * PAGE, PAGE) == NULL && errno == ENOMEM);
	tm_genpool_for_each_chunk(g, count, sum);
	check(sum[0] == 3 && sum[1] == 3 * RANGE && sum[2] == 3 * RANGE - 2 * PAGE);
	check(tm_genpool_free(g, ranges[1] + 5 * PAGE, 2 * PAGE) == 0);
	check(tm_stats(g, &stats) == 0);
	check(stats.current_allocated == 0 && stats.peak_allocated == 3 * RANGE);
	check(stats.allocation_count == stats.free_count && stats.failed_count == 6);
	check(stats.total_allocated > 3 * RANGE);
	check(tm_genpool_destroy(g) == 0);
	check(talloc_total_blocks(context) == 1);
	expect_silence();
	check(talloc_free(context) == 0);
	for (i = 0; i < 3; i++) {
		check(munmap(ranges[i], RANGE) == 0);
	}
}

static void buddies(void)
{
	char *range = forbidden(4 * RANGE);
	char *start = (char *)(((uintptr_t)range + RANGE) & ~(uintptr_t)(RANGE - 1));
	tm_genpool *g = tm_genpool_create(NULL, 12);
	char *blocks[RANGE / PAGE];
	size_t i;

	check(tm_genpool_add(g, start, RANGE) == 0);
	tm_genpool_set_algo(g, TM_BUDDY);
	/* The halves, in order, down to the unit. */
	check((blocks[0] = (char *)tm_genpool_alloc(g, 1)) == start);
	check((blocks[1] = (char *)tm_genpool_alloc(g, RANGE / 2)) == start + RANGE / 2);
	check((blocks[2] = (char *)tm_genpool_alloc(g, RANGE / 4 - PAGE)) == start + RANGE / 4);
	check(tm_genpool_alloc(g, RANGE / 4) == NULL);
	/* First fit uses none of what belongs to a block. */
	check(tm_genpool_alloc_algo(g, RANGE / 4, TM_FIRST_FIT, 0) == NULL);
	/* A free must name what was asked for, not the block. */
	expect_refused(tm_genpool_free(g, blocks[2], RANGE / 4) == -1, "bytes, not");
	expect_refused(tm_genpool_free(g, blocks[2] + RANGE / 4 - PAGE, PAGE) == -1, "in the middle");
	check(tm_genpool_free(g, blocks[2], RANGE / 4 - PAGE) == 0);
	check(tm_genpool_free(g, blocks[0], 1) == 0);
	/* They have merged. */
	check((blocks[0] = (char *)tm_genpool_alloc(g, RANGE / 2)) == start);
	check(tm_genpool_free(g, blocks[0], RANGE / 2) == 0);
	check(tm_genpool_free(g, blocks[1], RANGE / 2) == 0);
	for (i = 0; i < RANGE / PAGE; i++) {
		check((blocks[i] = (char *)tm_genpool_alloc(g, PAGE)) == start + i * PAGE);
	}
	for (i = 0; i < RANGE / PAGE; i++) {
		check(tm_genpool_free(g, blocks[i * 37 % (RANGE / PAGE)], PAGE) == 0);
	}
	check(tm_genpool_alloc(g, RANGE) == start);
	check(tm_genpool_free(g, start, RANGE) == 0);
	check(tm_genpool_destroy(g) == 0);
	expect_silence();
	check(munmap(range, 4 * RANGE) == 0);
}

static void misuse(void)
{
	char *range = forbidden(RANGE);
	char *context = node(NULL, "context");
	tm_genpool *g = tm_genpool_create(context, 12);
	tm_genpool *bad[4];
	size_t sum[3] = { 0, 0, 0 };
	size_t i;
	char *p;

	/* Adds. */
	expect_refused(tm_genpool_add(g, NULL, RANGE) == -1, "misaligned");
	expect_refused(tm_genpool_add(g, range + 1, PAGE) == -1, "misaligned");
	expect_refused(tm_genpool_add(g, range, PAGE + 1) == -1, "misaligned");
	expect_refused(tm_genpool_add(g, range, 0) == -1, "too small");
	expect_refused(tm_genpool_add(g, range, PAGE - 1) == -1, "too small");
	expect_refused(tm_genpool_add(g, range, SIZE_MAX) == -1, "misaligned");
	expect_refused(tm_genpool_add(g, range, SIZE_MAX & ~(size_t)(PAGE - 1)) == -1, "too large");
	check(tm_genpool_size(g) == 0 && tm_genpool_avail(g) == 0);
	check(tm_genpool_add(g, range + PAGE, RANGE - 2 * PAGE) == 0);
	expect_refused(tm_genpool_add(g, range + PAGE, RANGE - 2 * PAGE) == -1, "overlaps");
	expect_refused(tm_genpool_add(g, range, 2 * PAGE) == -1, "overlaps");
	expect_refused(tm_genpool_add(g, range, RANGE) == -1, "overlaps");
	expect_refused(tm_genpool_add(g, range + 9 * PAGE, PAGE) == -1, "overlaps");
	expect_refused(tm_genpool_add(g, range + RANGE - 2 * PAGE, 2 * PAGE) == -1, "overlaps");
	check(tm_genpool_add(g, range, PAGE) == 0);
	check(tm_genpool_add(g, range + RANGE - PAGE, PAGE) == 0);

	/* Allocations. */
	expect_refused(tm_genpool_alloc(g, 0) == NULL, "a size of 0");
	expect_refused(tm_genpool_alloc_algo(g, 0, TM_BUDDY, 0) == NULL, "a size of 0");
	expect_refused(tm_genpool_alloc_algo(g, 1, TM_FIRST_FIT, 3) == NULL, "no power of two");
	expect_refused(tm_genpool_alloc_algo(g, 1, TM_FIRST_FIT, SIZE_MAX) == NULL, "no power of two");
	expect_refused(tm_genpool_alloc_algo(g, 1, (enum tm_genpool_algo)7, 0) == NULL, "7 is no algorithm");
	expect_refused(tm_genpool_alloc_algo(g, 1, (enum tm_genpool_algo)-1, 0) == NULL, "is no algorithm");
	expect_refused((tm_genpool_set_algo(g, (enum tm_genpool_algo)99), 1), "99 is no algorithm");
	expect_refused(tm_genpool_alloc_fixed(g, range, 0) == NULL, "a size of 0");
	expect_refused(tm_genpool_alloc_fixed(g, NULL, 1) == NULL, "not in a range");
	expect_refused(tm_genpool_alloc_fixed(g, range + RANGE, 1) == NULL, "not in a range");
	expect_refused(tm_genpool_alloc_fixed(g, range, PAGE + 1) == NULL, "not in a range");
	expect_refused(tm_genpool_alloc_fixed(g, range + PAGE, SIZE_MAX) == NULL, "not in a range");
	expect_refused(tm_genpool_alloc_fixed(g, range + PAGE + 1, 1) == NULL, "misaligned");
	for (i = 0; i < ALGOS; i++) {
		errno = 0;
		check(tm_genpool_alloc_algo(g, SIZE_MAX, algos[i], 0) == NULL && errno == ENOMEM);
		errno = 0;
		check(tm_genpool_alloc_algo(g, 1, algos[i], (size_t)1 << 63) == NULL && errno == ENOMEM);
	}
	expect_silence();
	check(tm_genpool_avail(g) == RANGE);

	/* Frees. */
	p = (char *)tm_genpool_alloc_fixed(g, range + 8 * PAGE, 4 * PAGE);
	check(p != NULL);
	expect_refused(tm_genpool_free(g, NULL, PAGE) == -1, "in no range");
	expect_refused(tm_genpool_free(g, range + RANGE, PAGE) == -1, "in no range");
	expect_refused(tm_genpool_free(g, &p, PAGE) == -1, "in no range");
	expect_refused(tm_genpool_free(g, p - PAGE, PAGE) == -1, "not allocated");
	expect_refused(tm_genpool_free(g, p + 1, 4 * PAGE) == -1, "in the middle");
	expect_refused(tm_genpool_free(g, p + PAGE, 3 * PAGE) == -1, "in the middle");
	expect_refused(tm_genpool_free(g, p, 0) == -1, "has 16384 bytes, not 0");
	expect_refused(tm_genpool_free(g, p, 3 * PAGE) == -1, "has 16384 bytes, not 12288");
	expect_refused(tm_genpool_free(g, p, 5 * PAGE) == -1, "has 16384 bytes, not 20480");
	expect_refused(tm_genpool_free(g, p, SIZE_MAX) == -1, "has 16384 bytes, not");
	expect_busy(tm_genpool_destroy(g) == -1, "1 allocations of 16384 bytes are still out");
	/* Any size of as many units is the size. */
	check(tm_genpool_free(g, p, 3 * PAGE + 1) == 0);
	expect_refused(tm_genpool_free(g, p, 4 * PAGE) == -1, "not allocated");

	/* What is no pool. */
	bad[0] = NULL;
	bad[1] = (tm_genpool *)context;
	bad[2] = (tm_genpool *)sum;
	bad[3] = (tm_genpool *)((char *)g + 16);
	for (i = 0; i < 5; i++) {
		tm_genpool *none = i < 4 ? bad[i] : g;
		const char *why = i < 4 ? "is no genpool" : "is no genpool that is alive: it was freed";

		if (i == 4) {
			check(talloc_free(context) == 0);
			expect_silence();
		}
		expect_refused(tm_genpool_add(none, range, PAGE) == -1, why);
		expect_refused(tm_genpool_alloc(none, PAGE) == NULL, why);
		expect_refused(tm_genpool_alloc_algo(none, PAGE, TM_BUDDY, 0) == NULL, why);
		expect_refused(tm_genpool_alloc_fixed(none, range, PAGE) == NULL, why);
		expect_refused(tm_genpool_free(none, range, PAGE) == -1, why);
		expect_refused((tm_genpool_set_algo(none, TM_BUDDY), 1), why);
		expect_refused(tm_genpool_avail(none) == 0, why);
		expect_refused(tm_genpool_size(none) == 0, why);
		expect_refused(tm_genpool_has_addr(none, range, 1) == 0, why);
		expect_refused((tm_genpool_for_each_chunk(none, count, sum), 1), why);
		expect_refused(tm_genpool_destroy(none) == -1, why);
		check(sum[0] == 0);
	}

	/* Orders. */
	for (i = 0; i < 64; i++) {
		g = tm_genpool_create(NULL, (unsigned)i);
		check(g != NULL);
		check(tm_genpool_alloc(g, 1) == NULL && errno == ENOMEM);
		check(tm_genpool_add(g, (void *)((uintptr_t)1 << i), (size_t)1 << i) == 0);
		check(tm_genpool_alloc(g, 1) == (void *)((uintptr_t)1 << i));
		expect_busy(tm_genpool_destroy(g) == -1, "are still out");
		check(tm_genpool_free(g, (void *)((uintptr_t)1 << i), 1) == 0);
		check(tm_genpool_destroy(g) == 0);
	}
	expect_refused(tm_genpool_create(NULL, 64) == NULL, "64 is too large");
	expect_refused(tm_genpool_create(NULL, (unsigned)-1) == NULL, "is too large");
	check(munmap(range, RANGE) == 0);
	expect_no_fault();
}

/* Callbacks that come back into the pool, and out of its life. */
static tm_genpool *visited;
static char *visited_parent;
static int visits;

static void come_back(void *start, size_t size, size_t avail, void *arg)
{
	void *p = tm_genpool_alloc_fixed(visited, start, PAGE);

	check(size == 16 * PAGE && avail == size && arg == &visits);
	check(p == start);
	check(tm_genpool_free(visited, p, PAGE) == 0);
	check(tm_genpool_avail(visited) == tm_genpool_size(visited));
	if (++visits < 4) {
		check(tm_genpool_add(visited, (char *)start + 16 * PAGE, 16 * PAGE) == 0);
	}
	tm_genpool_for_each_chunk(visited, count, (size_t[3]){ 0, 0, 0 });
}

static void destroy_it(void *start, size_t size, size_t avail, void *arg)
{
	(void)start, (void)size, (void)avail, (void)arg;
	visits++;
	check(tm_genpool_destroy(visited) == 0);
}

static void free_its_parent(void *start, size_t size, size_t avail, void *arg)
{
	(void)start, (void)size, (void)avail, (void)arg;
	visits++;
	check(talloc_free(visited_parent) == 0);
}

static void callbacks(void)
{
	char *range = forbidden(RANGE);
	int i;

	visited = tm_genpool_create(NULL, 12);
	check(tm_genpool_add(visited, range, 16 * PAGE) == 0);
	tm_genpool_for_each_chunk(visited, come_back, &visits);
	check(visits == 4 && tm_genpool_size(visited) == 4 * 16 * PAGE);
	expect_refused((tm_genpool_for_each_chunk(visited, NULL, NULL), 1), "no function");
	expect_silence();
	check(tm_genpool_destroy(visited) == 0);

	for (i = 0; i < 2; i++) {
		visits = 0;
		visited_parent = node(NULL, "parent");
		visited = tm_genpool_create(visited_parent, 12);
		check(tm_genpool_add(visited, range, PAGE) == 0);
		check(tm_genpool_add(visited, range + PAGE, PAGE) == 0);
		tm_genpool_for_each_chunk(visited, i == 0 ? destroy_it : free_its_parent, NULL);
		check(visits == 1);
	}
	/* Freed with its parent while something is out: said, and done. */
	visited_parent = node(NULL, "parent");
	visited = tm_genpool_create(visited_parent, 12);
	check(tm_genpool_add(visited, range, RANGE) == 0);
	check(tm_genpool_alloc(visited, 1) == range);
	expect_silence();
	check(talloc_free(visited_parent) == 0);
	check(strstr(ours_log, "was freed while 1 ") != NULL);
	ours_log[0] = '\0';
	check(munmap(range, RANGE) == 0);
}

/* Threads fill what they are given, and find it as they left it. */
enum { THREADS = 8, HELD = 20 };

static tm_genpool *shared;
static int stop;

static void *use(void *argument)
{
	uint64_t state = (uint64_t)(uintptr_t)argument * 77 + 1;
	struct {
		unsigned char *at;
		size_t size;
	} held[HELD] = { { NULL, 0 } };
	long rounds = 0;
	size_t i, j;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE) || rounds < 1000) {
		i = draw(&state, HELD);
		if (held[i].at != NULL) {
			for (j = 0; j < held[i].size; j++) {
				check(held[i].at[j] == (unsigned char)(uintptr_t)argument);
			}
			check(tm_genpool_free(shared, held[i].at, held[i].size) == 0);
		}
		held[i].size = 1 + draw(&state, 3000);
		held[i].at = (unsigned char *)tm_genpool_alloc_algo(shared, held[i].size,
								    algos[draw(&state, ALGOS)],
								    (size_t)1 << draw(&state, 10));
		if (held[i].at != NULL) {
			memset(held[i].at, (int)(uintptr_t)argument, held[i].size);
		}
		rounds++;
	}
	for (i = 0; i < HELD; i++) {
		check(held[i].at == NULL ||
		      tm_genpool_free(shared, held[i].at, held[i].size) == 0);
	}
	return NULL;
}

static void threads_and_forks(void)
{
	static char memory[300 * KIB] __attribute__((aligned(64)));
	pthread_t threads[THREADS];
	size_t i, size;

	shared = tm_genpool_create(NULL, 6);
	check(tm_genpool_add(shared, memory, 100 * KIB) == 0);
	check(tm_genpool_add(shared, memory + 100 * KIB, 200 * KIB) == 0);
	size = tm_genpool_size(shared);
	check(size == sizeof(memory));
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, use, (void *)(i + 1)) == 0);
	}
	for (i = (size_t)often(100); i > 0; i--) {
		int status;
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			void *p;

			alarm(20);
			p = tm_genpool_alloc(shared, 1);
			check(p == NULL || tm_genpool_free(shared, p, 1) == 0);
			check(tm_genpool_avail(shared) <= size);
			check(talloc_free(shared) == 0);
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	check(tm_genpool_avail(shared) == size);
	check(tm_genpool_destroy(shared) == 0);
	expect_silence();
}

int main(void)
{
	catch_faults();
	untouched();
	buddies();
	misuse();
	callbacks();
	threads_and_forks();
	expect_no_fault();
	return 0;
}
