/*
 * Pools: objects with room for their children, a pool that is filled and
 * emptied again and again, its last member coming and going, and a pool freed
 * with all its members. The bare variant makes and frees each object.
 */
#include "bench.h"

/* What libtalloc needs for a member besides its payload, rounded up. */
enum { MEMBER_OVERHEAD = 112, MEMBER = 32 };

struct owner {
	char *name;
	char *alias;
	char *path;
	uint32_t *list;
	uint64_t serial;
};

ALWAYS_INLINE void pooled_objects(struct pass *pass, enum via via)
{
	enum { OPS = 20000, PARTS = 4, PART = 48 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		void *part[PARTS];
		struct owner *owner = via == TALLOC
			? talloc_pooled_object(parent, struct owner, PARTS, PARTS * PART)
			: malloc(sizeof(*owner));
		owner->serial = i;
		for (size_t p = 0; p < PARTS; p++) {
			part[p] = object_new(via, owner, PART);
			stamp(part[p], PART, i);
		}
		check(stamp_of(part[PARTS - 1]) == owner->serial, "pooled object: contents");
		for (size_t p = 0; via == BARE && p < PARTS; p++) {
			free(part[p]);
		}
		check(!pass->verify || via == BARE || talloc_total_blocks(owner) == PARTS + 1,
		      "pooled object: blocks");
		object_free(via, owner);
	}
	clock_stop(pass, OPS);
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == 1, "pooled object: blocks left");
		talloc_free(parent);
	}
}

/* Fills one pool with `size` members and empties it, over and over. */
ALWAYS_INLINE void reuse(struct pass *pass, enum via via)
{
	enum { FILLINGS = 200 };
	size_t members = pass->size;
	void *pool = via == TALLOC ? talloc_pool(NULL, members * (MEMBER + MEMBER_OVERHEAD)) : NULL;
	void **member = calloc(members, sizeof(*member));

	clock_start(pass);
	for (size_t filling = 0; filling < FILLINGS; filling++) {
		for (size_t i = 0; i < members; i++) {
			member[i] = object_new(via, pool, MEMBER);
			stamp(member[i], MEMBER, filling + i);
		}
		check(stamp_of(member[members / 2]) == filling + members / 2, "reuse: contents");
		if (via == TALLOC) {
			talloc_free_children(pool);
		} else {
			for (size_t i = 0; i < members; i++) {
				free(member[i]);
			}
		}
	}
	clock_stop(pass, FILLINGS * members);
	if (via == TALLOC) {
		check(talloc_total_blocks(pool) == 1, "reuse: blocks left");
		talloc_free(pool);
	}
	free(member);
}

/* The last member of a pool comes and goes. */
ALWAYS_INLINE void last_member(struct pass *pass, enum via via)
{
	enum { OPS = 100000 };
	void *pool = via == TALLOC ? talloc_pool(NULL, 8192) : NULL;
	void *resident = object_new(via, pool, MEMBER);

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		size_t size = small_size(i);
		void *member = object_new(via, pool, size);
		stamp(member, size, i);
		object_free(via, member);
	}
	clock_stop(pass, OPS);
	object_free(via, resident);
	if (via == TALLOC) {
		check(talloc_total_blocks(pool) == 1, "last member: blocks left");
		talloc_free(pool);
	}
}

enum room { AMPLE, SCANT };

/* Frees a pool of `size` members (scant: most overflowed); only the free is on the clock. */
ALWAYS_INLINE void free_pool(struct pass *pass, enum via via, enum room room)
{
	size_t members = pass->size, room_bytes = members * (MEMBER + MEMBER_OVERHEAD);
	void *pool = NULL;
	void **member = calloc(members, sizeof(*member));

	if (via == TALLOC) {
		pool = talloc_pool(NULL, room == AMPLE ? room_bytes : room_bytes / 4);
		check(pool != NULL, "free pool: creation");
	}
	for (size_t i = 0; i < members; i++) {
		member[i] = object_new(via, pool, MEMBER);
		stamp(member[i], MEMBER, i);
	}
	check(via == BARE || !pass->verify || talloc_total_blocks(pool) == members + 1,
	      "free pool: blocks");
	if (via == TALLOC) {
		expect_death(pass, pool);
	}
	clock_start(pass);
	if (via == TALLOC) {
		check(talloc_free(pool) == 0, "free pool: free");
	} else {
		for (size_t i = 0; i < members; i++) {
			free(member[i]);
		}
	}
	clock_stop(pass, members);
	free(member);
}

