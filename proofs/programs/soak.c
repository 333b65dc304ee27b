/*
 * Everything that threads do with the library, at once and for long: memory stays
 * bounded, nothing hangs, nothing is lost.
 *
 *   soak SECONDS
 *
 * Two threads build and free trees of their own; one makes trees that another frees;
 * threads come, allocate, and go, and what they leave is freed by others; a process
 * is forked again and again under all that; some do anything below two contexts that
 * all of them share; null tracking goes on and off. Once
 * a second it is seen how much memory is resident: after the first quarter it must
 * not grow any more.
 */
#include "check.h"

#include <pthread.h>
#include <time.h>
#include <tmempool.h>

enum { OWN = 2, SHARING = 2, CONTEXTS = 2, OBJECTS = 64, QUEUE = 256, LEFT = 64 };

static int stop;
static unsigned long own_trees, handed, churned, forked, adopted, shared_acts;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED) != 0;
}

static void count(unsigned long *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* A tree with something of everything; how large depends on the number. */
static char *grow(unsigned number)
{
	char *root = talloc_asprintf(NULL, "tree %u", number);
	char *pool = (char *)talloc_pool(root, 2000);
	char *p = NULL;
	unsigned i;

	check(root != NULL && pool != NULL);
	for (i = 0; i < 20 + number % 50; i++) {
		p = (char *)talloc_size(i % 3 ? root : pool, (number * 37 + i * 101) % 2000);
		check(p != NULL);
		if (i % 11 == 0) {
			talloc_set_name(p, "name %u", i);
		}
	}
	if (number % 64 == 0) {
		p = (char *)talloc_size(root, 1000000);
		check(p != NULL);
		memset(p, 1, 1000000);
	}
	p = talloc_realloc(root, p, char, 3000);
	check(p != NULL);
	check(talloc_reference(pool, p) == p);
	check(strncmp(root, "tree ", 5) == 0);
	return root;
}

static void *own(void *argument)
{
	unsigned number = (unsigned)(long)argument;

	while (!stopped()) {
		check(talloc_free(grow(number++)) == 0);
		count(&own_trees);
	}
	return NULL;
}

/* One makes, the other frees, as fast as they can. */
static char *queue[QUEUE];
static unsigned long made, taken;

static void *make(void *unused)
{
	unsigned number = 0;

	while (!stopped()) {
		if (made - __atomic_load_n(&taken, __ATOMIC_ACQUIRE) == QUEUE) {
			sched_yield();
			continue;
		}
		queue[made % QUEUE] = grow(number++);
		__atomic_store_n(&made, made + 1, __ATOMIC_RELEASE);
	}
	return unused;
}

static void *take(void *unused)
{
	unsigned long i = 0;

	for (;;) {
		bool last = stopped();

		if (__atomic_load_n(&made, __ATOMIC_ACQUIRE) == i) {
			if (last) {
				return unused;
			}
			sched_yield();
			continue;
		}
		check(talloc_free(queue[i % QUEUE]) == 0);
		__atomic_store_n(&taken, ++i, __ATOMIC_RELEASE);
		count(&handed);
	}
}

/* Threads come and go; each leaves a tree, and frees what one before it left. */
static char *left[LEFT];

static void *come_and_go(void *argument)
{
	unsigned number = (unsigned)(long)argument;
	char *before = __atomic_exchange_n(&left[number % LEFT], grow(number), __ATOMIC_ACQ_REL);

	if (before != NULL) {
		check(talloc_free(before) == 0);
		count(&adopted);
	}
	return NULL;
}

static void *churn(void *unused)
{
	unsigned long number = 0;

	while (!stopped()) {
		pthread_t threads[4];
		int i;

		for (i = 0; i < 4; i++) {
			check(pthread_create(&threads[i], NULL, come_and_go,
					     (void *)(number++ * 7)) == 0);
		}
		for (i = 0; i < 4; i++) {
			check(pthread_join(threads[i], NULL) == 0);
			count(&churned);
		}
	}
	return unused;
}

/* Anything at all below contexts that threads share; each keeps its own objects. */
static void *contexts[CONTEXTS];

static int count_destroyed(char *p)
{
	/* A destructor may use the context that it runs in. */
	check(talloc_free(talloc_strdup(talloc_parent(p), "made by a destructor")) == 0);
	return 0;
}

static void *share(void *argument)
{
	unsigned seed = (unsigned)(long)argument * 7919 + 1, turn;
	char *objects[OBJECTS] = {NULL};
	int i;

	for (turn = 0; !stopped(); turn++) {
		void *here = contexts[turn % CONTEXTS], *there = contexts[(turn + 1) % CONTEXTS];
		char **p;

		seed = seed * 1103515245 + 12345;
		p = &objects[seed >> 8 & (OBJECTS - 1)];
		switch (*p == NULL ? 0 : seed >> 20 & 7) {
		case 0:
			talloc_free(*p);
			*p = talloc_asprintf(here, "object %u", turn);
			check(talloc_zero_size(*p, seed % 3000) != NULL);
			break;
		case 1:
			check(talloc_steal(there, *p) == *p);
			break;
		case 2:
			check(talloc_steal(NULL, *p) == *p);
			check(talloc_steal(here, *p) == *p);
			break;
		case 3:
			*p = talloc_realloc(here, *p, char, 20 + seed % 5000);
			check(*p != NULL && strncmp(*p, "object ", 7) == 0);
			break;
		case 4:
			talloc_set_destructor(*p, count_destroyed);
			break;
		case 5:
			check(talloc_total_blocks(*p) >= 2 && talloc_total_blocks(here) >= 1);
			break;
		case 6:
			check(talloc_reference(there, *p) == *p);
			check(talloc_unlink(there, *p) == 0);
			break;
		default:
			check(talloc_free(*p) == 0);
			*p = NULL;
		}
		count(&shared_acts);
	}
	for (i = 0; i < OBJECTS; i++) {
		talloc_free(objects[i]);
	}
	return NULL;
}

static char *inherited;

static void *free_inherited(void *unused)
{
	check(talloc_free(inherited) == 0);
	return unused;
}

/* What a child does with what it has inherited: uses it, grows it, frees it. */
static void be_a_child(unsigned number)
{
	pthread_t thread;
	char *p;

	alarm(60);
	check(talloc_total_blocks(inherited) == 101);
	for (; number % 5 != 0; number++) {
		check(talloc_free(grow(number)) == 0);
	}
	p = talloc_strdup(contexts[number % CONTEXTS], "a child's");
	check(talloc_total_blocks(contexts[number % CONTEXTS]) >= 2);
	check(talloc_free(p) == 0);
	p = talloc_asprintf(inherited, "more");
	check(talloc_realloc(inherited, p, char, 300000) != NULL);
	check(pthread_create(&thread, NULL, free_inherited, NULL) == 0);
	check(pthread_join(thread, NULL) == 0);
	_exit(0);
}

static void *fork_again(void *unused)
{
	unsigned number = 0;

	while (!stopped()) {
		int status = -1;
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			be_a_child(number);
		}
		check(waitpid(pid, &status, 0) == pid);
		if (status != 0) {
			printf("a child ended with wait status %#x\n", (unsigned)status);
		}
		check(status == 0);
		number++;
		count(&forked);
	}
	return unused;
}

