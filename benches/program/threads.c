/*
 * Threads, as many as the size says: each on its own trees; in pairs, of which one
 * makes trees and the other frees them; all at one context. Wall time, since that is
 * what more threads are for. The clock runs while they work, not while they start.
 */
#include "bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

enum { THREADS_MAX = 64, CHILDREN = 100 };

struct tree {
	void *root;
	void *child[CHILDREN];
};

ALWAYS_INLINE void tree_new(enum via via, struct tree *tree, size_t serial)
{
	tree->root = via == TALLOC ? talloc_new(NULL) : malloc(1);
	for (size_t c = 0; c < CHILDREN; c++) {
		size_t size = small_size(c + serial);
		tree->child[c] = object_new(via, tree->root, size);
		stamp(tree->child[c], size, serial);
	}
}

ALWAYS_INLINE uint64_t tree_free(enum via via, struct tree *tree)
{
	uint64_t serial = stamp_of(tree->child[CHILDREN - 1]);

	for (size_t c = 0; via == BARE && c < CHILDREN; c++) {
		free(tree->child[c]);
	}
	object_free(via, tree->root);
	return serial;
}

/* The sum of 0 … n - 1. */
static uint64_t sum_below(uint64_t n)
{
	return n * (n - 1) / 2;
}

/* --- threads that start together --- */

static pthread_barrier_t line;

struct worker {
	pthread_t thread;
	size_t number;
	uint64_t sum;
	uint64_t (*work)(size_t number);
};

static void *start_work(void *argument)
{
	struct worker *worker = argument;

	pthread_barrier_wait(&line);
	worker->sum = worker->work(worker->number);
	return NULL;
}

/* Runs `work` in `threads` threads and wants each of them to return `sum`. */
static void in_threads(struct pass *pass, size_t threads, uint64_t (*work)(size_t),
		       uint64_t ops, uint64_t sum)
{
	struct worker worker[THREADS_MAX];

	check(threads >= 1 && threads <= THREADS_MAX, "1 to 64 threads");
	pthread_barrier_init(&line, NULL, (unsigned)threads + 1);
	for (size_t t = 0; t < threads; t++) {
		worker[t].number = t;
		worker[t].work = work;
		check(pthread_create(&worker[t].thread, NULL, start_work, &worker[t]) == 0,
		      "cannot start a thread");
	}
	clock_start(pass);
	pthread_barrier_wait(&line);
	for (size_t t = 0; t < threads; t++) {
		pthread_join(worker[t].thread, NULL);
	}
	clock_stop(pass, ops);
	for (size_t t = 0; t < threads; t++) {
		check(worker[t].sum == sum, "a thread has lost something");
	}
	pthread_barrier_destroy(&line);
}

/*
 * Keeps thread `number` on one processor, and its neighbour on the next. Left to the
 * kernel, a pair is put on one processor or on two as it goes to sleep more or less
 * often, and threads that never sleep share one for a whole round while another is
 * idle: then the figures tell which, and not what the work costs.
 */
static void keep_apart(size_t number)
{
	cpu_set_t allowed, one;

	check(sched_getaffinity(0, sizeof(allowed), &allowed) == 0, "no processors to choose from");
	size_t skip = number % (size_t)CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			check(sched_setaffinity(0, sizeof(one), &one) == 0, "cannot stay on a processor");
			return;
		}
	}
}

/* --- each thread its own trees --- */

enum { OWN_TREES = 10000 };

ALWAYS_INLINE uint64_t own_trees(enum via via)
{
	struct tree tree;
	uint64_t sum = 0;

	for (size_t i = 0; i < OWN_TREES; i++) {
		tree_new(via, &tree, i);
		check(via == BARE || i > 0 || talloc_total_blocks(tree.root) == CHILDREN + 1,
		      "own trees: blocks");
		sum += tree_free(via, &tree);
	}
	return sum;
}

static uint64_t own_trees_talloc(size_t number)
{
	keep_apart(number);
	return own_trees(TALLOC);
}

static uint64_t own_trees_bare(size_t number)
{
	keep_apart(number);
	return own_trees(BARE);
}

ALWAYS_INLINE void own(struct pass *pass, enum via via)
{
	in_threads(pass, pass->size, via == TALLOC ? own_trees_talloc : own_trees_bare,
		   (uint64_t)pass->size * OWN_TREES * CHILDREN, sum_below(OWN_TREES));
}

BOTH(own, own)

/* --- one makes, the other frees; a thread alone does both --- */

enum { ROOM = 32, HANDED_TREES = 9984 };

static struct belt {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t made, taken;
	struct tree tree[ROOM];
} belts[THREADS_MAX / 2];
static bool alone;

/* Waits until the belt has a tree to take (or a place to fill). */
static void await_belt(struct belt *belt, bool a_tree)
{
	pthread_mutex_lock(&belt->lock);
	while (a_tree ? belt->made == belt->taken : belt->made - belt->taken == ROOM) {
		pthread_cond_wait(&belt->changed, &belt->lock);
	}
	pthread_mutex_unlock(&belt->lock);
}

static void advance_belt(struct belt *belt, size_t *counter)
{
	pthread_mutex_lock(&belt->lock);
	(*counter)++;
	pthread_cond_signal(&belt->changed);
	pthread_mutex_unlock(&belt->lock);
}

ALWAYS_INLINE void make_one(enum via via, struct belt *belt, size_t i)
{
	await_belt(belt, false);
	tree_new(via, &belt->tree[i % ROOM], i);
	advance_belt(belt, &belt->made);
}