/*
 * A pool for the length of a call, in which members have members, names,
 * types and destructors, one is freed, one grows, and one leaves as the result.
 */
struct item {
	uint64_t serial;
	char *name;
	char *value;
};

static uint64_t items_gone;

static int item_gone(struct item *item)
{
	items_gone++;
	return item == NULL;
}

ALWAYS_INLINE void mixed(struct pass *pass, enum via via)
{
	enum { OPS = 5000, ITEMS = 8, SHORT = 40, LONG = 100 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	char *result = NULL;
	uint64_t sum = 0;

	items_gone = 0;
	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		void *pool = via == TALLOC ? talloc_pool(parent, 8192) : NULL;
		struct item *item[ITEMS];

		for (size_t n = 0; n < ITEMS; n++) {
			struct item *new;
			if (via == TALLOC) {
				new = talloc_zero(pool, struct item);
				new->name = talloc_strdup(new, "the name of it");
				new->value = talloc_array(new, char, SHORT);
				talloc_set_name_const(new->value, "value");
				if (n % 4 == 0) {
					talloc_set_destructor(new, item_gone);
				}
				check(talloc_get_type_abort(new, struct item) == new, "mixed: type");
				new->value = talloc_realloc(new, new->value, char, LONG);
				check(talloc_parent(new->value) == new, "mixed: parent");
			} else {
				new = calloc(1, sizeof(*new));
				new->name = strdup("the name of it");
				new->value = realloc(malloc(SHORT), LONG);
			}
			stamp(new->value, LONG, i);
			item[n] = new;
		}
		sum += stamp_of(item[ITEMS - 1]->value);
		if (via == TALLOC) {
			talloc_free(item[ITEMS / 2 + 1]);
			talloc_free(result);
			result = talloc_steal(parent, item[1]->name);
			check(talloc_free(pool) == 0, "mixed: free");
		} else {
			free(result);
			result = item[1]->name;
			for (size_t n = 0; n < ITEMS; n++) {
				if (n != 1) {
					free(item[n]->name);
				}
				free(item[n]->value);
				free(item[n]);
			}
		}
	}
	clock_stop(pass, OPS);
	check(sum == (uint64_t)OPS * (OPS - 1) / 2 && strcmp(result, "the name of it") == 0,
	      "mixed: contents");
	check(via == BARE || items_gone == OPS * 2, "mixed: destructors");
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == 2, "mixed: blocks left");
		talloc_free(parent);
	} else {
		free(result);
	}
}

BOTH(mixed, mixed)
BOTH(pooled_objects, pooled_objects)
BOTH(reuse, reuse)
BOTH(last_member, last_member)
BOTH(free_pool, free_pool, AMPLE)
BOTH(free_overflow, free_pool, SCANT)

const struct workload pool_workloads[] = {
	{ "pool/object", "object of 5", 1, WARM, pooled_objects_talloc, pooled_objects_bare },
	{ "pool/mixed", "pool", 1, WARM, mixed_talloc, mixed_bare },
	{ "pool/reuse", "member", 500, WARM, reuse_talloc, reuse_bare },
	{ "pool/last-member", "alloc+free", 1, WARM, last_member_talloc, last_member_bare },
	{ "pool/free", "member", 10000, WARM, free_pool_talloc, free_pool_bare },
	{ "pool/free-overflow", "member", 10000, WARM, free_overflow_talloc, free_overflow_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
