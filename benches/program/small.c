/*
 * Small things done often: destructors, names, and many tiny trees.
 */
#include "bench.h"

#include <stdio.h>

/* --- destructors --- */

struct guarded {
	int (*on_free)(struct guarded *);
	uint64_t value;
};

static uint64_t destroyed;

static int count_destroyed(struct guarded *guarded)
{
	destroyed += guarded->value;
	return 0;
}

ALWAYS_INLINE void destructors(struct pass *pass, enum via via)
{
	enum { OPS = 50000 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;

	destroyed = 0;
	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		struct guarded *guarded = object_new(via, parent, sizeof(*guarded));
		guarded->value = 1;
		guarded->on_free = count_destroyed;
		KEEP(guarded);
		if (via == TALLOC) {
			talloc_set_destructor(guarded, count_destroyed);
		} else {
			guarded->on_free(guarded);
		}
		object_free(via, guarded);
	}
	clock_stop(pass, OPS);
	check(destroyed == OPS, "destructors: a destructor did not run");
	talloc_free(parent);
}

/* A hundred children with destructors, freed with their parent. */
ALWAYS_INLINE void destructor_tree(struct pass *pass, enum via via)
{
	enum { TREES = 500, CHILDREN = 100 };

	destroyed = 0;
	clock_start(pass);
	for (size_t t = 0; t < TREES; t++) {
		void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
		struct guarded *guarded[CHILDREN];
		for (size_t c = 0; c < CHILDREN; c++) {
			guarded[c] = object_new(via, parent, sizeof(**guarded));
			guarded[c]->value = 1;
			guarded[c]->on_free = count_destroyed;
			if (via == TALLOC) {
				talloc_set_destructor(guarded[c], count_destroyed);
			}
		}
		KEEP(guarded);
		for (size_t c = 0; via == BARE && c < CHILDREN; c++) {
			guarded[c]->on_free(guarded[c]);
			free(guarded[c]);
		}
		talloc_free(parent);
	}
	clock_stop(pass, TREES * CHILDREN);
	check(destroyed == TREES * CHILDREN, "destructor tree: a destructor did not run");
}

/* --- names --- */

static void name_constant(struct pass *pass)
{
	enum { OPS = 100000 };
	static const char *const names[2] = { "struct one", "struct other" };
	void *chunk = talloc_new(NULL);
	size_t wrong = 0;

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		talloc_set_name_const(chunk, names[i % 2]);
		wrong += talloc_get_name(chunk) != names[i % 2];
	}
	clock_stop(pass, OPS);
	check(wrong == 0, "names: a wrong name");
	talloc_free(chunk);
}

/* The bare variant keeps an object and its formatted name. */
ALWAYS_INLINE void name_formatted(struct pass *pass, enum via via)
{
	enum { OPS = 20000 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		char *name = NULL;
		void *object;
		if (via == TALLOC) {
			object = talloc_named(parent, 64, "connection %d of %s", (int)(i % 10), "peer");
			name = (char *)(uintptr_t)talloc_get_name(object);
		} else {
			object = malloc(64);
			if (asprintf(&name, "connection %d of %s", (int)(i % 10), "peer") < 0) {
				name = NULL;
			}
		}
		check(name != NULL && name[11] == (char)('0' + i % 10), "names: a wrong name");
		if (via == BARE) {
			free(name);
		}
		object_free(via, object);
	}
	clock_stop(pass, OPS);
	check(via == BARE || talloc_total_blocks(parent) == 1, "names: blocks left");
	talloc_free(parent);
}

/* --- many tiny trees: `size` roots with two children, a random one replaced --- */

struct tiny {
	void *root, *left, *right;
};

ALWAYS_INLINE void tiny_new(enum via via, struct tiny *tiny, size_t i)
{
	tiny->root = object_new(via, NULL, 24);
	tiny->left = object_new(via, tiny->root, small_size(i));
	tiny->right = object_new(via, tiny->root, small_size(i + 1));
	stamp(tiny->left, 16, i);
	stamp(tiny->right, 16, i);
}

ALWAYS_INLINE void tiny_free(struct pass *pass, enum via via, struct tiny *tiny)
{
	if (via == TALLOC) {
		expect_death(pass, tiny->left);
	}
	check(stamp_of(tiny->left) == stamp_of(tiny->right), "tiny trees: contents");
	if (via == BARE) {
		free(tiny->right);
		free(tiny->left);
	}
	object_free(via, tiny->root);
}

ALWAYS_INLINE void tiny_trees(struct pass *pass, enum via via)
{
	size_t ops = 2 * pass->size;
	struct tiny *tiny = calloc(pass->size, sizeof(*tiny));
	uint64_t random = RANDOM_SEED;

	for (size_t i = 0; i < pass->size; i++) {
		tiny_new(via, &tiny[i], i);
	}
	clock_start(pass);
	for (size_t i = 0; i < ops; i++) {
		struct tiny *chosen = &tiny[random_below(&random, pass->size)];
		tiny_free(pass, via, chosen);
		tiny_new(via, chosen, i);
	}
	clock_stop(pass, ops);
	for (size_t i = 0; i < pass->size; i++) {
		check(via == BARE || !pass->verify || talloc_total_blocks(tiny[i].root) == 3,
		      "tiny trees: blocks");
		tiny_free(pass, via, &tiny[i]);
	}
	free(tiny);
}

BOTH(destructors, destructors)
BOTH(destructor_tree, destructor_tree)
BOTH(name_formatted, name_formatted)
BOTH(tiny_trees, tiny_trees)

const struct workload small_workloads[] = {
	{ "destructor/one", "set+free", 1, WARM, destructors_talloc, destructors_bare },
	{ "destructor/tree", "child", 1, WARM, destructor_tree_talloc, destructor_tree_bare },
	{ "names/constant", "set+get", 1, WARM, name_constant, NULL },
	{ "names/formatted", "named+free", 1, WARM, name_formatted_talloc, name_formatted_bare },
	{ "tiny/trees", "tree of 3", 50000, WARM, tiny_trees_talloc, tiny_trees_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
