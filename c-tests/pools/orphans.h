/*
 * What the tests of orphans share: pools with members in the announced room and beyond it.
 */
#ifndef ORPHANS_H
#define ORPHANS_H

#include "contents.h"
#include "pools.h"

enum { KIB = 1024, ROOM = 64 * KIB };

/* What memory may differ by between two looks at it. */
enum { SLACK_KIB = 2 * KIB };

/* Whether p lies in the room bytes behind a pool's payload. */
MAYBE bool inside(const void *pool, const void *p, size_t room)
{
	return (uintptr_t)p > (uintptr_t)pool && (uintptr_t)p < (uintptr_t)pool + room;
}

/* A child with contents of its own. */
MAYBE char *child(const void *parent, size_t size, unsigned of)
{
	char *p = (char *)talloc_size(parent, size);

	check(p != NULL);
	fill(p, size, of);
	return p;
}

/* Children of `size` bytes until one lies beyond the announced room: that one. */
MAYBE char *first_beyond(void *pool, size_t room, size_t size, unsigned of)
{
	char *p;

	do {
		p = child(pool, size, of);
	} while (inside(pool, p, room));
	return p;
}

MAYBE long settled(void)
{
	tm_release_free_memory();
	return kib_of("VmRSS:");
}

#endif
