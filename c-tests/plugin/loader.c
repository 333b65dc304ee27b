/*
 * Loads and unloads a module a thousand times, also in threads: nothing piles up,
 * exit handlers go with the library, and threads end well after it is gone.
 *
 *   loader MODULE LIBRARY
 *
 * LIBRARY is the file that must have answered for talloc.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *module, *library;

#define check(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			const char *error = dlerror();                          \
			printf("%s:%d: NOT TRUE: %s (%s)\n", __FILE__, __LINE__, \
			       #condition, error == NULL ? "" : error);         \
			fflush(stdout);                                         \
			_exit(99);                                              \
		}                                                               \
	} while (0)

static long kib_of_memory(void)
{
	char line[200];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	check(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "VmSize:", 7) == 0) {
			kib = strtol(line + 7, NULL, 10);
		}
	}
	fclose(f);
	return kib;
}

/* Is a library of talloc's name mapped? */
static int is_loaded(void)
{
	char line[500];
	int found = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	check(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		found |= strstr(line, "libtalloc.so") != NULL;
	}
	fclose(f);
	return found;
}

static void use_once(int number, int *deaths)
{
	void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	int (*run)(int);
	int (*run_autofree)(int *);
	Dl_info info;
	void *symbol;

	check(handle != NULL);
	run = (int (*)(int))dlsym(handle, "plugin_run");
	check(run != NULL);
	check(run(number) == 0);
	run_autofree = (int (*)(int *))dlsym(handle, "plugin_run_autofree");
	check(run_autofree != NULL);
	if (deaths != NULL) {
		check(run_autofree(deaths) == 0);
	}
	symbol = dlsym(handle, "talloc_free_children");
	check(symbol != NULL && dladdr(symbol, &info) != 0);
	check(strcmp(info.dli_fname, library) == 0);
	check(dlclose(handle) == 0);
}

static void *in_thread(void *argument)
{
	int i;

	for (i = 0; i < 50; i++) {
		use_once((int)(long)argument, NULL);
	}
	return NULL;
}

/* Uses the module, and ends after the module was unloaded by another. */
static pthread_barrier_t used, unloaded;
static int (*run_of_module)(int);

static void *outlives(void *argument)
{
	check(run_of_module((int)(long)argument) == 0);
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&unloaded);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[8];
	long before = 0, i, round;
	int deaths = 0;

	check(argc == 3);
	module = argv[1];
	library = argv[2];
	check(!is_loaded());

	for (i = 0; i < 1000; i++) {
		use_once((int)i, &deaths);
		check(deaths == (int)i + 1);
		check(!is_loaded());
		if (i == 10) {
			before = kib_of_memory();
		}
	}
	check(kib_of_memory() < before + 32 * 1024);
	puts("a thousand times");

	for (round = 0; round < 5; round++) {
		for (i = 0; i < 4; i++) {
			check(pthread_create(&threads[i], NULL, in_thread, (void *)i) == 0);
		}
		for (i = 0; i < 4; i++) {
			check(pthread_join(threads[i], NULL) == 0);
		}
	}
	check(!is_loaded());
	puts("in threads");

	check(pthread_barrier_init(&used, NULL, 9) == 0);
	check(pthread_barrier_init(&unloaded, NULL, 9) == 0);
	for (round = 0; round < 50; round++) {
		void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);

		check(handle != NULL);
		run_of_module = (int (*)(int))dlsym(handle, "plugin_run");
		for (i = 0; i < 8; i++) {
			check(pthread_create(&threads[i], NULL, outlives, (void *)i) == 0);
		}
		pthread_barrier_wait(&used);
		check(dlclose(handle) == 0);
		pthread_barrier_wait(&unloaded);
		for (i = 0; i < 8; i++) {
			check(pthread_join(threads[i], NULL) == 0);
		}
		if (round == 5) {
			before = kib_of_memory();
		}
	}
	check(kib_of_memory() < before + 64 * 1024);
	puts("threads that outlive it");
	return 0;
}
