/*
 * Makes trees, writes what the library itself reports on them to a file, says
 * "ready", and waits until its standard input ends: `tmempool tree` must see
 * the same from outside.
 *
 *	trees KIND FILE [NUMBER]
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talloc.h>

/* Not every way to link the library offers these. */
struct tm_cache;
struct tm_genpool;
__attribute__((weak)) void *tm_pool_growable(const void *parent, size_t first, size_t max);
__attribute__((weak)) void *tm_palloc(void *pool, size_t size);
__attribute__((weak)) int tm_reset(void *ctx);
__attribute__((weak)) void *tm_shared_context(const void *parent, const char *name);
__attribute__((weak)) void *tm_shared_pool(const void *parent, size_t size);
__attribute__((weak)) struct tm_cache *tm_cache_create(const void *parent, const char *name,
						       size_t size, size_t align, unsigned flags,
						       void (*ctor)(void *), void (*dtor)(void *));
__attribute__((weak)) void *tm_cache_alloc(struct tm_cache *cache, unsigned flags);
__attribute__((weak)) struct tm_genpool *tm_genpool_create(const void *parent, unsigned order);

static uint64_t state;

static unsigned below(unsigned limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % limit;
}

static int keep(void *ptr)
{
	(void)ptr;
	return 0;
}

/* Everything that a report shows in a way of its own. */
static void special(FILE *f)
{
	char *largest = talloc_named_const(NULL, 70000, "largest");
	char *middle = talloc_named_const(NULL, 5000, "middle");
	char *smallest = talloc_size(NULL, 10);
	talloc_set_name_const(smallest, NULL);

	void *pool = talloc_pool(largest, 4096);
	talloc_set_name_const(pool, "pool");
	/* Pools in name only, one of them gone: what lies behind them is found all the same. */
	struct few { char c[30]; } *few[3];
	for (int i = 0; i < 3; i++) {
		few[i] = talloc_pooled_object(pool, struct few, 1 + i, 20);
		talloc_strdup(few[i], "in a pool, below an object");
	}
	talloc_free(few[1]);
	few[0] = talloc_steal(middle, few[0]);
	void *members[40];
	for (int i = 0; i < 40; i++) {
		members[i] = talloc_asprintf(pool, "member %d, and what makes it longer", i);
		talloc_named_const(members[i], 100, "below a member");
	}
	for (int i = 0; i < 40; i += 3)
		talloc_free(members[i]);
	members[1] = talloc_realloc_size(pool, members[1], 20);
	members[2] = talloc_realloc_size(pool, members[2], 3000);
	void *inner = talloc_pool(members[4], 512);
	talloc_strdup(inner, "in a pool below a pool");
	void *outside = talloc_size(pool, 100000);
	talloc_strdup(outside, "below what the pool had no room for");
	talloc_steal(middle, members[5]);

	struct { char c[3]; } *object = talloc_pooled_object(largest, typeof(*object), 3, 100);
	talloc_strdup(object, "pooled");
	void *great = talloc_pool(middle, 20 << 20);
	talloc_set_name_const(great, "great pool");
	for (int i = 0; i < 2000; i++)
		talloc_named_const(great, 9000, "in a great pool");

	/* A pool that is gone but for what was stolen out of it. */
	void *orphans = talloc_pool(NULL, 1000);
	talloc_steal(middle, talloc_strdup(orphans, "orphan"));
	talloc_free(orphans);

	/* Pools whose record has moved, as nothing was left in the room that they had announced. */
	for (int i = 0; i < 20; i++) {
		void *gone = talloc_pool(NULL, 3000 * i);
		char *last = NULL, *first = talloc_asprintf(gone, "first in a pool that is gone, %d", i);
		for (int j = 0; j < 100 + 100 * i; j++) {
			last = talloc_asprintf(gone, "in a pool that is gone, %d of %d", j, i);
			if (j % 3 == 0)
				talloc_pooled_object(last, struct few, 2, 10);
		}
		talloc_steal(middle, last);
		if (i % 2)
			talloc_steal(middle, first);
		talloc_free(gone);
		talloc_asprintf(last, "below what is left, %d", i);
		if (i % 4 == 3)
			talloc_free(first);
	}

	talloc_strdup(middle, "with a line\nand another\tand \x1b[31mcolour");
	talloc_strdup(middle, "\xff\xfe no UTF-8");
	talloc_strdup(middle, "");
	char *text = talloc_size(middle, 50001);
	memset(text, 'n', 50000);
	text[50000] = 0;
	talloc_set_name_const(text, text);

	talloc_reference(smallest, pool);
	talloc_reference(pool, text);
	talloc_reference(middle, text);
	talloc_set_destructor((void *)middle, keep);
	void *limited = talloc_named_const(middle, 100, "limited");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	talloc_set_memlimit(limited, 100000);
#pragma GCC diagnostic pop
	talloc_size(limited, 1000);
	for (size_t size = 1; size < 3 << 20; size = size * 2 + 7)
		talloc_size(largest, size);
	if (tm_pool_growable != NULL) {
		void *growable = tm_pool_growable(largest, 300, 0);
		for (int i = 0; i < 500; i++)
			talloc_named_const(growable, i, "in the first use");
		tm_reset(growable);
		for (int i = 0; i < 100; i++) {
			void *chunk = talloc_named_const(growable, i, "in the second use");
			/* Bytes that look like its header, where no header is. */
			memcpy(tm_palloc(growable, 48), (char *)chunk - 48, 48);
			memset(tm_palloc(growable, 100 * i), 0xff, 100 * i);
		}
	}

	if (tm_shared_context != NULL) {
		void *shared = tm_shared_context(largest, "shared");
		void *pool_of_all = tm_shared_pool(largest, 2000);
		for (int i = 0; i < 60; i++) {
			talloc_asprintf(shared, "%d, everybody's", i);
			talloc_asprintf(pool_of_all, "%d, in a pool of everybody's", i);
		}
	}

	talloc_reference(NULL, smallest);

	talloc_report_full(middle, f);
	talloc_report_full(largest, f);
	talloc_report_full(smallest, f);
	/* Nobody has a pointer to it. */
	fprintf(f, "full talloc report on '.reference' (total      0 bytes in   1 blocks)\n");
}

