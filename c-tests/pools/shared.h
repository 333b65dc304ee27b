/*
 * What the tests of the edges of shared contexts share: two of them, a tree of the thread's own,
 * and a stage, by which two threads take turns.
 */
#ifndef SHARED_H
#define SHARED_H

#include "ours.h"

#include <pthread.h>
#include <tmempool.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void *a, *b, *plain;
static int runs;
MAYBE pthread_t another;

static void fresh(void)
{
	a = tm_shared_context(NULL, "a");
	b = tm_shared_context(NULL, "b");
	plain = node(NULL, "plain");
	check(a != NULL && b != NULL);
	runs = 0;
}

static void end(void)
{
	check(talloc_total_blocks(a) == 1);
	check(talloc_total_blocks(b) == 1);
	check(talloc_free(a) == 0);
	check(talloc_free(b) == 0);
	check(talloc_free(plain) == 0);
	expect_no_fault();
}

MAYBE int stage;

MAYBE void reach(int wanted)
{
	__atomic_store_n(&stage, wanted, __ATOMIC_RELEASE);
}

MAYBE void wait_until(int wanted)
{
	while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) < wanted) {
		usleep(100);
	}
}

MAYBE int refuse(char *p)
{
	(void)p;
	runs++;
	return -1;
}

MAYBE int die_slowly(char *p)
{
	(void)p;
	reach(1);
	wait_until(2);
	return 0;
}

#endif
