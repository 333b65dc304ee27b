/*
 * Questions and removals among many siblings (or references).
 *
 * The probes are spread evenly over the siblings, so that a library which walks
 * them pays half the way on average; their memory and their neighbours' is
 * touched beforehand, so that a library which does not walk is not charged for
 * the size of the cache. The driver's `scaling` runs these from 10 to 1,000,000.
 */
#include "bench.h"

enum { PROBES = 1000, SIZE = 32 };

struct family {
	void *grandparent;
	void *parent;
	size_t count;
	void **child;
	size_t probes;
	void *probe[PROBES];
};

static void family_new(struct pass *pass, struct family *family)
{
	family->count = pass->size;
	family->probes = family->count < PROBES ? family->count : PROBES;
	family->grandparent = talloc_named_const(NULL, 16, "struct grandparent");
	family->parent = talloc_named_const(family->grandparent, 16, "struct parent");
	family->child = calloc(family->count, sizeof(void *));
	for (size_t i = 0; i < family->count; i++) {
		family->child[i] = talloc_named_const(family->parent, SIZE, "struct child");
		stamp(family->child[i], SIZE, i);
	}
	for (size_t i = 0; i < family->probes; i++) {
		family->probe[i] = family->child[i * family->count / family->probes];
	}
}

static void family_free(const struct pass *pass, struct family *family)
{
	expect_death(pass, family->parent);
	free(family->child);
	check(talloc_free(family->grandparent) == 0, "lookup: free");
}

/* Brings the probes and their neighbours into the cache. */
static uint64_t family_warm(const struct family *family)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < family->probes; i++) {
		size_t at = i * family->count / family->probes;
		for (size_t j = at == 0 ? 0 : at - 1; j <= at + 1 && j < family->count; j++) {
			sum += stamp_of(family->child[j]);
		}
	}
	return sum;
}

/* Asks `expression` about each probe, again and again, and wants `wanted`. */
#define QUESTION(name, expression, wanted)                                  \
	static void name(struct pass *pass)                                     \
	{                                                                       \
		struct family family;                                               \
		uint64_t repetitions = 1, wrong = 0;                                \
		family_new(pass, &family);                                          \
		KEEP(family_warm(&family));                                         \
		do {                                                                \
			clock_start(pass);                                              \
			for (uint64_t r = 0; r < repetitions; r++) {                    \
				for (size_t i = 0; i < family.probes; i++) {                \
					const void *child = family.probe[i];                    \
					wrong += (expression) != (wanted);                      \
				}                                                           \
			}                                                               \
			repetitions *= 2;                                               \
		} while (clock_wants_more(pass, repetitions / 2 * family.probes));  \
		check(wrong == 0, #name ": a wrong answer");                        \
		family_free(pass, &family);                                               \
	}

QUESTION(parent, talloc_parent(child), family.parent)
QUESTION(type, (const void *)talloc_get_type(child, struct child), child)
QUESTION(ancestor, (void *)talloc_find_parent_bytype(child, struct grandparent), family.grandparent)
QUESTION(is_ancestor, talloc_is_parent(child, family.grandparent), 1)

static void unlink_child(struct pass *pass)
{
	struct family family;
	size_t failures = 0;

	family_new(pass, &family);
	KEEP(family_warm(&family));
	clock_start(pass);
	for (size_t i = 0; i < family.probes; i++) {
		failures += talloc_unlink(family.parent, family.probe[i]) != 0;
	}
	clock_stop(pass, family.probes);
	check(failures == 0, "unlink child: refused");
	check(talloc_total_blocks(family.parent) == family.count - family.probes + 1,
	      "unlink child: blocks left");
	family_free(pass, &family);
}

/* One object with `size` references, each held by a context of its own. */
static void unlink_reference(struct pass *pass)
{
	struct family family;
	void *owner = talloc_new(NULL);
	void *object = object_new(TALLOC, owner, SIZE);
	size_t failures = 0;

	family_new(pass, &family);
	for (size_t i = 0; i < family.count; i++) {
		check(talloc_reference(family.child[i], object) == object, "reference: made");
	}
	KEEP(family_warm(&family));
	clock_start(pass);
	for (size_t i = 0; i < family.probes; i++) {
		failures += talloc_unlink(family.probe[i], object) != 0;
	}
	clock_stop(pass, family.probes);
	check(failures == 0, "unlink reference: refused");
	check(talloc_reference_count(object) == family.count - family.probes,
	      "unlink reference: count");
	family_free(pass, &family);
	check(talloc_reference_count(object) == 0, "unlink reference: count after free");
	talloc_free(owner);
}

/* One context that holds references to `size` objects. */
static void unlink_held(struct pass *pass)
{
	struct family family;
	void *holder = talloc_new(NULL);
	size_t failures = 0;

	family_new(pass, &family);
	for (size_t i = 0; i < family.count; i++) {
		check(talloc_reference(holder, family.child[i]) != NULL, "reference: made");
	}
	KEEP(family_warm(&family));
	clock_start(pass);
	for (size_t i = 0; i < family.probes; i++) {
		failures += talloc_unlink(holder, family.probe[i]) != 0;
	}
	clock_stop(pass, family.probes);
	check(failures == 0, "unlink held: refused");
	check(talloc_total_blocks(holder) == family.count - family.probes + 1,
	      "unlink held: blocks left");
	talloc_free(holder);
	family_free(pass, &family);
}

const struct workload lookup_workloads[] = {
	{ "lookup/parent", "lookup", 10000, WARM, parent, NULL },
	{ "lookup/type", "lookup", 10000, WARM, type, NULL },
	{ "lookup/ancestor", "lookup", 10000, WARM, ancestor, NULL },
	{ "lookup/is-ancestor", "lookup", 10000, WARM, is_ancestor, NULL },
	{ "lookup/unlink-child", "unlink", 10000, WARM, unlink_child, NULL },
	{ "lookup/unlink-reference", "unlink", 10000, WARM, unlink_reference, NULL },
	{ "lookup/unlink-held", "unlink", 10000, WARM, unlink_held, NULL },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
