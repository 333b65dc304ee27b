/*
 * Fork while other threads are in the middle of anything: the child is never left
 * with a lock that nobody will open, and both go on.
 */
#include "ours.h"

#include <pthread.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { WORKERS = 4 };

/* How many forks, twice; $FORKS says otherwise. */
static int forks = 500;
static int stop;
static char *inherited;

static void *work(void *argument)
{
	long number = (long)argument;
	unsigned round = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *root = talloc_asprintf(NULL, "%ld", number);
		char *pool = (char *)talloc_pool(root, 3000);
		int i;

		for (i = 0; i < 100; i++) {
			char *p = (char *)talloc_size(i % 3 ? root : pool,
						      (round * 37 + i * 101) % 3000);

			check(p != NULL);
			if (i % 7 == 0) {
				check(talloc_reference(pool, p) == p);
			}
			if (i % 5 == 0) {
				talloc_set_name(p, "renamed %d", i);
			}
		}
		if (round++ % 50 == 0) {
			check(talloc_size(root, 3000000) != NULL);
		}
		check(talloc_free(root) == 0);
	}
	return NULL;
}

/* Forks from a thread that is not the main one, too. */
static void fork_once(int number)
{
	int status;
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		char *root;
		int i;

		alarm(20);
		check(talloc_total_blocks(inherited) == 1001);
		check(talloc_free(inherited) == 0);
		root = node(NULL, "root");
		for (i = 0; i < 1000; i++) {
			check(talloc_size(root, i) != NULL);
		}
		check(talloc_size(root, 5000000) != NULL);
		check(talloc_autofree_context() != NULL);
		check(talloc_free(root) == 0);
		if (number % 20 == 0) {
			exit(0);
		}
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	if (status != 0) {
		printf("a child ended with wait status %#x\n", (unsigned)status);
	}
	check(status == 0);
}

static void *fork_in_thread(void *argument)
{
	long i;

	for (i = 0; i < forks / 2; i++) {
		fork_once((int)(i + (long)argument));
	}
	return NULL;
}

static void run(void)
{
	pthread_t workers[WORKERS], forker;
	long i;

	stop = 0;
	for (i = 0; i < WORKERS; i++) {
		check(pthread_create(&workers[i], NULL, work, (void *)i) == 0);
	}
	check(pthread_create(&forker, NULL, fork_in_thread, (void *)1) == 0);
	fork_in_thread(NULL);
	check(pthread_join(forker, NULL) == 0);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < WORKERS; i++) {
		check(pthread_join(workers[i], NULL) == 0);
	}
	check(talloc_total_blocks(inherited) == 1001);
}

int main(void)
{
	const char *said = getenv("FORKS");
	int i;

	if (said != NULL) {
		forks = atoi(said);
	}
	catch_faults();
	inherited = node(NULL, "inherited");
	for (i = 0; i < 1000; i++) {
		check(talloc_size(inherited, i) != NULL);
	}
	printf("%d forks under load\n", forks);
	run();
	printf("%d with null tracking\n", forks);
	talloc_enable_null_tracking();
	run();
	talloc_disable_null_tracking();
	check(talloc_free(inherited) == 0);
	expect_no_fault();
	return 0;
}
