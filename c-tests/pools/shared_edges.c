/*
 * The edges of shared contexts: what may not be done and is refused, what destructors do between
 * them, references and limits across them, forks while others are in the middle of anything, and
 * a signal handler that uses the context that its thread is in.
 */
#include "ours.h"

#include <pthread.h>
#include <tmempool.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void *a, *b, *plain;
static int runs;
static pthread_t another;

static void fresh(void)
{
	a = tm_shared_context(NULL, "a");
	b = tm_shared_context(NULL, "b");
	plain = node(NULL, "plain");
	check(a != NULL && b != NULL);
	runs = 0;
}

static void end(void)
{
	check(talloc_total_blocks(a) == 1);
	check(talloc_total_blocks(b) == 1);
	check(talloc_free(a) == 0);
	check(talloc_free(b) == 0);
	check(talloc_free(plain) == 0);
	expect_no_fault();
}

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

static int to_b(char *p)
{
	runs++;
	check(talloc_steal(b, p) == p);
	return 0;
}

static int out_and_refuse(char *p)
{
	runs++;
	check(talloc_steal(plain, p) == p);
	return -1;
}

static int refuse(char *p)
{
	(void)p;
	runs++;
	return -1;
}

static void destructors_that_move(void)
{
	char *top, *p, *q;

	fresh();
	/* It moves itself, agrees, and dies with all below it. */
	p = node(a, "p");
	node(node(p, "child"), "grandchild");
	talloc_set_destructor(p, to_b);
	check(talloc_free(p) == 0 && runs == 1);
	top = node(a, "top");
	p = node(top, "p");
	node(p, "child");
	talloc_set_destructor(p, to_b);
	check(talloc_free(top) == 0 && runs == 2);
	/* From a tree that is not shared. */
	p = node(plain, "p");
	q = node(p, "q");
	node(q, "child");
	talloc_set_destructor(p, to_b);
	talloc_set_destructor(q, to_b);
	check(talloc_free(p) == 0 && runs == 4);
	/* What refuses to die with it goes to where it has gone; to nobody, if that was for its parent to say. */
	for (int from = 0; from < 3; from++) {
		top = from == 2 ? node(a, "top") : from ? plain : (char *)a;
		p = node(top, "p");
		q = node(p, "q");
		talloc_set_destructor(p, to_b);
		talloc_set_destructor(q, refuse);
		check(talloc_free(from == 2 ? top : p) == 0 && runs == 6 + 2 * from);
		check(talloc_parent(q) == (from == 2 ? NULL : b));
		talloc_set_destructor(q, (int (*)(char *))NULL);
		check(talloc_free(q) == 0);
	}
	runs = 4;
	/* It refuses, from where it has gone. */
	top = node(a, "top");
	p = node(top, "p");
	node(p, "child");
	talloc_set_destructor(p, out_and_refuse);
	check(talloc_free(top) == 0 && runs == 5);
	check(talloc_parent(p) == plain && talloc_total_blocks(p) == 2);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	check(talloc_free(p) == 0);
	/* It refuses when its shared context goes, and again as a child of that, whose parent gets it. */
	top = (char *)tm_shared_context(plain, "c");
	p = node(node(top, "between"), "p");
	talloc_set_destructor(p, refuse);
	check(talloc_free(top) == 0 && runs == 7);
	check(talloc_parent(p) == plain);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	check(talloc_free(p) == 0);
	end();
}

static int stage;

static void reach(int wanted)
{
	__atomic_store_n(&stage, wanted, __ATOMIC_RELEASE);
}

static void wait_until(int wanted)
{
	while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) < wanted) {
		usleep(100);
	}
}

static int die_slowly(char *p)
{
	(void)p;
	reach(1);
	wait_until(2);
	return 0;
}

static void *free_children_of(void *p)
{
	talloc_free_children(p);
	return NULL;
}

static int to_b_where_another_is_busy(char *p)
{
	check(talloc_steal(b, p) == p);
	check(pthread_create(&another, NULL, free_children_of, p) == 0);
	wait_until(1);
	return 0;
}

