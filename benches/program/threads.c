/*
 * Threads: two on their own trees, and trees made by one and freed by another.
 * Wall time, since that is what a second thread is for.
 */
#include "bench.h"

#include <pthread.h>

enum { THREADS = 2, CHILDREN = 100 };

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

/* --- each thread its own trees --- */

enum { OWN_TREES = 1000 };

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

static void *own_trees_talloc(void *sum)
{
	*(uint64_t *)sum = own_trees(TALLOC);
	return NULL;
}

static void *own_trees_bare(void *sum)
{
	*(uint64_t *)sum = own_trees(BARE);
	return NULL;
}

static void run_own(struct pass *pass, void *(*body)(void *))
{
	pthread_t thread[THREADS];
	uint64_t sum[THREADS];

	clock_start(pass);
	for (size_t t = 0; t < THREADS; t++) {
		check(pthread_create(&thread[t], NULL, body, &sum[t]) == 0, "cannot start a thread");
	}
	for (size_t t = 0; t < THREADS; t++) {
		pthread_join(thread[t], NULL);
	}
	clock_stop(pass, (uint64_t)THREADS * OWN_TREES * CHILDREN);
	for (size_t t = 0; t < THREADS; t++) {
		check(sum[t] == (uint64_t)OWN_TREES * (OWN_TREES - 1) / 2, "own trees: contents");
	}
}

static void own_talloc(struct pass *pass)
{
	run_own(pass, own_trees_talloc);
}

static void own_bare(struct pass *pass)
{
	run_own(pass, own_trees_bare);
}

/* --- one makes, the other frees --- */

enum { ROOM = 32, HANDED_TREES = 2000 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t made, taken;
	struct tree tree[ROOM];
} belt = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* Waits until the belt has a tree to take (or a place to fill). */
static void await_belt(bool a_tree)
{
	pthread_mutex_lock(&belt.lock);
	while (a_tree ? belt.made == belt.taken : belt.made - belt.taken == ROOM) {
		pthread_cond_wait(&belt.changed, &belt.lock);
	}
	pthread_mutex_unlock(&belt.lock);
}

static void advance_belt(size_t *counter)
{
	pthread_mutex_lock(&belt.lock);
	(*counter)++;
	pthread_cond_signal(&belt.changed);
	pthread_mutex_unlock(&belt.lock);
}

ALWAYS_INLINE void produce(enum via via)
{
	for (size_t i = 0; i < HANDED_TREES; i++) {
		await_belt(false);
		tree_new(via, &belt.tree[i % ROOM], i);
		advance_belt(&belt.made);
	}
}

static void *produce_talloc(void *unused)
{
	produce(TALLOC);
	return unused;
}

static void *produce_bare(void *unused)
{
	produce(BARE);
	return unused;
}

ALWAYS_INLINE void hand_over(struct pass *pass, enum via via)
{
	pthread_t producer;
	uint64_t sum = 0;

	belt.made = belt.taken = 0;
	clock_start(pass);
	check(pthread_create(&producer, NULL, via == TALLOC ? produce_talloc : produce_bare,
			     NULL) == 0, "cannot start a thread");
	for (size_t i = 0; i < HANDED_TREES; i++) {
		await_belt(true);
		struct tree *tree = &belt.tree[i % ROOM];
		check(via == BARE || i > 0 || talloc_total_blocks(tree->root) == CHILDREN + 1,
		      "hand over: blocks");
		sum += tree_free(via, tree);
		advance_belt(&belt.taken);
	}
	pthread_join(producer, NULL);
	clock_stop(pass, (uint64_t)HANDED_TREES * CHILDREN);
	check(sum == (uint64_t)HANDED_TREES * (HANDED_TREES - 1) / 2, "hand over: contents");
}

BOTH(hand_over, hand_over)

const struct workload thread_workloads[] = {
	{ "threads/own-trees", "child", 1, WALL, own_talloc, own_bare },
	{ "threads/hand-over", "child", 1, WALL, hand_over_talloc, hand_over_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
