/*
 * Guaranteed reserves: every misuse, sources that are caches or general sizes, pools that end with
 * their context, and memory that is there.
 */
#include "mempool.h"

static int refuse(tm_mempool *unused)
{
	(void)unused;
	return -1;
}

static void misuse(void)
{
	char *context = node(NULL, "context");
	tm_mempool *m, *none[4];
	struct element *e[3];
	struct tm_stats stats;
	tm_cache *c;
	void *p;
	int i;

	set_mood(GIVES);
	expect_refused(tm_mempool_create(context, 0, make, unmake, &source) == NULL, "0 elements");
	expect_refused(tm_mempool_create(context, 1, NULL, unmake, &source) == NULL, "no function");
	expect_refused(tm_mempool_create(context, 1, make, NULL, &source) == NULL, "no function");
	expect_refused(tm_mempool_create_kmalloc(context, 1, 0) == NULL, "0 bytes");
	expect_refused(tm_mempool_create_kmalloc(context, 0, 1) == NULL, "0 elements");
	expect_refused(tm_mempool_create_cache(context, 1, NULL) == NULL, "is no cache");
	expect_refused(tm_mempool_create_cache(context, 1, (tm_cache *)context) == NULL, "is no cache");
	errno = 0;
	check(tm_mempool_create(context, SIZE_MAX, make, unmake, &source) == NULL && errno == ENOMEM);
	errno = 0;
	check(tm_mempool_create_kmalloc(context, 1, SIZE_MAX) == NULL && errno == ENOMEM);
	set_mood(FAILS);
	errno = 0;
	check(tm_mempool_create(context, 1, make, unmake, &source) == NULL && errno == ENOMEM);
	set_mood(GIVES);
	errno = 0;
	check(tm_mempool_create(context, MADE + 1, make, unmake, &source) == NULL && errno == ENOMEM);
	check(source.live == 0 && talloc_total_blocks(context) == 1);

	m = tm_mempool_create(context, 2, make, unmake, &source);
	check(m != NULL && talloc_parent(m) == context);
	tm_mempool_free(m, NULL);
	expect_silence();
	expect_refused((tm_mempool_free(m, &p), 1), "none is");
	expect_refused(tm_mempool_alloc(m, 2) == NULL, "unknown flags: 2");
	expect_refused(tm_mempool_alloc(m, (unsigned)-1) == NULL, "unknown flags");
	expect_refused(tm_mempool_resize(m, 0) == -1, "0 elements");
	errno = 0;
	check(tm_mempool_resize(m, SIZE_MAX) == -1 && errno == ENOMEM);
	set_mood(FAILS);
	errno = 0;
	check(tm_mempool_resize(m, 3) == -1 && errno == ENOMEM);
	e[0] = (struct element *)tm_mempool_alloc(m, 0);
	e[1] = (struct element *)tm_mempool_alloc(m, TM_NOWAIT);
	check(e[0] != NULL && e[1] != NULL && e[0] != e[1]);
	check(tm_mempool_alloc_timeout(m, 0) == NULL && errno == ETIMEDOUT);
	expect_busy(tm_mempool_destroy(m) == -1, "2 elements are still out");
	tm_mempool_free(m, e[0]);
	expect_refused((tm_mempool_free(m, e[0]), 1), "has been freed already");
	expect_busy(tm_mempool_destroy(m) == -1, "1 elements are still out");
	tm_mempool_free(m, e[1]);
	expect_silence();

	/* What is no pool. */
	none[0] = NULL;
	none[1] = (tm_mempool *)context;
	none[2] = (tm_mempool *)(void *)e;
	none[3] = (tm_mempool *)((char *)m + 16);
	for (i = 0; i < 5; i++) {
		tm_mempool *bad = i < 4 ? none[i] : m;
		const char *why = i < 4 ? "is no mempool" : "is no mempool that is alive: it was freed";

		if (i == 4) {
			check(talloc_free(context) == 0);
			check(source.live == 0);
			expect_silence();
		}
		expect_refused(tm_mempool_alloc(bad, 0) == NULL, why);
		expect_refused(tm_mempool_alloc_timeout(bad, 1000) == NULL, why);
		expect_refused((tm_mempool_free(bad, e), 1), why);
		expect_refused(tm_mempool_resize(bad, 3) == -1, why);
		expect_refused(tm_mempool_destroy(bad) == -1, why);
	}

	/* Freed with its parent while an element is out: said, and the element stays with its owner. */
	set_mood(GIVES);
	context = node(NULL, "context");
	m = tm_mempool_create(context, 2, make, unmake, &source);
	e[0] = (struct element *)tm_mempool_alloc(m, 0);
	check(talloc_free(context) == 0);
	check(strstr(ours_log, "was freed while 1 ") != NULL);
	ours_log[0] = '\0';
	check(source.live == 1 && e[0]->live);
	unmake(e[0], &source);

	/* A cache and kmalloc know their own. */
	c = tm_cache_create(NULL, "objects", 100, 0, 0, NULL, NULL);
	m = tm_mempool_create_cache(NULL, 4, c);
	p = tm_mempool_alloc(m, 0);
	check(p != NULL);
	expect_busy(tm_cache_destroy(c) == -1, "5");
	expect_refused((tm_mempool_free(m, (char *)p + 8), 1), "is no element");
	tm_mempool_free(m, p);
	check(tm_mempool_destroy(m) == 0);
	/* A pool that is referred to lives on, and so does one whose destructor refuses. */
	m = tm_mempool_create_cache(c, 4, c);
	context = node(NULL, "context");
	check(talloc_reference(context, m) == m);
	expect_busy(tm_mempool_destroy(m) == -1, "has references");
	check(talloc_free(context) == 0);
	talloc_set_destructor(m, refuse);
	expect_busy(tm_mempool_destroy(m) == -1, "refuses to be freed");
	talloc_set_destructor(m, NULL);
	/* With its cache. */
	p = tm_mempool_alloc(m, 0);
	check(p != NULL);
	tm_mempool_free(m, p);
	expect_silence();
	check(talloc_free(c) == 0);
	expect_refused(tm_mempool_alloc(m, 0) == NULL, "is no mempool");
	m = tm_mempool_create_kmalloc(NULL, 4, 100);
	p = tm_mempool_alloc(m, 0);
	check(p != NULL);
	expect_refused((tm_mempool_free(m, &p), 1), "is no element");
	check(tm_stats(m, &stats) == 0);
	check(stats.current_allocated == 100 && stats.allocation_count == 1 && stats.free_count == 0);
	tm_mempool_free(m, p);
	check(tm_stats(m, &stats) == 0);
	check(stats.current_allocated == 0 && stats.peak_allocated == 100 && stats.free_count == 1);
	check(tm_mempool_destroy(m) == 0);
	expect_silence();
	expect_no_fault();
}

