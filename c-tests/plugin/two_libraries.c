/*
 * Two libraries for talloc in one process: each knows its own chunks from the
 * other's, and refuses those.
 *
 *   two_libraries OURS THEIRS
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define check(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			printf("%s:%d: NOT TRUE: %s\n", __FILE__, __LINE__, #condition); \
			fflush(stdout);                                         \
			_exit(99);                                              \
		}                                                               \
	} while (0)

struct talloc {
	int (*magic)(void);
	void *(*make)(const void *, size_t, const char *);
	const char *(*name)(const void *);
	int (*release)(void *, const char *);
	void (*set_abort)(void (*)(const char *));
};

static int faults;
static char reason[200];

static void fault(const char *text)
{
	faults++;
	snprintf(reason, sizeof(reason), "%s", text);
}

static struct talloc load(const char *path)
{
	struct talloc library;
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

	check(handle != NULL);
	*(void **)&library.magic = dlsym(handle, "talloc_test_get_magic");
	*(void **)&library.make = dlsym(handle, "talloc_named_const");
	*(void **)&library.name = dlsym(handle, "talloc_get_name");
	*(void **)&library.release = dlsym(handle, "_talloc_free");
	*(void **)&library.set_abort = dlsym(handle, "talloc_set_abort_fn");
	check(library.magic && library.make && library.name && library.release);
	return library;
}

int main(int argc, char **argv)
{
	struct talloc ours, theirs;
	char *a, *b;

	check(argc == 3);
	ours = load(argv[1]);
	theirs = load(argv[2]);
	check(ours.make != theirs.make);
	check(ours.magic() != theirs.magic());
	a = (char *)ours.make(NULL, 100, "ours");
	b = (char *)theirs.make(NULL, 100, "theirs");
	ours.set_abort(fault);
	check(ours.name(b) == NULL);
	check(faults == 1);
	check(strcmp(reason, "Bad talloc magic value - unknown value") == 0);
	check(ours.release(b, "here") == -1);
	check(faults == 2);
	check(strcmp(ours.name(a), "ours") == 0);
	check(strcmp(theirs.name(b), "theirs") == 0);
	check(ours.release(a, "here") == 0);
	check(theirs.release(b, "here") == 0);
	puts("each knows its own");
	return 0;
}
