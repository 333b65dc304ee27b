/*
 * What the tests of small pooled objects share.
 */
#ifndef SMALL_OBJECTS_H
#define SMALL_OBJECTS_H

#include "contents.h"
#include "pools.h"

enum { KIB = 1024, FEW = 8, LITTLE = 4 * KIB, FOR_EACH = 48 + 15 };

struct object {
	char *name;
	int numbers[12];
};

/* With the malloc backend, nothing lies in any pool. */
static bool has_pools;

MAYBE bool inside(const void *from, const void *p, size_t room)
{
	return has_pools && (uintptr_t)p > (uintptr_t)from && (uintptr_t)p < (uintptr_t)from + room;
}

/* An object of `size` bytes that announces `count` descendants with `bytes` together. */
MAYBE char *object(const void *parent, size_t size, unsigned count, size_t bytes, unsigned of)
{
	char *p = (char *)_talloc_pooled_object(parent, size, "an object", count, bytes);

	check(p != NULL && (uintptr_t)p % 16 == 0 && talloc_get_size(p) == size);
	fill(p, size, of);
	return p;
}

/* It is not resized, by whatever function, and is what it was then. */
MAYBE void is_fixed(void *parent, char *p, size_t size, unsigned of)
{
	const size_t sizes[] = { 1, size / 2 + 1, size - 1, size, size + 1, 2 * size + 100, 100000, 10 << 20 };
	size_t blocks = talloc_total_blocks(p), i;
	const void *above = talloc_parent(p);

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		check(talloc_realloc_size(parent, p, sizes[i]) == NULL);
		check(_talloc_realloc_array(parent, p, 1, (unsigned)sizes[i], "another") == NULL);
	}
	check(talloc_realloc_fn(parent, p, 10 * size) == NULL);
	check(talloc_get_size(p) == size && holds(p, size, of));
	check(strcmp(talloc_get_name(p), "an object") == 0);
	check(talloc_parent(p) == above && talloc_total_blocks(p) == blocks);
}

/* Whether there are pools is said by the options. */
MAYBE void look_for_pools(void)
{
	const char *options = getenv("TMEMPOOL_OPTIONS");

	has_pools = options == NULL || strstr(options, "backend=malloc") == NULL;
}

#endif
