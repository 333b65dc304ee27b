/*
 * Fork handlers of a program, registered before it has used the library: they may use it, and may wait for threads that do.
 */
#include <tmempool.h>

#include "ours.h"

#include <pthread.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* What the handlers do, if anything. */
static void (*before)(void), (*after)(void), (*inside)(void);

static void run_before(void)
{
	if (before != NULL) {
		before();
	}
}

static void run_after(void)
{
	if (after != NULL) {
		after();
	}
}

static void run_inside(void)
{
	if (inside != NULL) {
		inside();
	}
}

/* As early as a program can. */
__attribute__((constructor)) static void register_handlers(void)
{
	check(pthread_atfork(run_before, run_after, run_inside) == 0);
}

static void fork_once(void)
{
	int status = -1;
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		check(talloc_free(talloc_size(NULL, 100000)) == 0);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	check(status == 0);
}

/* The program's own lock, which it takes around a fork, as POSIX advises. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int stop;

static void lock(void)
{
	check(pthread_mutex_lock(&mutex) == 0);
}

static void unlock(void)
{
	check(pthread_mutex_unlock(&mutex) == 0);
}

static void *use_locked(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		char *root;
		size_t i;

		lock();
		root = (char *)talloc_size(NULL, 10);
		for (i = 1; i <= 20; i++) {
			check(talloc_size(root, 30000 * i) != NULL);
		}
		check(talloc_free(root) == 0);
		unlock();
	}
	return unused;
}

static void wait_for_a_thread(void)
{
	pthread_t thread;
	int i;

	before = lock;
	after = inside = unlock;
	check(pthread_create(&thread, NULL, use_locked, NULL) == 0);
	for (i = 0; i < 500; i++) {
		fork_once();
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	check(pthread_join(thread, NULL) == 0);
}

/* One of each kind of memory. */
static void *context;

static void use_all(void)
{
	char *grown = (char *)talloc_zero_size(NULL, 200000);

	grown = (char *)talloc_realloc_size(NULL, grown, 9000000);
	check(grown != NULL && grown[0] == 0);
	check(talloc_free(grown) == 0);
	check(talloc_free(talloc_size(context, 10)) == 0);
	check(talloc_free(tm_shared_context(NULL, "another")) == 0);
	check(talloc_free(talloc_size(talloc_autofree_context(), 10)) == 0);
}

static void use_it(void)
{
	context = tm_shared_context(NULL, "context");
	before = use_all;
	fork_once();
	before = NULL;
	after = use_all;
	fork_once();
	after = NULL;
	inside = use_all;
	fork_once();
	inside = NULL;
	check(talloc_free(context) == 0);
}

int main(void)
{
	must_pass("handlers that wait for a thread", wait_for_a_thread);
	must_pass("handlers that use the library", use_it);
	return 0;
}
