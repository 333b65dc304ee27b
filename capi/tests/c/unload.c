/*
 * Loads a library, uses it and unloads it, again and again, in this thread and in others: unload
 * LIBRARY CYCLES. What is below the autofree context is freed by each unloading, and no memory stays
 * behind. Exits with 0 or says what failed.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SETTLED = 20 /* cycles until the process has all it needs */ };

static const char *library;
static int destroyed = 0;

static int count(void *ptr)
{
	(void)ptr;
	++destroyed;
	return 0;
}

static void *function(void *handle, const char *name)
{
	void *found = dlsym(handle, name);

	if (found == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	return found;
}

static void *cycle(void *unused)
{
	void *handle = dlopen(library, RTLD_NOW);
	void *(*autofree)(void);
	void *(*named)(const void *, size_t, const char *);
	void (*set_destructor)(const void *, int (*)(void *));
	int (*free_chunk)(void *, const char *);
	void *ctx;
	int i;

	if (handle == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&autofree = function(handle, "talloc_autofree_context");
	*(void **)&named = function(handle, "talloc_named_const");
	*(void **)&set_destructor = function(handle, "_talloc_set_destructor");
	*(void **)&free_chunk = function(handle, "_talloc_free");

	set_destructor(named(autofree(), 100, "left to the exit handler"), count);
	ctx = named(NULL, 0, "context");
	for (i = 0; i < 1000; ++i)
		named(ctx, 200, "chunk");
	free_chunk(ctx, "unload.c");
	dlclose(handle);
	return unused;
}

/* Memory that the process has in use, in KiB. */
static long resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long total = 0, pages = 0;

	if (file == NULL || fscanf(file, "%ld %ld", &total, &pages) != 2) {
		perror("/proc/self/statm");
		exit(1);
	}
	fclose(file);
	return pages * 4;
}

int main(int argc, char **argv)
{
	int cycles = argc == 3 ? atoi(argv[2]) : 0;
	long before = 0, growth;
	pthread_t thread;
	int i;

	if (cycles <= SETTLED) {
		fprintf(stderr, "usage: unload LIBRARY CYCLES\n");
		return 2;
	}
	library = argv[1];
	for (i = 0; i < cycles; ++i) {
		if (i == SETTLED)
			before = resident();
		if (i % 2 == 0) {
			cycle(NULL);
		} else if (pthread_create(&thread, NULL, cycle, NULL) != 0 ||
			   pthread_join(thread, NULL) != 0) {
			perror("pthread");
			return 1;
		}
	}
	growth = resident() - before;
	if (destroyed != cycles) {
		printf("%d of %d autofree contexts were freed\n", destroyed, cycles);
		return 1;
	}
	if (growth > cycles - SETTLED) {
		printf("%d cycles left %ld KiB behind\n", cycles - SETTLED, growth);
		return 1;
	}
	return 0;
}
