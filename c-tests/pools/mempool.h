/*
 * What the tests of guaranteed reserves share: a source that counts what it makes, and fails on
 * purpose.
 */
#ifndef MEMPOOL_H
#define MEMPOOL_H

#include "pools.h"

#include <pthread.h>

enum { MADE = 1000 };

/* An element knows who has it. */
struct element {
	int owner;
	int live;
};

/* A source: fails always, never, or most of the time. */
enum mood { GIVES, FAILS, MOODY };

struct source {
	pthread_mutex_t lock;
	int mood;
	uint64_t state;
	long live, refused;
	struct element elements[MADE];
};

static struct source source = { .lock = PTHREAD_MUTEX_INITIALIZER, .state = 1 };

static void set_mood(int mood)
{
	__atomic_store_n(&source.mood, mood, __ATOMIC_RELAXED);
}

static void *make(void *data)
{
	struct source *s = (struct source *)data;
	struct element *e = NULL;
	int i, mood = __atomic_load_n(&s->mood, __ATOMIC_RELAXED);

	/* Without the lock, which a thread may hold that a fork leaves behind. */
	if (mood == FAILS) {
		__atomic_add_fetch(&s->refused, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	if (mood == GIVES || (mood == MOODY && draw(&s->state, 10) == 0)) {
		for (i = 0; i < MADE && e == NULL; i++) {
			if (!s->elements[i].live) {
				e = &s->elements[i];
			}
		}
	}
	if (e != NULL) {
		e->live = 1;
		check(e->owner == 0);
		s->live++;
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

static void unmake(void *element, void *data)
{
	struct source *s = (struct source *)data;
	struct element *e = (struct element *)element;

	pthread_mutex_lock(&s->lock);
	check(e >= s->elements && e < s->elements + MADE);
	check(e->live && e->owner == 0);
	e->live = 0;
	s->live--;
	pthread_mutex_unlock(&s->lock);
}

#endif
