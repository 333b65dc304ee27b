/*
 * Wide: very many children, all freed with their parent.
 *
 * A program with bare malloc has to remember every object to do the same, so
 * its variant pays for an array of pointers. Cold passes include the first
 * touch of the memory; warm ones reuse what the pass before gave back.
 */
#include "bench.h"

enum part { BUILD, FREE };

ALWAYS_INLINE void wide(struct pass *pass, enum via via, enum part part)
{
	size_t count = pass->size;
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	void **all = NULL;
	uint64_t *middle = NULL;

	if (part == BUILD) {
		clock_start(pass);
	}
	if (via == BARE) {
		all = malloc(count * sizeof(*all));
	}
	for (size_t i = 0; i < count; i++) {
		void *object = object_new(via, parent, small_size(i));
		stamp(object, small_size(i), i);
		if (via == BARE) {
			all[i] = object;
		}
		if (i == count / 2) {
			middle = object;
		}
	}
	if (part == BUILD) {
		clock_stop(pass, count);
	}
	check(stamp_of(middle) == count / 2, "wide: contents");
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == count + 1, "wide: blocks");
	}
	if (via == TALLOC) {
		expect_death(pass, parent);
	}
	if (part == FREE) {
		clock_start(pass);
	}
	if (via == TALLOC) {
		check(talloc_free(parent) == 0, "wide: free");
	} else {
		for (size_t i = 0; i < count; i++) {
			free(all[i]);
		}
		free(all);
	}
	if (part == FREE) {
		clock_stop(pass, count);
	}
}

/* `size` parents get their 200 children in turn, and go in random order. */
ALWAYS_INLINE void interleaved(struct pass *pass, enum via via)
{
	enum { CHILDREN = 200 };
	struct parent {
		void *context;
		void *child[CHILDREN];
	} *parents = calloc(pass->size, sizeof(*parents));
	struct parent **order = calloc(pass->size, sizeof(*order));
	uint64_t random = RANDOM_SEED, sum = 0;

	for (size_t i = 0; i < pass->size; i++) {
		size_t at = random_below(&random, i + 1);
		order[i] = order[at];
		order[at] = &parents[i];
	}
	clock_start(pass);
	for (size_t p = 0; p < pass->size; p++) {
		parents[p].context = via == TALLOC ? talloc_new(NULL) : malloc(1);
	}
	for (size_t c = 0; c < CHILDREN; c++) {
		for (size_t p = 0; p < pass->size; p++) {
			size_t size = small_size(c + p);
			parents[p].child[c] = object_new(via, parents[p].context, size);
			stamp(parents[p].child[c], size, c);
		}
	}
	for (size_t i = 0; i < pass->size; i++) {
		struct parent *victim = order[i];
		sum += stamp_of(victim->child[CHILDREN - 1]);
		if (via == BARE) {
			for (size_t c = 0; c < CHILDREN; c++) {
				free(victim->child[c]);
			}
			free(victim->context);
		} else {
			check(!pass->verify || talloc_total_blocks(victim->context) == CHILDREN + 1,
			      "interleaved: blocks");
			expect_death(pass, victim->context);
			check(talloc_free(victim->context) == 0, "interleaved: free");
		}
	}
	clock_stop(pass, pass->size * CHILDREN);
	check(sum == pass->size * (CHILDREN - 1), "interleaved: contents");
	free(order);
	free(parents);
}

BOTH(build, wide, BUILD)
BOTH(release, wide, FREE)
BOTH(interleaved, interleaved)

const struct workload wide_workloads[] = {
	{ "wide/build-cold", "child", 1000000, COLD, build_talloc, build_bare },
	{ "wide/free-cold", "child", 1000000, COLD, release_talloc, release_bare },
	{ "wide/build-warm", "child", 1000000, WARM, build_talloc, build_bare },
	{ "wide/free-warm", "child", 1000000, WARM, release_talloc, release_bare },
	{ "wide/interleaved", "child", 1000, WARM, interleaved_talloc, interleaved_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
