/*
 * Members of a pool that are moved out of its tree and used by other threads, while
 * the pool's own tree goes on: two trees draw on one pool without knowing it.
 */
#include "ours.h"

#include <pthread.h>

enum { ROOM = 64 };
static int rounds = 4000;

/* What is handed over: a queue for each taker. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char *place[ROOM];
	int head, tail;
};

static struct queue queues[2] = {
	{.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER},
	{.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER},
};

static void put(struct queue *queue, char *p)
{
	pthread_mutex_lock(&queue->lock);
	while (queue->head - queue->tail == ROOM) {
		pthread_cond_wait(&queue->changed, &queue->lock);
	}
	queue->place[queue->head++ % ROOM] = p;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

static char *get(struct queue *queue)
{
	char *p;

	pthread_mutex_lock(&queue->lock);
	while (queue->head == queue->tail) {
		pthread_cond_wait(&queue->changed, &queue->lock);
	}
	p = queue->place[queue->tail++ % ROOM];
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
	return p;
}

static int destroyed;

static int destructor(char *p)
{
	check(p[0] == 'm');
	__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	return 0;
}

/* Uses members of pools that others own: grows them, hangs more below them. */
static void *taker(void *argument)
{
	struct queue *queue = (struct queue *)argument;
	char *p, *q;
	unsigned n = 0;

	while ((p = get(queue)) != NULL) {
		q = talloc_asprintf(p, "below %s", p);
		check(q != NULL && talloc_zero_size(q, 10 + n % 500) != NULL);
		if (n % 3 == 0) {
			p = talloc_realloc(NULL, p, char, 10 + n * 7 % 3000);
			check(p != NULL && p[0] == 'm');
		}
		if (n % 4 == 0) {
			talloc_set_destructor(p, destructor);
		}
		check(talloc_total_blocks(p) == 3);
		check(talloc_free(p) == 0);
		n++;
	}
	return NULL;
}

int main(void)
{
	const char *fewer = getenv("ROUNDS");
	pthread_t takers[2];
	int round, i;

	if (fewer != NULL) {
		rounds = atoi(fewer);
	}
	catch_faults();
	for (i = 0; i < 2; i++) {
		check(pthread_create(&takers[i], NULL, taker, &queues[i]) == 0);
	}
	for (round = 0; round < rounds; round++) {
		char *pool = (char *)talloc_pool(NULL, 2000 + round % 7 * 1000);

		for (i = 0; i < 30; i++) {
			char *p = talloc_asprintf(pool, "member %d", i);

			if (i % 5 == 0) {
				check(talloc_steal(NULL, p) == p);
				put(&queues[i / 5 % 2], p);
			} else if (i % 5 == 1) {
				p = talloc_realloc(pool, p, char, 200);
				check(p != NULL);
			} else if (i % 5 == 2) {
				check(talloc_free(p) == 0);
			} else if (i % 25 == 3) {
				talloc_set_destructor(p, destructor);
			}
		}
		check(talloc_free(pool) == 0);
	}
	for (i = 0; i < 2; i++) {
		put(&queues[i], NULL);
		check(pthread_join(takers[i], NULL) == 0);
	}
	check(destroyed == rounds * 2 + (rounds * 6 / 2 + 3) / 4 * 2);
	expect_no_fault();
	return 0;
}
