/*
 * Threads that wait for an element of a guaranteed reserve: a source that fails on purpose under
 * eight of them, timeouts that race with hand-overs, resizes while others wait, and forks.
 */
#include "mempool.h"

enum { THREADS = 8, RESERVE = 5 };

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
	forks();
	expect_no_fault();
	return 0;
}