/* Memory that is there: no page of the reserve is fetched when it is used. */
enum { BIG = 64 * 1024, BIGS = 64 };

static long faults(void)
{
	struct rusage usage;

	check(getrusage(RUSAGE_SELF, &usage) == 0);
	return usage.ru_minflt;
}

/* Writes to all of the reserve; how many pages had to be fetched. */
static long faults_of_use(tm_mempool *m, void **elements)
{
	long before = faults(), after;
	int i;

	for (i = 0; i < BIGS; i++) {
		memset(elements[i], i, BIG);
	}
	after = faults();
	for (i = 0; i < BIGS; i++) {
		tm_mempool_free(m, elements[i]);
	}
	return after - before;
}

static void take_all(tm_mempool *m, void **elements)
{
	int i;

	for (i = 0; i < BIGS; i++) {
		elements[i] = tm_mempool_alloc(m, TM_NOWAIT);
		check(elements[i] != NULL);
	}
}

static void memory_is_there(void)
{
	tm_mempool *m = tm_mempool_create_kmalloc(NULL, BIGS, BIG);
	void *elements[BIGS], *more[BIGS];
	struct rlimit limit, no_more;
	int status, i;
	pid_t pid;

	check(m != NULL);
	/* Nothing more to be had: kmalloc fails, and the reserve serves. */
	check(getrlimit(RLIMIT_AS, &limit) == 0);
	no_more = limit;
	no_more.rlim_cur = 1 << 20;
	check(setrlimit(RLIMIT_AS, &no_more) == 0);
	for (i = 0; i < BIGS && (more[i] = tm_kmalloc(BIG)) != NULL; i++) {
	}
	/* What free memory the process still had is used up; the rest is the reserve's. */
	take_all(m, elements);
	check(faults_of_use(m, elements) < BIGS);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		alarm(20);
		/* The first use makes it this process's own. */
		take_all(m, elements);
		check(faults_of_use(m, elements) < BIGS);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
	check(setrlimit(RLIMIT_AS, &limit) == 0);
	while (i > 0) {
		tm_kfree(more[--i]);
	}
	check(tm_mempool_destroy(m) == 0);
	expect_silence();
}

int main(void)
{
	catch_faults();
	alarm(150);
	misuse();
	memory_is_there();
	expect_no_fault();
	return 0;
}
