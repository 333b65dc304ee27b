/*
 * Threads come and go, free what others made, free late: nothing is lost, nothing
 * is kept. Memory is watched, since a leak shows nowhere else.
 */
#include "ours.h"

#include <pthread.h>

static char *handed[1000];

static void *allocate_and_exit(void *argument)
{
	long number = (long)argument;
	char *root = talloc_asprintf(NULL, "thread %ld", number);
	int i;

	for (i = 0; i < 100; i++) {
		char *p = (char *)talloc_zero_size(root, 1000);

		memset(p, (int)number, 1000);
	}
	handed[number % 1000] = root;
	return NULL;
}

static void *free_handed(void *argument)
{
	long first = (long)argument;
	long i;

	for (i = first; i < first + 100; i++) {
		check(talloc_total_blocks(handed[i]) == 101);
		check(talloc_free(handed[i]) == 0);
		handed[i] = NULL;
	}
	return NULL;
}

static void run_threads(int count, void *(*fn)(void *), long step)
{
	pthread_t threads[20];
	long i, j;

	for (i = 0; i < count; i += 20) {
		for (j = 0; j < 20 && i + j < count; j++) {
			check(pthread_create(&threads[j], NULL, fn, (void *)((i + j) * step)) == 0);
		}
		for (j = 0; j < 20 && i + j < count; j++) {
			check(pthread_join(threads[j], NULL) == 0);
		}
	}
}

/* A thread that only makes, one that only frees. */
enum { QUEUE = 1024 };

/* $PASSED and $ROUNDS say otherwise. */
static long passed = 1000000;
static int rounds = 8;

static char *queue[QUEUE];
static unsigned long head, tail;

static void *make(void *unused)
{
	long i;

	for (i = 0; i < passed; i++) {
		while (__atomic_load_n(&tail, __ATOMIC_ACQUIRE) + QUEUE == head) {
			sched_yield();
		}
		queue[head % QUEUE] = (char *)talloc_size(NULL, 200);
		check(queue[head % QUEUE] != NULL);
		__atomic_store_n(&head, head + 1, __ATOMIC_RELEASE);
	}
	return unused;
}

static void *take(void *unused)
{
	long i;

	for (i = 0; i < passed; i++) {
		while (__atomic_load_n(&head, __ATOMIC_ACQUIRE) == tail) {
			sched_yield();
		}
		check(talloc_free(queue[tail % QUEUE]) == 0);
		__atomic_store_n(&tail, tail + 1, __ATOMIC_RELEASE);
	}
	return unused;
}

/* Threads' keys: their destructors free contexts, and allocate once more. */
static pthread_key_t key;
static int late_frees;

static void free_late(void *root)
{
	char *p = talloc_asprintf(NULL, "allocated late");

	check(talloc_total_blocks(root) == 3);
	check(talloc_free(root) == 0);
	check(talloc_free(p) == 0);
	__atomic_add_fetch(&late_frees, 1, __ATOMIC_RELAXED);
}

static void *with_key(void *unused)
{
	char *root = node(NULL, "root");

	node(node(root, "a"), "b");
	check(pthread_setspecific(key, root) == 0);
	return unused;
}

/* A key set again in its own destructor: called some rounds later still. */
static pthread_key_t stubborn;

static void free_in_last_round(void *value)
{
	char *counter = (char *)value;

	if (++*counter < 4) {
		check(pthread_setspecific(stubborn, counter) == 0);
		check(talloc_free(talloc_size(NULL, 100)) == 0);
		return;
	}
	check(talloc_free(counter) == 0);
	__atomic_add_fetch(&late_frees, 1, __ATOMIC_RELAXED);
}

static void *with_stubborn_key(void *unused)
{
	char *counter = (char *)talloc_zero_size(NULL, 10);

	check(pthread_setspecific(stubborn, counter) == 0);
	return unused;
}

/* One tree of the main thread, used by one thread after the other. */
static char *shared;

static void *use_shared(void *argument)
{
	long number = (long)argument;
	char *p = talloc_asprintf(shared, "%ld", number);

	p = talloc_realloc(shared, p, char, 2000);
	if (number % 2 == 0) {
		check(talloc_free(p) == 0);
	}
	return NULL;
}

