/*
 * Object caches that threads share: objects with two owners, objects that are lost in what a thread
 * leaves behind, and forks while others are in the middle of anything.
 */
#include "cache.h"

#include <pthread.h>

static void *worker(void *arg)
{
	tm_cache *c = (tm_cache *)arg;
	uint64_t state = (uint64_t)pthread_self() | 1;
	struct object *mine[200] = { 0 };
	size_t i, at;

	for (i = 0; i < 40000; i++) {
		at = draw(&state, 200);
		if (mine[at] == NULL) {
			mine[at] = (struct object *)tm_cache_alloc(c);
			check(mine[at]->mark == MARK && mine[at]->text == NULL);
			mine[at]->text = (char *)&mine[at];
		} else {
			check(mine[at]->text == (char *)&mine[at]);
			mine[at]->text = NULL;
			tm_cache_free(c, mine[at]);
			mine[at] = NULL;
		}
		if (i % 5000 == 0) {
			tm_cache_shrink(c);
		}
	}
	for (at = 0; at < 200; at++) {
		if (mine[at] != NULL) {
			mine[at]->text = NULL;
			tm_cache_free(c, mine[at]);
		}
	}
	return NULL;
}

static void threads(void)
{
	tm_cache *c = objects(NULL);
	pthread_t all[40];
	int round, i;

	for (round = 0; round < 2; round++) {
		/* More than the places that are looked at first. */
		for (i = 0; i < 40; i++) {
			check(pthread_create(&all[i], NULL, worker, c) == 0);
		}
		for (i = 0; i < 40; i++) {
			check(pthread_join(all[i], NULL) == 0);
		}
	}
	tm_cache_shrink(c);
	check(constructed == destructed);
	check(tm_cache_destroy(c) == 0);
	expect_silence();
}

static int stop;

static void *busy(void *arg)
{
	tm_cache *c = (tm_cache *)arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		void *all[150];

		check(tm_cache_alloc_bulk(c, 150, all) == 150);
		tm_cache_free_bulk(c, 150, all);
		tm_kfree(tm_kmalloc(100));
	}
	return NULL;
}

static void forks(void)
{
	tm_cache *c = objects(NULL);
	pthread_t all[3];
	FILE *null = fopen("/dev/null", "w");
	void *mine[100];
	int i, status;

	check(null != NULL);
	check(tm_cache_alloc_bulk(c, 100, mine) == 100);
	for (i = 0; i < 3; i++) {
		check(pthread_create(&all[i], NULL, busy, c) == 0);
	}
	for (i = 0; i < 20; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			void *more[1000];

			alarm(60);
			tm_cache_free_bulk(c, 100, mine);
			check(tm_cache_alloc_bulk(c, 1000, more) == 1000);
			tm_cache_free_bulk(c, 1000, more);
			tm_kfree(tm_kmalloc(100));
			tm_slabinfo(null);
			talloc_free(c);
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++) {
		check(pthread_join(all[i], NULL) == 0);
	}
	fclose(null);
	tm_cache_free_bulk(c, 100, mine);
	check(tm_cache_destroy(c) == 0);
	expect_silence();
}

int main(void)
{
	catch_faults();
	must_pass("threads", threads);
	must_pass("forks", forks);
	return 0;
}