/* What lives in a tree and holds more than its bytes. */
static void residents(FILE *f)
{
	void *top = talloc_named_const(NULL, 1, "top");
	struct tm_cache *cache = tm_cache_create(top, "cache", 100, 8, 0, NULL, NULL);
	for (int i = 0; i < 5000; i++) {
		/* What looks like a chunk in an object is none. */
		char *object = tm_cache_alloc(cache, 0);
		memcpy(object, (char *)top - 48, 48);
	}
	tm_genpool_create(top, 4);
	talloc_report_full(top, f);
}

/* Chunks made, moved, referred to and freed at random, all below the null context. */
static void random_trees(FILE *f, unsigned seed)
{
	enum { MOST = 3000 };
	static void *chunks[MOST];
	unsigned count = 0;

	state = seed * 0x9e3779b97f4a7c15u + 1;
	talloc_enable_null_tracking();
	for (int step = 0; step < 20000; step++) {
		void *some = count > 0 ? chunks[below(count)] : NULL;
		switch (below(10)) {
		case 0: case 1: case 2: case 3: case 4:
			if (count == MOST)
				break;
			if (below(12) == 0)
				chunks[count++] = talloc_pool(some, below(8000));
			else if (below(8) == 0)
				chunks[count++] = talloc_size(some, below(200000));
			else if (below(8) == 0)
				chunks[count++] = _talloc_pooled_object(some, below(300), "object", below(12), below(3000));
			else
				chunks[count++] = talloc_asprintf(some, "%d of %u", step, seed);
			break;
		case 5:
			if (count > 0) {
				unsigned at = below(count);
				void *moved = NULL;
				if (talloc_get_size(chunks[at]) > 0)
					moved = talloc_realloc_size(NULL, chunks[at], 1 + below(3000));
				if (moved != NULL) {
					talloc_set_name_const(moved, "moved");
					chunks[at] = moved;
				}
			}
			break;
		case 6:
			if (count > 0)
				talloc_set_destructor(some, keep);
			break;
		case 7:
			if (count > 0) {
				void *to = chunks[below(count)];
				if (!talloc_is_parent(to, some) && talloc_reference_count(some) == 0)
					talloc_steal(to, some);
			}
			break;
		case 8:
			if (count > 0) {
				void *to = chunks[below(count)];
				if (!talloc_is_parent(to, some) && !talloc_is_parent(some, to))
					talloc_reference(to, some);
			}
			break;
		case 9:
			if (count > 0) {
				unsigned at = below(count);
				if (talloc_total_blocks(chunks[at]) == 1 && talloc_reference_count(chunks[at]) == 0) {
					talloc_free(chunks[at]);
					chunks[at] = chunks[--count];
				}
			}
			break;
		}
	}
	talloc_report_full(NULL, f);
}

