/*
 * Memory: what an object costs, what comes back, what a small process weighs.
 *
 *   memory objects SIZE COUNT    COUNT live objects of SIZE under one parent
 *   memory bare SIZE COUNT       the same with malloc
 *   memory give-back SIZE COUNT  a peak of COUNT chunks up to SIZE, freed at once
 *   memory start 0 0             one chunk
 *
 * Resident sizes come from /proc/self/smaps_rollup, which is exact where
 * /proc/self/statm may lag. All in KiB, as one line of JSON.
 */
#include "bench.h"

#include <stdio.h>
#include <time.h>

static long resident_kib(void)
{
	return status_kib("/proc/self/smaps_rollup", "Rss:");
}

static void print_objects(enum via via, size_t size, size_t count)
{
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	long before = resident_kib(), after;

	for (size_t i = 0; i < count; i++) {
		memset(object_new(via, parent, size), (int)i, size);
	}
	after = resident_kib();
	check(via == BARE || talloc_total_blocks(parent) == count + 1, "objects: blocks");
	printf("{\"before\":%ld,\"after\":%ld}\n", before, after);
}

static void wait_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static void print_give_back(size_t size, size_t count)
{
	uint64_t random = RANDOM_SEED;
	long before = resident_kib(), peak, freed;
	void *parent = talloc_new(NULL);

	for (size_t i = 0; i < count; i++) {
		size_t bytes = size / 2 + random_below(&random, size / 2);
		memset(object_new(TALLOC, parent, bytes), (int)i, bytes);
	}
	peak = resident_kib();
	check(talloc_free(parent) == 0, "give back: free");
	freed = resident_kib();
	wait_ms(950);
	printf("{\"before\":%ld,\"peak\":%ld,\"freed\":%ld,\"after\":%ld}\n", before, peak, freed,
	       resident_kib());
}

static void print_start(void)
{
	void *chunk = talloc_named_const(NULL, 64, "one");

	check(talloc_total_blocks(chunk) == 1, "start: blocks");
	printf("{\"after\":%ld}\n", resident_kib());
	talloc_free(chunk);
}

int run_memory(const char *what, size_t size, size_t count)
{
	if (strcmp(what, "objects") == 0) {
		print_objects(TALLOC, size, count);
	} else if (strcmp(what, "bare") == 0) {
		print_objects(BARE, size, count);
	} else if (strcmp(what, "give-back") == 0) {
		print_give_back(size, count);
	} else if (strcmp(what, "start") == 0) {
		print_start();
	} else {
		check(false, "memory: objects, bare, give-back or start");
	}
	return 0;
}
