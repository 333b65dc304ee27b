/*
 * Guaranteed reserves: a source that fails on purpose under eight threads, timeouts that
 * race with hand-overs, resizes while others wait, every misuse, memory that is there,
 * and forks.
 */
#include "pools.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

enum { THREADS = 8, RESERVE = 5, MADE = 1000 };

/* An element knows who has it. */
struct element {
	int owner;
	int live;
};

/* A source: fails always, never, or most of the time. */
enum mood { GIVES, FAILS, MOODY };

struct source {
	pthread_mutex_t lock;
	int mood;
	uint64_t state;
	long live, refused;
	struct element elements[MADE];
};

static struct source source = { .lock = PTHREAD_MUTEX_INITIALIZER, .state = 1 };

static void set_mood(int mood)
{
	__atomic_store_n(&source.mood, mood, __ATOMIC_RELAXED);
}

static void *make(void *data)
{
	struct source *s = (struct source *)data;
	struct element *e = NULL;
	int i, mood = __atomic_load_n(&s->mood, __ATOMIC_RELAXED);

	/* Without the lock, which a thread may hold that a fork leaves behind. */
	if (mood == FAILS) {
		__atomic_add_fetch(&s->refused, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	if (mood == GIVES || (mood == MOODY && draw(&s->state, 10) == 0)) {
		for (i = 0; i < MADE && e == NULL; i++) {
			if (!s->elements[i].live) {
				e = &s->elements[i];
			}
		}
	}
	if (e != NULL) {
		e->live = 1;
		check(e->owner == 0);
		s->live++;
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

static void unmake(void *element, void *data)
{
	struct source *s = (struct source *)data;
	struct element *e = (struct element *)element;

	pthread_mutex_lock(&s->lock);
	check(e >= s->elements && e < s->elements + MADE);
	check(e->live && e->owner == 0);
	e->live = 0;
	s->live--;
	pthread_mutex_unlock(&s->lock);
}

static void own(struct element *e, int me)
{
	int nobody = 0;

	check(__atomic_load_n(&e->live, __ATOMIC_RELAXED));
	check(__atomic_compare_exchange_n(&e->owner, &nobody, me, 0, __ATOMIC_SEQ_CST,
					  __ATOMIC_SEQ_CST));
}

static void disown(struct element *e, int me)
{
	check(__atomic_compare_exchange_n(&e->owner, &me, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

static tm_mempool *pool;
static int stop;
static long calls_that_waited, calls_timed_out;

/* A call is neither lost nor kept: each thread does what it has to do, with elements of its own. */
static void *use(void *argument)
{
	int me = (int)(uintptr_t)argument;
	uint64_t state = (uint64_t)me * 77;
	long rounds;

	for (rounds = often(20000); rounds > 0; rounds--) {
		struct element *e = NULL;

		switch (draw(&state, 4)) {
		case 0:
			e = (struct element *)tm_mempool_alloc(pool, TM_NOWAIT);
			check(e != NULL || errno == ENOMEM);
			break;
		case 1:
			e = (struct element *)tm_mempool_alloc_timeout(pool, draw(&state, 30000));
			check(e != NULL || errno == ETIMEDOUT);
			if (e == NULL) {
				__atomic_add_fetch(&calls_timed_out, 1, __ATOMIC_RELAXED);
			}
			break;
		default:
			e = (struct element *)tm_mempool_alloc(pool, 0);
			check(e != NULL);
			__atomic_add_fetch(&calls_that_waited, 1, __ATOMIC_RELAXED);
		}
		if (e == NULL) {
			continue;
		}
		own(e, me);
		if (draw(&state, 16) == 0) {
			sched_yield();
		}
		disown(e, me);
		tm_mempool_free(pool, e);
	}
	return NULL;
}

static void run(void *(*fn)(void *), enum mood mood)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	set_mood(mood);
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, fn, (void *)(i + 1)) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	set_mood(FAILS);
}

static void eight_threads(void)
{
	struct element *all[RESERVE];
	int i, round;

	set_mood(GIVES);
	pool = tm_mempool_create(NULL, RESERVE, make, unmake, &source);
	check(pool != NULL && source.live == RESERVE);
	for (round = 0; round < 3; round++) {
		run(use, round == 0 ? FAILS : round == 1 ? MOODY : GIVES);
		/* The reserve is whole, each element there once, and the rest is the source's again. */
		check(source.live == RESERVE);
		for (i = 0; i < RESERVE; i++) {
			all[i] = (struct element *)tm_mempool_alloc(pool, TM_NOWAIT);
			check(all[i] != NULL);
			own(all[i], 99);
		}
		check(tm_mempool_alloc(pool, TM_NOWAIT) == NULL && errno == ENOMEM);
		for (i = 0; i < RESERVE; i++) {
			disown(all[i], 99);
			tm_mempool_free(pool, all[i]);
		}
	}
	check(calls_that_waited > 0 && source.refused > 0);
	expect_silence();
}

/* Threads that hold one element each, for a while; one resizes meanwhile. */
static void *hold(void *argument)
{
	int me = (int)(uintptr_t)argument;
	uint64_t state = (uint64_t)me * 33;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		struct element *e = (struct element *)(draw(&state, 3) == 0 ?
			tm_mempool_alloc_timeout(pool, 1000 + draw(&state, 100000)) :
			tm_mempool_alloc(pool, 0));

		if (e == NULL) {
			check(errno == ETIMEDOUT);
			continue;
		}
		own(e, me);
		if (draw(&state, 4) == 0) {
			sched_yield();
		}
		disown(e, me);
		tm_mempool_free(pool, e);
	}
	return NULL;
}

static void resizes(void)
{
	pthread_t threads[THREADS];
	uint64_t state = 5;
	size_t min = RESERVE;
	uintptr_t i;
	int failed = 0;

	set_mood(MOODY);
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, hold, (void *)(i + 1)) == 0);
	}
	for (i = (uintptr_t)often(3000); i > 0; i--) {
		size_t size = 1 + draw(&state, 12);

		/* Long times in which only the reserve gives. */
		set_mood(i % 100 < 50 ? FAILS : i % 3 ? GIVES : MOODY);
		if (tm_mempool_resize(pool, size) == 0) {
			min = size;
		} else {
			check(size > min && errno == ENOMEM);
			failed++;
		}
		if (i % 10 == 0) {
			usleep(100);
		}
	}
	set_mood(FAILS);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	check(failed > 0);
	check(source.live == (long)min);
	expect_silence();
	check(tm_mempool_destroy(pool) == 0);
	check(source.live == 0);
}

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
	check(strstr(ours_log, "was freed with its context while 1 ") != NULL);
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
	ours_log[0] = '\0';
	check(tm_mempool_destroy(m) == -1);
	check(strstr(ours_log, "tm_mempool_destroy with references") != NULL);
	check(talloc_free(context) == 0);
	talloc_set_destructor(m, refuse);
	expect_refused(tm_mempool_destroy(m) == -1, "refuses to be freed");
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

/* A child has none of its parent's waiters, and goes on. */
static void *wait_long(void *unused)
{
	struct element *e = (struct element *)tm_mempool_alloc(pool, 0);

	check(e != NULL);
	tm_mempool_free(pool, e);
	return unused;
}

static void forks(void)
{
	pthread_t threads[THREADS];
	struct element *e[2];
	uintptr_t i;
	int round, status;
	pid_t pid;

	set_mood(GIVES);
	pool = tm_mempool_create(NULL, 2, make, unmake, &source);
	set_mood(FAILS);
	e[0] = (struct element *)tm_mempool_alloc(pool, 0);
	e[1] = (struct element *)tm_mempool_alloc(pool, 0);
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, wait_long, NULL) == 0);
	}
	usleep(50000);
	for (round = 0; round < 2; round++) {
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			alarm(20);
			check(tm_mempool_alloc(pool, TM_NOWAIT) == NULL);
			/* Nobody waits here: they go to the reserve. */
			tm_mempool_free(pool, e[0]);
			tm_mempool_free(pool, e[1]);
			check(tm_mempool_alloc(pool, 0) == e[1]);
			check(tm_mempool_alloc(pool, 0) == e[0]);
			check(tm_mempool_alloc_timeout(pool, 1000000) == NULL && errno == ETIMEDOUT);
			tm_mempool_free(pool, e[0]);
			tm_mempool_free(pool, e[1]);
			check(tm_mempool_destroy(pool) == 0);
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
	/* In the parent they still wait, and are served. */
	tm_mempool_free(pool, e[0]);
	tm_mempool_free(pool, e[1]);
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}

	/* Forks while the pool is in the middle of anything. */
	__atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, hold, (void *)(i + 1)) == 0);
	}
	for (round = (int)often(100); round > 0; round--) {
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			alarm(20);
			/* What other threads had is out for ever; what is there is used. */
			e[0] = (struct element *)tm_mempool_alloc_timeout(pool, 1000);
			if (e[0] != NULL) {
				tm_mempool_free(pool, e[0]);
				check(tm_mempool_alloc(pool, TM_NOWAIT) == e[0]);
			}
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	check(tm_mempool_destroy(pool) == 0);
	check(source.live == 0);
}

int main(void)
{
	catch_faults();
	alarm(150);
	eight_threads();
	resizes();
	misuse();
	/* Tools that watch a program need address space of their own. */
	if (getenv("NO_LIMITS") == NULL) {
		memory_is_there();
	}
	forks();
	expect_no_fault();
	return 0;
}