static void deep(FILE *f, unsigned count)
{
	void *root = talloc_named_const(NULL, 1, "chain");
	void *at = root;
	for (unsigned i = 0; i < count; i++)
		at = talloc_named_const(at, 1, "link");
	talloc_report_depth_file(root, 0, 20, f);
}

static void many(FILE *f, unsigned count)
{
	void *root = talloc_named_const(NULL, 1, "many");
	for (unsigned i = 0; i < count; i++)
		talloc_asprintf(root, "string %u", i);
	talloc_report_full(root, f);
}

static volatile bool done;
static unsigned long rounds;

/* Allocates and frees without end. */
static void *busy(void *unused)
{
	unsigned seed = (unsigned)(uintptr_t)unused;
	while (!done) {
		void *tree = below(2) ? talloc_new(NULL) : talloc_pool(NULL, 3000);
		void *at = tree;
		for (unsigned i = 0; i < 300; i++) {
			seed = seed * 1103515245 + 12345;
			void *next = talloc_asprintf(at, "%u", i);
			if (seed >> 16 & 1)
				at = next;
			else if (seed >> 17 & 1)
				talloc_free(next);
			else if (seed >> 18 & 1)
				talloc_realloc_size(at, next, 2000);
			else
				talloc_reference(tree, next);
			if (i % 50 == 0)
				talloc_free(talloc_size(at, 300000));
		}
		talloc_free(tree);
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void wait_for_the_end(void)
{
	char byte;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) != 0)
		continue;
}

static int wait_in_destructor(char *ptr)
{
	(void)ptr;
	wait_for_the_end();
	return 0;
}

/* A free that does not come to its end. */
static int dying(void)
{
	char *parent = talloc_named_const(NULL, 1, "parent");
	char *root = talloc_named_const(parent, 1, "dying");
	talloc_named_const(root, 1, "sibling");
	char *child = talloc_named_const(root, 1, "child");
	char *grandchild = talloc_named_const(child, 1, "grandchild");
	talloc_named_const(root, 1, "gone before");
	talloc_set_destructor(grandchild, wait_in_destructor);
	return talloc_free(root);
}

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	const char *kind = argv[1];
	unsigned number = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	FILE *f = fopen(argv[2], "w");
	if (f == NULL)
		return 3;
	pthread_t threads[4];
	unsigned running = 0;

	if (strcmp(kind, "special") == 0)
		special(f);
	else if (strcmp(kind, "residents") == 0)
		residents(f);
	else if (strcmp(kind, "random") == 0)
		random_trees(f, number);
	else if (strcmp(kind, "deep") == 0)
		deep(f, number);
	else if (strcmp(kind, "many") == 0)
		many(f, number);
	else if (strcmp(kind, "dying") == 0)
		return dying();
	else if (strcmp(kind, "busy") == 0) {
		state = 1;
		many(f, number);
		while (running < 4) {
			void *seed = (void *)(uintptr_t)(running + 1);
			if (pthread_create(&threads[running++], NULL, busy, seed) != 0)
				return 4;
		}
	} else
		return 5;
	fclose(f);
	signal(SIGUSR1, count_signal);
	wait_for_the_end();
	done = true;
	for (unsigned i = 0; i < running; i++)
		pthread_join(threads[i], NULL);
	printf("%lu rounds, %d signals\n", rounds, (int)signals);
	return 0;
}