/* It agrees to die, but another thread frees its children just then, so it stays where it has gone. */
static void destructors_that_move_what_is_in_use(void)
{
	int shared;

	for (shared = 0; shared < 2; shared++) {
		char *top, *p, *child;

		fresh();
		reach(0);
		top = node(shared ? a : plain, "top");
		p = node(top, "p");
		child = node(p, "child");
		talloc_set_destructor(p, to_b_where_another_is_busy);
		talloc_set_destructor(child, die_slowly);
		check(talloc_free(top) == 0);
		check(talloc_parent(p) == b && talloc_total_blocks(p) == 2);
		reach(2);
		check(pthread_join(another, NULL) == 0);
		check(talloc_total_blocks(p) == 1 && talloc_free(p) == 0);
		end();
	}
}

static tm_cache *cache;

static void construct(void *object)
{
	(void)object;
}

static void move_cache_to_b_where_another_is_busy(void *object)
{
	(void)object;
	/* With the first of its objects. */
	if (runs++ == 0) {
		to_b_where_another_is_busy((char *)cache);
	}
}

/* The same where nobody can refuse: the cache has ended, but its chunk stays where another thread frees its children. */
static void what_ends_and_is_in_use(void)
{
	int shared;

	for (shared = 0; shared < 2; shared++) {
		char *top, *child;

		fresh();
		reach(0);
		top = node(shared ? a : plain, "top");
		cache = tm_cache_create(top, "cache", 64, 0, 0, construct, move_cache_to_b_where_another_is_busy);
		tm_cache_free(cache, tm_cache_alloc(cache));
		child = node(cache, "child");
		talloc_set_destructor(child, die_slowly);
		check(talloc_free(top) == 0);
		check(talloc_parent(cache) == b && talloc_total_blocks(cache) == 2);
		reach(2);
		check(pthread_join(another, NULL) == 0);
		check(talloc_total_blocks(cache) == 1 && talloc_free(cache) == 0);
		end();
	}
}

static pthread_mutex_t coming_and_going = PTHREAD_MUTEX_INITIALIZER;
static void *of_the_moment;

static int to_what_is_there(char *p)
{
	check(pthread_mutex_lock(&coming_and_going) == 0);
	check(talloc_steal(of_the_moment, p) == p);
	check(pthread_mutex_unlock(&coming_and_going) == 0);
	return 0;
}

static void *come_and_go(void *unused)
{
	while (!__atomic_load_n(&runs, __ATOMIC_RELAXED)) {
		check(pthread_mutex_lock(&coming_and_going) == 0);
		check(talloc_free(of_the_moment) == 0);
		of_the_moment = tm_shared_context(NULL, "of the moment");
		check(pthread_mutex_unlock(&coming_and_going) == 0);
	}
	return unused;
}

/* Who frees a shared context cannot know of a chunk that a destructor in another thread has just taken there. */
static void destructors_that_move_to_what_goes(void)
{
	int i;

	fresh();
	of_the_moment = tm_shared_context(NULL, "of the moment");
	check(pthread_create(&another, NULL, come_and_go, NULL) == 0);
	for (i = 0; i < 100000; i++) {
		char *p = node(i % 2 ? a : plain, "p");

		if (i % 3 == 0) {
			node(p, "child");
		}
		talloc_set_destructor(p, to_what_is_there);
		check(talloc_free(p) == 0);
	}
	__atomic_store_n(&runs, 1, __ATOMIC_RELAXED);
	check(pthread_join(another, NULL) == 0);
	check(talloc_free(of_the_moment) == 0);
	end();
}

static void references_across(void)
{
	char *p, *q, *holder;

	fresh();
	/* Saved by a reference from another shared context. */
	p = node(node(a, "top"), "p");
	node(p, "child");
	holder = node(b, "holder");
	check(talloc_reference(holder, p) == p);
	check(talloc_free(talloc_parent(p)) == 0);
	check(talloc_parent(p) == holder && talloc_reference_count(p) == 0);
	check(talloc_total_blocks(b) == 4);
	check(talloc_free(holder) == 0);
	/* The referrer goes first. */
	p = node(a, "p");
	holder = node(b, "holder");
	check(talloc_reference(holder, p) == p);
	check(talloc_free(p) == -1);
	check(talloc_free(holder) == 0);
	check(talloc_reference_count(p) == 0 && talloc_free(p) == 0);
	/* Unlinked from its parent, it goes to the referrer. */
	p = node(a, "p");
	check(talloc_reference(b, p) == p);
	check(talloc_unlink(a, p) == 0 && talloc_parent(p) == b);
	check(talloc_unlink(b, p) == 0);
	/* Between a tree that is not shared and one that is. */
	p = node(a, "p");
	q = node(plain, "q");
	check(talloc_reference(plain, p) == p && talloc_reference(a, q) == q);
	check(talloc_reparent(plain, b, p) == p);
	check(talloc_unlink(b, p) == 0 && talloc_unlink(a, q) == 0);
	check(talloc_free(p) == 0 && talloc_free(q) == 0);
	ours_log[0] = '\0';
	end();
}

