/*
 * One tree, two threads, no lock: what must not be done. Whoever watches for races
 * and is silent here is blind.
 */
#include "check.h"

#include <pthread.h>

static char *root;

static int agree(char *freed)
{
	(void)freed;
	return 0;
}

static void *set_up(void *unused)
{
	int i;

	for (i = 0; i < 100; i++) {
		talloc_set_destructor(root, agree);
	}
	return unused;
}

int main(void)
{
	pthread_t thread;

	root = (char *)talloc_new(NULL);
	/* From now on it has the record that both write to. */
	talloc_set_destructor(root, agree);
	check(pthread_create(&thread, NULL, set_up, NULL) == 0);
	set_up(NULL);
	check(pthread_join(thread, NULL) == 0);
	return talloc_free(root);
}
