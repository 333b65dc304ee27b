/*
 * Threads that allocate and exit leave nothing behind.
 *
 *   thread_churn THREADS
 *
 * Half of them free what they made, the others leave it to the main thread. A few are
 * alive at a time, so that the room of the dead has to serve the living.
 */
#include "check.h"

#include <pthread.h>

enum { AT_ONCE = 8 };

static void *allocate_and_exit(void *argument)
{
	long number = (long)argument;
	char *root = talloc_asprintf(NULL, "thread %ld", number);
	int i;

	for (i = 0; i < 50; i++) {
		char *p = (char *)talloc_size(root, 100 + (size_t)(number + i) % 1000);

		check(p != NULL);
		*p = 1;
	}
	if (number % 2 == 0) {
		check(talloc_free(root) == 0);
		root = NULL;
	}
	return root;
}

static long kib_of(const char *kind)
{
	char line[200];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "r");

	check(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, kind, strlen(kind)) == 0) {
			kib = strtol(line + strlen(kind), NULL, 10);
		}
	}
	fclose(f);
	return kib;
}

int main(int argc, char **argv)
{
	long count, i, j, resident = 0, mapped = 0;

	check(argc == 2);
	count = atol(argv[1]);
	check(count >= 1000);
	for (i = 0; i < count; i += AT_ONCE) {
		pthread_t threads[AT_ONCE];
		void *root;

		for (j = 0; j < AT_ONCE; j++) {
			check(pthread_create(&threads[j], NULL, allocate_and_exit,
					     (void *)(i + j)) == 0);
		}
		for (j = 0; j < AT_ONCE; j++) {
			check(pthread_join(threads[j], &root) == 0);
			talloc_free(root);
		}
		/* After the first few nothing is added to. */
		if (i / AT_ONCE == 64) {
			resident = kib_of("VmRSS:");
			mapped = kib_of("VmSize:");
		}
	}
	printf("%ld threads: %ld KiB resident after 512 of them, %ld KiB at the end; "
	       "%ld KiB mapped, %ld KiB at the end\n", i, resident, kib_of("VmRSS:"),
	       mapped, kib_of("VmSize:"));
	check(kib_of("VmRSS:") <= resident + 4 * 1024);
	check(kib_of("VmSize:") <= mapped + 16 * 1024);
	return 0;
}
