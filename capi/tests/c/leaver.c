/*
 * Leaves trees behind, and writes its process id: leaver N makes N of them, each in a thread of its
 * own, the n-th of n bytes with a leaf of 100 n bytes.
 */
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include <talloc.h>

static void *grow(void *number)
{
	size_t n = (size_t)(uintptr_t)number;
	void *tree = talloc_size(NULL, n);

	talloc_set_name_const(talloc_size(tree, 100 * n), "leaf");
	return tree;
}

int main(int argc, char **argv)
{
	uintptr_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	static char names[1000][16];
	pthread_t thread;
	uintptr_t n;
	void *tree;

	for (n = 1; n <= count && n < 1000; ++n) {
		if (pthread_create(&thread, NULL, grow, (void *)n) != 0 ||
		    pthread_join(thread, &tree) != 0)
			return 1;
		snprintf(names[n], sizeof(names[n]), "tree %d", (int)n);
		talloc_set_name_const(tree, names[n]);
	}
	printf("%ld\n", (long)getpid());
	return 0;
}