static void limits_and_pools(void)
{
	char *p, *pool;

	fresh();
	check(talloc_set_memlimit(a, 1000) == 0);
	check(talloc_size(a, 2000) == NULL);
	p = (char *)talloc_size(b, 2000);
	check(talloc_steal(a, p) == p && talloc_size(a, 1) == NULL);
	check(talloc_steal(b, p) == p && talloc_free(talloc_size(a, 100)) == 0);
	check(talloc_free(p) == 0);
	/* A limit above a shared context does not count what is in it. */
	p = node(plain, "p");
	check(talloc_set_memlimit(p, 500) == 0);
	check(talloc_steal(p, b) == b);
	check(talloc_size(b, 5000) != NULL && talloc_size(p, 5000) == NULL);
	check(talloc_total_size(p) >= 5000);
	talloc_report_full(p, stdout);
	check(talloc_steal(NULL, b) == b);
	talloc_free_children(b);
	check(talloc_free(p) == 0);
	/* Pools go in and out, with members in other trees. */
	pool = (char *)talloc_pool(plain, 10000);
	p = (char *)talloc_size(pool, 100);
	check(talloc_steal(a, pool) == pool);
	check(talloc_size(pool, 100) != NULL && talloc_size(p, 200) != NULL);
	check(talloc_steal(b, p) == p && talloc_size(p, 300) != NULL);
	check(talloc_steal(plain, pool) == pool && talloc_size(pool, 100) != NULL);
	check(talloc_free(pool) == 0 && talloc_free(p) == 0);
	end();
}

static int make_room_elsewhere(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	void *other = context == a ? b : a;
	void *p;

	(void)used, (void)wanted, (void)limit, (void)data;
	__atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
	/* The other one may be full, too. */
	p = talloc_size(other, 1);
	check(p == NULL || talloc_free(talloc_steal(other, p)) == 0);
	return 0;
}

static void *refer_to_and_fro(void *from)
{
	void *to = from == a ? b : a;
	int i;

	for (i = 0; i < 5000; i++) {
		char *p = (char *)talloc_size(to, 10), *holder = (char *)talloc_size(from, 10);

		if (p != NULL && holder != NULL && talloc_reference(holder, p) != NULL) {
			check(talloc_unlink(holder, p) == 0);
		}
		talloc_free(p);
		talloc_free(holder);
	}
	return NULL;
}

