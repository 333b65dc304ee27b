/*
 * A child inherits what threads made that did not come along, and were in the middle
 * of making more. It frees all of it, and lives on in the room that this gives.
 */
#include "ours.h"

#include <pthread.h>

enum { MAKERS = 4, TREES = 64, CHUNKS = 1000, SIZE = 150 };

static char *trees[MAKERS][TREES];
static pthread_barrier_t made;
static int stop;

static char *make_tree(long number)
{
	char *root = talloc_asprintf(NULL, "%ld", number);
	int i;

	for (i = 0; i < CHUNKS; i++) {
		char *p = (char *)talloc_size(root, SIZE);

		check(p != NULL);
		memset(p, (int)number, SIZE);
	}
	return root;
}

/* Makes what the children inherit, and is then busy with more until they all have come. */
static void *make(void *argument)
{
	long number = (long)argument;
	int i;

	for (i = 0; i < TREES; i++) {
		trees[number][i] = make_tree(number);
	}
	pthread_barrier_wait(&made);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *root = make_tree(number);

		check(talloc_free(root) == 0);
	}
	return NULL;
}

/* Frees what others make, so that remote frees are cut short, too. */
static char *handed;

static void *hand(void *unused)
{
	pthread_barrier_wait(&made);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *root = make_tree(9);

		while ((root = __atomic_exchange_n(&handed, root, __ATOMIC_ACQ_REL)) != NULL) {
			sched_yield();
		}
	}
	return unused;
}

static void *free_handed(void *unused)
{
	pthread_barrier_wait(&made);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		check(talloc_free(__atomic_exchange_n(&handed, NULL, __ATOMIC_ACQ_REL)) <= 0);
	}
	return unused;
}

static void *use_room(void *unused)
{
	char *root = make_tree(1);

	check(talloc_total_size(root) >= CHUNKS * SIZE);
	check(talloc_free(root) == 0);
	return unused;
}

static void child(int number)
{
	pthread_t threads[MAKERS];
	long before = kib_of("VmRSS:"), after;
	long i, j;

	alarm(100);
	/* Some in threads of the child, which get heaps of those that are gone. */
	if (number % 2 == 0) {
		for (i = 0; i < MAKERS; i++) {
			check(pthread_create(&threads[i], NULL, use_room, NULL) == 0);
		}
		for (i = 0; i < MAKERS; i++) {
			check(pthread_join(threads[i], NULL) == 0);
		}
	}
	for (i = 0; i < MAKERS; i++) {
		for (j = 0; j < TREES; j++) {
			char *p = trees[i][j];

			check(talloc_total_blocks(p) == CHUNKS + 1);
			check(talloc_free(p) == 0);
		}
	}
	/* Of the 52 MB that were freed, the library may keep some for later. */
	after = kib_of("VmRSS:");
	if (after > before - 12 * 1024) {
		printf("%ld KiB resident, and %ld after all was freed\n", before, after);
	}
	check(after <= before - 12 * 1024);
	for (i = 0; i < MAKERS; i++) {
		for (j = 0; j < TREES; j++) {
			trees[i][j] = make_tree(i);
		}
	}
	for (i = 0; i < MAKERS; i++) {
		for (j = 0; j < TREES; j++) {
			char *p = trees[i][j];

			check(talloc_total_size(p) >= CHUNKS * SIZE);
			check(talloc_free(p) == 0);
		}
	}
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	const char *said = getenv("FORKS");
	pthread_t threads[MAKERS + 2];
	int forks = said != NULL ? atoi(said) : 12;
	long i, j;

	catch_faults();
	check(pthread_barrier_init(&made, NULL, MAKERS + 3) == 0);
	for (i = 0; i < MAKERS; i++) {
		check(pthread_create(&threads[i], NULL, make, (void *)i) == 0);
	}
	check(pthread_create(&threads[MAKERS], NULL, hand, NULL) == 0);
	check(pthread_create(&threads[MAKERS + 1], NULL, free_handed, NULL) == 0);
	pthread_barrier_wait(&made);
	for (i = 0; i < forks; i++) {
		int status = -1;
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			child((int)i);
		}
		check(waitpid(pid, &status, 0) == pid);
		if (status != 0) {
			printf("a child ended with wait status %#x\n", (unsigned)status);
		}
		check(status == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	talloc_free(__atomic_exchange_n(&handed, NULL, __ATOMIC_ACQ_REL));
	for (i = 0; i < MAKERS + 1; i++) {
		while (pthread_tryjoin_np(threads[i], NULL) != 0) {
			talloc_free(__atomic_exchange_n(&handed, NULL, __ATOMIC_ACQ_REL));
			sched_yield();
		}
	}
	check(pthread_join(threads[MAKERS + 1], NULL) == 0);
	for (i = 0; i < MAKERS; i++) {
		for (j = 0; j < TREES; j++) {
			check(talloc_free(trees[i][j]) == 0);
		}
	}
	expect_no_fault();
	return 0;
}
