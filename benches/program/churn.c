/*
 * Churn: one parent, a steady number of live children, one out and one in.
 *
 * Small chunks leave in LIFO, FIFO and random order; large ones, with a touch
 * to every page, in random order.
 */
#include "bench.h"

enum order { LIFO, FIFO, RANDOM };

ALWAYS_INLINE void replace(enum via via, void *parent, void **slot, size_t serial)
{
	size_t size = small_size(serial);
	object_free(via, *slot);
	*slot = object_new(via, parent, size);
	stamp(*slot, size, serial);
}

/* Frees the newest few and makes as many again, in bursts of 1 to 32. */
ALWAYS_INLINE void churn_newest(enum via via, void *parent, void **slots, size_t live, size_t ops)
{
	uint64_t random = RANDOM_SEED;

	for (size_t done = 0; done < ops;) {
		size_t burst = 1 + random_below(&random, 32);
		for (size_t i = 1; i <= burst; i++) {
			object_free(via, slots[live - i]);
		}
		for (size_t i = burst; i >= 1; i--) {
			size_t size = small_size(done + i);
			slots[live - i] = object_new(via, parent, size);
			stamp(slots[live - i], size, done + i);
		}
		done += burst;
	}
}

ALWAYS_INLINE void churn(struct pass *pass, enum via via, enum order order)
{
	size_t live = pass->size, at = 0;
	size_t ops = 2 * live < 100000 ? 100000 : 2 * live;
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	void **slots = calloc(live, sizeof(*slots));
	uint64_t random = RANDOM_SEED;

	for (size_t i = 0; i < live; i++) {
		slots[i] = object_new(via, parent, small_size(i));
		stamp(slots[i], small_size(i), i);
	}
	clock_start(pass);
	if (order == LIFO) {
		churn_newest(via, parent, slots, live, ops);
	}
	for (size_t i = 0; order == FIFO && i < ops; i++) {
		replace(via, parent, &slots[at], i);
		at = at + 1 == live ? 0 : at + 1;
	}
	for (size_t i = 0; order == RANDOM && i < ops; i++) {
		replace(via, parent, &slots[random_below(&random, live)], i);
	}
	clock_stop(pass, ops);

	for (size_t i = 0; i < live; i++) {
		check(stamp_of(slots[i]) <= ops + 32, "churn: contents");
	}
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == live + 1, "churn: blocks left");
		talloc_free(parent);
	} else {
		for (size_t i = 0; i < live; i++) {
			free(slots[i]);
		}
	}
	free(slots);
}

/* Chunks of one to two times `pass->size`, 16 live, a touch to each page. */
ALWAYS_INLINE void churn_large(struct pass *pass, enum via via)
{
	enum { LIVE = 16, OPS = 2000 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	char *slots[LIVE] = { NULL };
	uint64_t random = RANDOM_SEED;
	size_t bytes = 0;

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		size_t size = pass->size + random_below(&random, pass->size);
		char **slot = &slots[i % 2 ? random_below(&random, LIVE) : i % LIVE];
		if (*slot != NULL) {
			check((size_t)stamp_of(*slot) < i, "large: contents");
			object_free(via, *slot);
		}
		*slot = object_new(via, parent, size);
		for (size_t at = 0; at < size - sizeof(uint64_t); at += 4096) {
			stamp(*slot + at, sizeof(uint64_t), i);
		}
		bytes += size;
	}
	clock_stop(pass, OPS);

	KEEP(bytes);
	for (size_t i = 0; i < LIVE; i++) {
		check(slots[i] != NULL, "large: all slots were used");
		object_free(via, slots[i]);
	}
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == 1, "large: blocks left");
		talloc_free(parent);
	}
}

BOTH(lifo, churn, LIFO)
BOTH(fifo, churn, FIFO)
BOTH(random, churn, RANDOM)
BOTH(large, churn_large)

const struct workload churn_workloads[] = {
	{ "churn/lifo-1k", "alloc+free", 1000, WARM, lifo_talloc, lifo_bare },
	{ "churn/fifo-1k", "alloc+free", 1000, WARM, fifo_talloc, fifo_bare },
	{ "churn/random-1k", "alloc+free", 1000, WARM, random_talloc, random_bare },
	{ "churn/lifo-200k", "alloc+free", 200000, WARM, lifo_talloc, lifo_bare },
	{ "churn/fifo-200k", "alloc+free", 200000, WARM, fifo_talloc, fifo_bare },
	{ "churn/random-200k", "alloc+free", 200000, WARM, random_talloc, random_bare },
	{ "large/4k", "alloc+free", 4096, WARM, large_talloc, large_bare },
	{ "large/16k", "alloc+free", 16384, WARM, large_talloc, large_bare },
	{ "large/64k", "alloc+free", 65536, WARM, large_talloc, large_bare },
	{ "large/256k", "alloc+free", 262144, WARM, large_talloc, large_bare },
	{ "large/1m", "alloc+free", 1048576, WARM, large_talloc, large_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
