/*
 * One tree, two threads, no lock: what must not be done. Whoever watches for races
 * and is silent here is blind.
 */
#include "check.h"

#include <pthread.h>

static char *root;

static void *rename_it(void *name)
{
	int i;

	for (i = 0; i < 100; i++) {
		talloc_set_name_const(root, (const char *)name);
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;

	root = (char *)talloc_new(NULL);
	check(pthread_create(&thread, NULL, rename_it, (void *)"there") == 0);
	rename_it((void *)"here");
	check(pthread_join(thread, NULL) == 0);
	return talloc_free(root);
}