static long resident_kib(void)
{
	char line[200];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "r");

	check(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "VmRSS:", 6) == 0) {
			kib = strtol(line + 6, NULL, 10);
		}
	}
	fclose(f);
	return kib;
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Watches the memory until the time is over. */
static void watch(double seconds)
{
	double began = now(), passed;
	long early = 0, late = 0, kib;
	unsigned second = 0;

	while ((passed = now() - began) < seconds) {
		usleep(1000000);
		kib = resident_kib();
		if (passed < seconds / 4) {
			early = kib > early ? kib : early;
		} else {
			late = kib > late ? kib : late;
			if (late > early + 64 * 1024) {
				printf("%ld KiB were resident at most in the first quarter, "
				       "now %ld\n", early, late);
			}
#ifndef __SANITIZE_THREAD__ /* its own memory grows with the addresses used */
			check(late <= early + 64 * 1024);
#endif
		}
		if (++second % 3 == 0) {
			talloc_enable_null_tracking();
		} else if (second % 3 == 1) {
			talloc_disable_null_tracking();
		}
	}
	printf("%.0f seconds; resident at most %ld KiB in the first quarter, %ld KiB after it\n",
	       passed, early, late);
}

int main(int argc, char **argv)
{
	void *(*const roles[])(void *) = { make, take, churn, fork_again };
	pthread_t own_threads[OWN], sharing[SHARING], threads[4];
	long i;

	check(argc == 2);
	inherited = talloc_asprintf(NULL, "inherited");
	for (i = 0; i < 100; i++) {
		check(talloc_size(inherited, (size_t)i * 100) != NULL);
	}
	for (i = 0; i < CONTEXTS; i++) {
		contexts[i] = tm_shared_context(NULL, "shared");
		check(contexts[i] != NULL);
	}
	for (i = 0; i < SHARING; i++) {
		check(pthread_create(&sharing[i], NULL, share, (void *)i) == 0);
	}
	for (i = 0; i < OWN; i++) {
		check(pthread_create(&own_threads[i], NULL, own, (void *)i) == 0);
	}
	for (i = 0; i < 4; i++) {
		check(pthread_create(&threads[i], NULL, roles[i], NULL) == 0);
	}
	watch(atof(argv[1]));
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < OWN; i++) {
		check(pthread_join(own_threads[i], NULL) == 0);
	}
	for (i = 0; i < 4; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	for (i = 0; i < SHARING; i++) {
		check(pthread_join(sharing[i], NULL) == 0);
	}
	for (i = 0; i < CONTEXTS; i++) {
		check(talloc_total_blocks(contexts[i]) == 1);
		check(talloc_free(contexts[i]) == 0);
	}
	for (i = 0; i < LEFT; i++) {
		talloc_free(left[i]);
	}
	while (taken < made) {
		check(talloc_free(queue[taken++ % QUEUE]) == 0);
	}
	check(talloc_total_blocks(inherited) == 101);
	check(talloc_free(inherited) == 0);
	printf("%lu own trees, %lu handed over, %lu threads, which freed %lu trees of others, "
	       "%lu forks, %lu acts in shared contexts\n", own_trees, handed, churned, adopted,
	       forked, shared_acts);
	check(shared_acts > 0 && own_trees > 0 && handed > 0 && churned > 0 && adopted > 0 && forked > 0);
	return 0;
}