/* The function of a limit on one end of a reference may use the other end's context. */
static void references_under_limits(void)
{
	pthread_t threads[4];
	char *p;
	int i;

	fresh();
	p = node(a, "p");
	check(tm_limit(b, 1, 0, make_room_elsewhere, NULL) == 0);
	check(talloc_reference(b, p) == p && talloc_unlink(b, p) == 0);
	check(tm_limit(b, 0, 1, make_room_elsewhere, NULL) == 0);
	check(talloc_reference(b, p) == NULL && runs == 0);
	check(talloc_size(b, 1) == NULL && runs > 0);
	check(talloc_free(p) == 0);
	check(tm_limit(a, 150, 400, make_room_elsewhere, NULL) == 0);
	check(tm_limit(b, 150, 400, make_room_elsewhere, NULL) == 0);
	for (i = 0; i < 4; i++) {
		check(pthread_create(&threads[i], NULL, refer_to_and_fro, i % 2 ? a : b) == 0);
	}
	for (i = 0; i < 4; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	end();
}

static int free_what_it_is_given(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	void **given = (void **)data;

	(void)used, (void)wanted, (void)limit;
	runs++;
	/* If that were gone, this would lie in its place. */
	check(talloc_free(*given) == -1);
	check(talloc_parent(talloc_size(talloc_parent(context), 10)) == talloc_parent(context));
	return 0;
}

static int move_what_it_is_given(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	void **given = (void **)data;

	(void)context, (void)used, (void)wanted, (void)limit;
	runs++;
	check(talloc_steal(b, *given) == *given);
	return 0;
}

/* What a reference is made to is not freed by the function of a limit; it may move. */
static void references_to_what_goes(void)
{
	int shared;

	for (shared = 0; shared < 2; shared++) {
		void *tree, *given;
		char *holder;

		fresh();
		tree = shared ? a : plain;
		holder = (char *)talloc_size(tree, 10);
		given = talloc_size(tree, 10);
		check(tm_limit(holder, 100, 0, free_what_it_is_given, &given) == 0);
		check(talloc_reference(holder, given) == given && runs == 1);
		check(talloc_reference_count(given) == 1 && talloc_unlink(holder, given) == 0);
		check(tm_limit(holder, 100, 0, move_what_it_is_given, &given) == 0);
		check(talloc_reference(holder, given) == NULL && runs == 2);
		check(talloc_parent(given) == b && talloc_reference_count(given) == 0);
		check(talloc_free(given) == 0);
		check(talloc_free(holder) == 0);
		talloc_free_children(tree);
		end();
	}
}

static void *use_in_b(void *p)
{
	int i;

	for (i = 0; i < 1000; i++) {
		talloc_set_destructor((char *)p, refuse);
		check(talloc_parent(p) == b);
		talloc_set_destructor((char *)p, (int (*)(char *))NULL);
	}
	return NULL;
}

static int move_where_another_is_busy(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	(void)used, (void)wanted, (void)limit;
	runs++;
	check(talloc_steal(a, data) == data);
	check(talloc_steal(b, context) == context);
	check(pthread_create(&another, NULL, use_in_b, context) == 0);
	return 0;
}

static void *free_it(void *p)
{
	check(talloc_free(p) == 0);
	return NULL;
}

static int let_it_go(void *context, size_t used, size_t wanted, size_t limit, void *data)
{
	(void)context, (void)used, (void)wanted, (void)limit, (void)data;
	runs++;
	reach(2);
	check(pthread_join(another, NULL) == 0);
	return 0;
}

/* What has the limit moves to another shared context than what the room is for; or it is being freed. */
static void limits_that_go(void)
{
	char *holder, *p;

	fresh();
	holder = node(a, "holder");
	p = node(holder, "p");
	check(tm_limit(holder, 0, 1, move_where_another_is_busy, p) == 0);
	check(talloc_size(p, 1000) != NULL && runs == 1);
	check(pthread_join(another, NULL) == 0);
	check(talloc_parent(p) == a && talloc_parent(holder) == b);
	check(talloc_size(holder, 1) == NULL && runs == 2);
	check(pthread_join(another, NULL) == 0);
	check(talloc_free(p) == 0 && talloc_free(holder) == 0);
	runs = 0;
	reach(0);
	holder = node(a, "holder");
	p = node(holder, "p");
	talloc_set_destructor(holder, die_slowly);
	check(tm_limit(holder, 1, 500, let_it_go, NULL) == 0);
	check(pthread_create(&another, NULL, free_it, holder) == 0);
	wait_until(1);
	check(talloc_size(p, 10) != NULL && talloc_size(p, 1000) == NULL && runs == 0);
	reach(2);
	check(pthread_join(another, NULL) == 0);
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

int main(void)
{
	catch_faults();
	must_pass("what is refused", what_is_refused);
	must_pass("destructors that move", destructors_that_move);
	must_pass("destructors that move what is in use", destructors_that_move_what_is_in_use);
	must_pass("what ends and is in use", what_ends_and_is_in_use);
	must_pass("destructors that move to what goes", destructors_that_move_to_what_goes);
	must_pass("references across", references_across);
	must_pass("limits and pools", limits_and_pools);
	must_pass("references under limits", references_under_limits);
	must_pass("references to what goes", references_to_what_goes);
	must_pass("limits that go", limits_that_go);
	must_pass("the null context of a thread that has ended", null_context_of_a_thread);
	must_pass("forks", forks);
	must_pass("forks while another has paused", forks_while_another_has_paused);
	must_pass("misuse in a signal handler", misuse_in_a_handler);
	must_pass("many come and go", many_come_and_go);
	return 0;
}
