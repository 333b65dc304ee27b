/*
 * What the tests of object caches share: objects that show whether they are constructed, and a
 * count of what has been.
 */
#ifndef CACHE_H
#define CACHE_H

#include "pools.h"

enum { MARK = 0x5e55 };

struct object {
	unsigned mark, uses;
	char *text;
};

static size_t constructed, destructed;

static void construct(void *obj)
{
	struct object *object = (struct object *)obj;

	object->mark = MARK;
	object->uses = 0;
	object->text = NULL;
	__atomic_add_fetch(&constructed, 1, __ATOMIC_RELAXED);
}

static void destruct(void *obj)
{
	struct object *object = (struct object *)obj;

	check(object->mark == MARK);
	object->mark = 0;
	__atomic_add_fetch(&destructed, 1, __ATOMIC_RELAXED);
}

static tm_cache *objects(const void *parent)
{
	tm_cache *c = tm_cache_create(parent, "objects", sizeof(struct object), 0, 0, construct, destruct);

	check(c != NULL);
	return c;
}

#endif
