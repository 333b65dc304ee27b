/*
 * What belongs to the process, used by many threads at once: the null context,
 * switched on and off under them, the autofree context, names, limits, totals of
 * trees of their own, the log function; and a limit that counts what all of them have.
 */
#include "ours.h"

#include <pthread.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { THREADS = 4 };
static int rounds = 3000;

/* Trees without a parent: their links meet in the null context. */
static void *work(void *argument)
{
	long number = (long)argument;
	int round, i;

	for (round = 0; round < rounds; round++) {
		char *root = talloc_asprintf(NULL, "%ld", number);
		char *other = (char *)talloc_size(NULL, 100);
		char *limited = (char *)talloc_size(NULL, 100);

		check(talloc_set_memlimit(limited, 3000) == 0);
		for (i = 0; i < 20; i++) {
			char *p = talloc_asprintf(root, "%d", i);

			talloc_set_name(p, "%ld renamed %d", number, i);
		}
		check(talloc_total_blocks(root) == 41);
		check(talloc_size(limited, 3000) == NULL);
		check(talloc_size(limited, 1000) != NULL);
		check(talloc_total_size(limited) == 1100);
		/* From below a parent to below none, and back. */
		check(talloc_steal(other, root) == root);
		check(talloc_steal(NULL, root) == root);
		other = (char *)talloc_realloc_size(NULL, other, 5000);
		check(other != NULL);
		check(talloc_reference(other, limited) == limited);
		check(talloc_unlink(other, limited) == 0);
		check(talloc_autofree_context() != NULL);
		check(talloc_free(other) == 0);
		check(talloc_free(root) == 0);
		check(talloc_free(limited) == 0);
	}
	return NULL;
}

/* How many more chunks the limit on the null context lets in. */
static int room(void)
{
	void *all[2000];
	int count = 0, i;

	while (count < 2000 && (all[count] = talloc_size(NULL, 52)) != NULL) {
		count++;
	}
	for (i = 0; i < count; i++) {
		check(talloc_free(all[i]) == 0);
	}
	return count;
}

/* Each thread's roots count for it. */
static void *count_for_null(void *unused)
{
	int round;

	for (round = 0; round < 10 * rounds; round++) {
		check(talloc_free(talloc_size(NULL, 100)) == 0);
	}
	return unused;
}

static void run_below_a_limit(void)
{
	pthread_t threads[THREADS];
	void *one, *null_context;
	int before, i;

	talloc_enable_null_tracking();
	one = talloc_size(NULL, 1);
	null_context = talloc_parent(one);
	check(talloc_free(one) == 0);
	check(talloc_set_memlimit(null_context, 150000) == 0);
	before = room();
	check(before > 1000 && before < 2000);
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, count_for_null, NULL) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	check(room() == before);
	check(talloc_set_memlimit(null_context, 0) == 0);
}

static volatile int stop;

static void *switch_tracking(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		talloc_enable_null_tracking();
		sched_yield();
		talloc_disable_null_tracking();
		sched_yield();
		talloc_enable_null_tracking_no_autofree();
		talloc_disable_null_tracking();
	}
	return unused;
}

static void run(bool with_switching)
{
	pthread_t threads[THREADS], switcher;
	long i;

	stop = 0;
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
	}
	if (with_switching) {
		check(pthread_create(&switcher, NULL, switch_tracking, NULL) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	if (with_switching) {
		check(pthread_join(switcher, NULL) == 0);
	}
}

int main(void)
{
	const char *fewer = getenv("ROUNDS");

	if (fewer != NULL) {
		rounds = atoi(fewer);
	}
	catch_faults();
	puts("without null tracking");
	run(false);
	puts("with null tracking");
	talloc_enable_null_tracking();
	run(false);
	/* The null context, and the autofree context in it. */
	check(talloc_total_blocks(NULL) == 2);
	puts("with null tracking on and off");
	run(true);
	talloc_enable_null_tracking();
	check(talloc_total_blocks(NULL) == 2);
	puts("below a limit on the null context");
	run_below_a_limit();
	expect_no_fault();
	return 0;
}
