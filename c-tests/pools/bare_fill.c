/*
 * TALLOC_FREE_FILL fills bare bytes, too, as they go: each time that a pool is emptied. It is
 * read once in a process, before the first use.
 */
#include "pools.h"

enum { FILL = 0x5a, SIZE = 100 };

static int is_filled(const char *at)
{
	int i;

	for (i = 0; i < SIZE; i++) {
		if (at[i] != (char)FILL) {
			return 0;
		}
	}
	return 1;
}

/* Whether the pool is new, was emptied, or has a member, too. */
static void fills(void *pool, int round)
{
	char *first = tm_palloc(pool, SIZE), *second = tm_palloc(pool, SIZE);

	check(first != NULL && second != NULL);
	memset(first, 'x', SIZE);
	memset(second, 'x', SIZE);
	if (round % 3 == 2) {
		check(talloc_size(pool, SIZE) != NULL);
	}
	check(tm_reset(pool) == 0);
	check(is_filled(first) && is_filled(second));
}

int main(void)
{
	int pools, round;

	check(setenv("TALLOC_FREE_FILL", "0x5a", 1) == 0);
	for (pools = 0; pools < 5; pools++) {
		void *pool = tm_pool_growable(NULL, 4096, 0);

		for (round = 0; round < 6; round++) {
			fills(pool, round);
		}
		check(talloc_free(pool) == 0);
	}
	return 0;
}