ALWAYS_INLINE uint64_t take_one(enum via via, struct belt *belt, size_t i)
{
	await_belt(belt, true);
	struct tree *tree = &belt->tree[i % ROOM];
	check(via == BARE || i > 0 || talloc_total_blocks(tree->root) == CHILDREN + 1,
	      "hand over: blocks");
	uint64_t serial = tree_free(via, tree);
	advance_belt(belt, &belt->taken);
	return serial;
}

/* Even threads make, odd ones take. */
ALWAYS_INLINE uint64_t at_belt(enum via via, size_t number)
{
	struct belt *belt = &belts[number / 2];
	uint64_t sum = 0;

	if (!alone) {
		keep_apart(number);
	}
	for (size_t i = 0; alone && i < HANDED_TREES; i += ROOM) {
		for (size_t j = 0; j < ROOM; j++) {
			make_one(via, belt, i + j);
		}
		for (size_t j = 0; j < ROOM; j++) {
			sum += take_one(via, belt, i + j);
		}
	}
	for (size_t i = 0; !alone && i < HANDED_TREES; i++) {
		if (number % 2 == 0) {
			make_one(via, belt, i);
			sum += i;
		} else {
			sum += take_one(via, belt, i);
		}
	}
	return sum;
}

_Static_assert(HANDED_TREES % ROOM == 0, "a thread alone fills the belt and clears it");

static uint64_t at_belt_talloc(size_t number)
{
	return at_belt(TALLOC, number);
}

static uint64_t at_belt_bare(size_t number)
{
	return at_belt(BARE, number);
}

ALWAYS_INLINE void hand_over(struct pass *pass, enum via via)
{
	size_t belts_used = (pass->size + 1) / 2;

	alone = pass->size == 1;
	check(alone || pass->size % 2 == 0, "threads hand over in pairs");
	for (size_t b = 0; b < belts_used; b++) {
		pthread_mutex_init(&belts[b].lock, NULL);
		pthread_cond_init(&belts[b].changed, NULL);
		belts[b].made = belts[b].taken = 0;
	}
	in_threads(pass, pass->size, via == TALLOC ? at_belt_talloc : at_belt_bare,
		   (uint64_t)belts_used * HANDED_TREES * CHILDREN, sum_below(HANDED_TREES));
}

BOTH(hand_over, hand_over)

/*
 * --- all at one context ---
 *
 * A context that threads may share, where the library has such a thing; else an
 * ordinary one behind a mutex, as a program must do. malloc needs neither.
 */

enum { SHARED_OPS = 200000, LIVE = 32 };

static struct {
	void *context;
	bool locked;
	pthread_mutex_t lock;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

ALWAYS_INLINE void *shared_new(enum via via, bool locked, size_t size)
{
	if (!locked) {
		return object_new(via, shared.context, size);
	}
	pthread_mutex_lock(&shared.lock);
	void *object = object_new(via, shared.context, size);
	pthread_mutex_unlock(&shared.lock);
	return object;
}

ALWAYS_INLINE void shared_free(enum via via, bool locked, void *object)
{
	if (!locked) {
		object_free(via, object);
		return;
	}
	pthread_mutex_lock(&shared.lock);
	object_free(via, object);
	pthread_mutex_unlock(&shared.lock);
}

ALWAYS_INLINE uint64_t at_shared(enum via via, bool locked)
{
	void *live[LIVE];
	uint64_t sum = 0;

	for (size_t i = 0; i < SHARED_OPS + LIVE; i++) {
		if (i >= LIVE) {
			sum += stamp_of(live[i % LIVE]);
			shared_free(via, locked, live[i % LIVE]);
		}
		if (i < SHARED_OPS) {
			size_t size = small_size(i);
			live[i % LIVE] = shared_new(via, locked, size);
			stamp(live[i % LIVE], size, i);
		}
	}
	return sum;
}

static uint64_t at_shared_talloc(size_t number)
{
	(void)number;
	return shared.locked ? at_shared(TALLOC, true) : at_shared(TALLOC, false);
}

static uint64_t at_shared_bare(size_t number)
{
	(void)number;
	return at_shared(BARE, false);
}

ALWAYS_INLINE void share(struct pass *pass, enum via via)
{
	void *(*shared_context)(const void *, const char *) = NULL;

	if (via == TALLOC) {
		*(void **)&shared_context = dlsym(RTLD_DEFAULT, "tm_shared_context");
		shared.locked = shared_context == NULL;
		shared.context = shared.locked ? talloc_named_const(NULL, 0, "shared")
					       : shared_context(NULL, "shared");
		check(shared.context != NULL, "no shared context");
	}
	in_threads(pass, pass->size, via == TALLOC ? at_shared_talloc : at_shared_bare,
		   (uint64_t)pass->size * SHARED_OPS, sum_below(SHARED_OPS));
	if (via == TALLOC) {
		check(talloc_total_blocks(shared.context) == 1, "shared: blocks");
		talloc_free(shared.context);
	}
}

BOTH(share, share)

const struct workload thread_workloads[] = {
	{ "threads/own-trees", "child", 2, WALL, own_talloc, own_bare },
	{ "threads/hand-over", "child", 2, WALL, hand_over_talloc, hand_over_bare },
	{ "threads/shared", "alloc+free", 2, WALL, share_talloc, share_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