/* All threads have built at once, so that each has a heap of its own. */
enum { BUILDERS = 50 };

static char *built[BUILDERS];
static pthread_barrier_t all_have_built;

/* 2 MiB in chunks of all sizes, so that there is something in a span of each. */
static void *build_and_exit(void *argument)
{
	long number = (long)argument;
	char *root = node(NULL, "built");
	size_t size, got;

	for (size = 16; size < 8000; size += size / 8 + 16) {
		for (got = 0; got < 60000; got += size + 48) {
			memset(talloc_size(root, size), 1, size);
		}
	}
	built[number] = root;
	pthread_barrier_wait(&all_have_built);
	return NULL;
}

static void build_at_once(void)
{
	pthread_t threads[BUILDERS];
	long before = kib_of("VmRSS:"), after, i;

	check(pthread_barrier_init(&all_have_built, NULL, BUILDERS) == 0);
	for (i = 0; i < BUILDERS; i++) {
		check(pthread_create(&threads[i], NULL, build_and_exit, (void *)i) == 0);
	}
	for (i = 0; i < BUILDERS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	for (i = 0; i < BUILDERS; i++) {
		check(talloc_free(built[i]) == 0);
	}
	after = kib_of("VmRSS:");
	if (after > before + 40 * 1024) {
		printf("%ld KiB resident, and %ld after all was freed\n", before, after);
	}
	check(after <= before + 40 * 1024);
}

int main(void)
{
	long i, before;
	int round;

	if (getenv("PASSED") != NULL) {
		passed = atol(getenv("PASSED"));
	}
	if (getenv("ROUNDS") != NULL) {
		rounds = atoi(getenv("ROUNDS"));
	}
	catch_faults();

#ifndef __SANITIZE_THREAD__
	/* Which has shadows of memory resident, too. */
	puts("trees of threads that have ended, freed here");
	build_at_once();
#endif

	puts("a thousand threads, freed by others, again and again");
	/* 110 MB are in use at once; eight times as much passes through. */
	before = kib_of("VmSize:");
	for (round = 0; round < rounds; round++) {
		run_threads(1000, allocate_and_exit, 1);
		run_threads(10, free_handed, 100);
	}
	check(kib_of("VmSize:") < before + 400 * 1024);

	puts("a thousand threads, freed here");
	for (round = 0; round < rounds; round++) {
		run_threads(1000, allocate_and_exit, 1);
		for (i = 0; i < 1000; i++) {
			check(talloc_free(handed[i]) == 0);
		}
	}
	check(kib_of("VmSize:") < before + 400 * 1024);

	puts("a maker and a taker");
	{
		pthread_t maker, taker;

		before = kib_of("VmRSS:");
		check(pthread_create(&maker, NULL, make, NULL) == 0);
		check(pthread_create(&taker, NULL, take, NULL) == 0);
		check(pthread_join(maker, NULL) == 0);
		check(pthread_join(taker, NULL) == 0);
		check(kib_of("VmRSS:") < before + 64 * 1024);
	}

	puts("frees in destructors of keys");
	check(pthread_key_create(&key, free_late) == 0);
	check(pthread_key_create(&stubborn, free_in_last_round) == 0);
	run_threads(500, with_key, 1);
#ifdef __SANITIZE_THREAD__
	/* Its runtime has taken its leave of a thread before the last round. */
	check(late_frees == 500);
#else
	run_threads(500, with_stubborn_key, 1);
	check(late_frees == 1000);
#endif

	puts("one tree, a thousand threads in turn");
	shared = node(NULL, "shared");
	for (i = 0; i < 1000; i++) {
		pthread_t thread;

		check(pthread_create(&thread, NULL, use_shared, (void *)i) == 0);
		check(pthread_join(thread, NULL) == 0);
	}
	check(talloc_total_blocks(shared) == 501);
	check(talloc_total_size(shared) == 1 + 500 * 2000);
	check(talloc_free(shared) == 0);
	expect_no_fault();
	return 0;
}
