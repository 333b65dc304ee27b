/*
 * The edges of shared contexts: what may not be done and is refused, the null context of a thread
 * that has ended, forks while others are in the middle of anything, and a signal handler that uses
 * the context that its thread is in.
 */
#include "shared.h"

/* KiB that so many threads which end in a destructor may leave; 64 MiB and more if they stayed. ThreadSanitizer keeps some of
 * each for itself. */
#if defined(__SANITIZE_THREAD__)
enum { ENOUGH = 32 * 1024 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { ENOUGH = 32 * 1024 };
#else
enum { ENOUGH = 16 * 1024 };
#endif
#else
enum { ENOUGH = 16 * 1024 };
#endif

static void what_is_refused(void)
{
	char *x;

	fresh();
	check(talloc_steal(a, b) == NULL);
	check(strstr(ours_log, "shared context") != NULL);
	x = node(plain, "x");
	check(talloc_steal(x, b) == b);
	check(talloc_steal(a, x) == NULL && talloc_parent(x) == plain);
	/* Below itself, by way of what lies above it. */
	check(talloc_steal(node(b, "in b"), plain) == NULL);
	check(talloc_parent(plain) == NULL && talloc_parent(b) == x);
	talloc_free_children(b);
	check(talloc_realloc_size(NULL, b, 100) == NULL);
	check(talloc_steal(NULL, b) == b);
	/* Below a shared context, another is an ordinary one. */
	x = (char *)tm_shared_context(a, "inner");
	check(talloc_steal(b, x) == x && talloc_steal(plain, x) == x);
	check(talloc_free(x) == 0);
	check(tm_shared_pool(NULL, 0x10000000) == NULL);
	end();
}

static void *track(void *unused)
{
	talloc_enable_null_tracking();
	return unused;
}

static void *make_roots(void *unused)
{
	int i;

	for (i = 0; i < 200000; i++) {
		check(talloc_free(talloc_strdup(NULL, "root")) == 0);
	}
	return unused;
}

/*
 * The null context lies in the heap of the thread that made it. That must not become a shared
 * context's once the thread has ended, although it is the newest that nobody has.
 */
static void null_context_of_a_thread(void)
{
	pthread_t threads[4];
	char *first = (char *)tm_shared_context(NULL, "first");
	int i;

	check(talloc_free(first) == 0);
	check(pthread_create(&threads[0], NULL, track, NULL) == 0);
	check(pthread_join(threads[0], NULL) == 0);
	fresh();
	check(talloc_total_blocks(NULL) == 4);
	for (i = 0; i < 4; i++) {
		check(pthread_create(&threads[i], NULL, make_roots, NULL) == 0);
	}
	for (i = 0; i < 4; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	check(talloc_total_blocks(NULL) == 4);
	end();
	talloc_disable_null_tracking();
}

static void *hammer(void *context)
{
	char *mine = node(context, "mine");

	while (!__atomic_load_n(&runs, __ATOMIC_RELAXED)) {
		char *p = talloc_asprintf(mine, "%p", context), *q = (char *)talloc_size(mine, 10);

		check(talloc_realloc_size(mine, p, 3000) != NULL);
		check(talloc_steal(context == a ? b : a, q) == q);
		check(talloc_free(q) == 0);
		talloc_free_children(mine);
	}
	check(talloc_free(mine) == 0);
	return NULL;
}

static void forks(void)
{
	pthread_t threads[4];
	int i, status;

	fresh();
	for (i = 0; i < 4; i++) {
		check(pthread_create(&threads[i], NULL, hammer, i % 2 ? a : b) == 0);
	}
	for (i = 0; i < 200; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			void *c;
			char *p;

			alarm(20);
			p = node(a, "made in the child");
			check(talloc_steal(b, p) == p);
			check(talloc_free(talloc_strdup(p, "x")) == 0);
			c = tm_shared_context(NULL, "c");
			check(talloc_steal(c, p) == p && talloc_free(c) == 0);
			check(talloc_total_blocks(a) > 0);
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid);
		check(status == 0);
	}
	__atomic_store_n(&runs, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	talloc_free_children(a);
	talloc_free_children(b);
	end();
}

static int stay_in_plain(char *p)
{
	check(talloc_steal(plain, p) == p);
	reach(1);
	wait_until(2);
	return -1;
}

static void *fail_to_free(void *p)
{
	check(talloc_free(p) == -1);
	return NULL;
}

/* Pages of address space. */
static long mapped(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	check(file != NULL && fscanf(file, "%ld", &pages) == 1);
	fclose(file);
	return pages;
}

/* A context that goes while a destructor runs that was called from there: in a child, nobody comes back to it. */
static void forks_while_another_has_paused(void)
{
	char *c, *p;
	int status;
	pid_t pid;

	fresh();
	reach(0);
	c = (char *)tm_shared_context(NULL, "c");
	p = node(c, "p");
	talloc_set_destructor(p, stay_in_plain);
	check(pthread_create(&another, NULL, fail_to_free, p) == 0);
	wait_until(1);
	check(talloc_free(c) == 0);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		long pages = mapped();

		/* It takes the place of the one that has gone. */
		c = (char *)tm_shared_context(NULL, "in the child");
		check(c != NULL && mapped() == pages);
		check(talloc_free(c) == 0);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	check(status == 0);
	reach(2);
	check(pthread_join(another, NULL) == 0);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	check(talloc_free(p) == 0);
	end();
}

/* A handler that runs while its thread is in the context: seen from the abort function. */
static void on_alarm(int number)
{
	(void)number;
	(void)talloc_strdup(a, "in a handler");
	runs++;
}

static void said(const char *reason)
{
	_exit(strstr(reason, "signal handler") != NULL ? 0 : 98);
}

static void misuse_in_a_handler(void)
{
	int i;

	fresh();
	talloc_set_abort_fn(said);
	signal(SIGUSR1, on_alarm);
	for (i = 0; i < 50000; i++) {
		node(a, "child");
	}
	/* While the tree is counted, behind the lock, the signal comes. */
	if (fork() == 0) {
		usleep(100000);
		while (getppid() != 1) {
			kill(getppid(), SIGUSR1);
			usleep(300);
		}
		_exit(0);
	}
	for (;;) {
		check(talloc_total_blocks(a) >= 50001);
	}
}

static void many_come_and_go(void)
{
	long before;
	int i, j;

	before = kib_of("VmSize:");
	for (i = 0; i < 3000; i++) {
		void *some[10];

		for (j = 0; j < 10; j++) {
			some[j] = tm_shared_context(NULL, "some");
			check(talloc_strdup(some[j], "text") != NULL);
			if (j > 0) {
				check(talloc_steal(some[0], talloc_size(some[j], 100)) != NULL);
			}
		}
		for (j = 9; j >= 0; j--) {
			check(talloc_free(some[j]) == 0);
		}
	}
	check(kib_of("VmSize:") < before + 64 * 1024);
}

static int end_thread(char *unused)
{
	(void)unused;
	pthread_exit(NULL);
}

static void *end_in_a_destructor(void *context)
{
	char *x = node(context, "x");

	talloc_set_destructor(node(x, "below"), end_thread);
	talloc_free(x);
	check(!"reached");
	return NULL;
}

/* Of what such a thread was in the middle of freeing some may stay, but the context's heap serves the next. */
static void threads_that_end_in_a_destructor(void)
{
	long before = 0;
	int i;

	for (i = 0; i < 500; i++) {
		a = tm_shared_context(NULL, "a");
		check(pthread_create(&another, NULL, end_in_a_destructor, a) == 0);
		/* In the middle of it, or before, or after. */
		check(i % 2 == 0 || talloc_free(talloc_strdup(a, "text")) == 0);
		check(pthread_join(another, NULL) == 0);
		check(talloc_free(talloc_strdup(a, "text")) == 0);
		check(talloc_free(a) == 0);
		if (i == 10) {
			before = kib_of("VmSize:");
		}
	}
	check(kib_of("VmSize:") < before + ENOUGH);
	expect_no_fault();
}

static void *free_it(void *p)
{
	check(talloc_free(p) == 0);
	return NULL;
}

static int gone;

static int count(char *p)
{
	gone += p != NULL;
	return 0;
}

/*
 * A pool from outside the context, in whose room a chunk of the context moves when it grows: it keeps its name and its
 * destructor, and whoever asks finds whose lock is its.
 */
static void into_a_pool_from_outside(void)
{
	static const bool has_destructor[] = { false, true };
	size_t i, n;

	for (i = 0; i < 2; i++) {
		char *pool = (char *)talloc_pool(NULL, 4000), *full, *p;

		a = tm_shared_context(NULL, "a");
		full = (char *)talloc_size(pool, 3500);
		check(talloc_steal(a, pool) == pool);
		p = (char *)talloc_size(pool, 1000);
		check(p < pool || p > full + 4000);
		memset(p, 'p', 1000);
		talloc_set_name_const(p, "p");
		if (has_destructor[i]) {
			talloc_set_destructor(p, count);
		}
		check(talloc_free(full) == 0);
		p = (char *)talloc_realloc_size(pool, p, 2000);
		check(p > pool && p < pool + 4000);
		for (n = 0; n < 1000; n++) {
			check(p[n] == 'p');
		}
		talloc_set_name_const(p, "p");
		check(strcmp(talloc_get_name(p), "p") == 0 && talloc_parent(p) == pool);
		check(talloc_strdup(p, "below") != NULL && talloc_total_blocks(a) == 4);
		check(pthread_create(&another, NULL, free_it, p) == 0 && pthread_join(another, NULL) == 0);
		check(gone == (int)i && talloc_total_blocks(a) == 2);
		check(talloc_free(a) == 0);
	}
	expect_no_fault();
}

int main(void)
{
	catch_faults();
	must_pass("what is refused", what_is_refused);
	must_pass("the null context of a thread that has ended", null_context_of_a_thread);
	must_pass("forks", forks);
	must_pass("forks while another has paused", forks_while_another_has_paused);
	must_pass("misuse in a signal handler", misuse_in_a_handler);
	must_pass("threads that end in a destructor", threads_that_end_in_a_destructor);
	must_pass("into a pool from outside", into_a_pool_from_outside);
	must_pass("many come and go", many_come_and_go);
	return 0;
}
