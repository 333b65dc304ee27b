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

BOTH(pooled_objects, pooled_objects)
BOTH(reuse, reuse)
BOTH(last_member, last_member)
BOTH(free_pool, free_pool, AMPLE)
BOTH(free_overflow, free_pool, SCANT)

const struct workload pool_workloads[] = {
	{ "pool/object", "object of 5", 1, WARM, pooled_objects_talloc, pooled_objects_bare },
	{ "pool/reuse", "member", 500, WARM, reuse_talloc, reuse_bare },
	{ "pool/last-member", "alloc+free", 1, WARM, last_member_talloc, last_member_bare },
	{ "pool/free", "member", 10000, WARM, free_pool_talloc, free_pool_bare },
	{ "pool/free-overflow", "member", 10000, WARM, free_overflow_talloc, free_overflow_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
