/*
 * Pooled objects that are pools in name only and lie in a pool: its room is walked over, swept and used again as behind
 * any member.
 */
#include "small_objects.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/*
 * Members of a pool that are pools in name only say how long they are where a pool walks over its room: what has been
 * freed before, between and behind them is found and used again.
 */
static void members_of_pools(void)
{
	enum { ROOM = 16 * KIB, MOST = 200 };
	void *root = talloc_new(NULL), *elsewhere = talloc_new(root);
	char *at[MOST];
	size_t size[MOST];
	bool is_object[MOST];
	uint64_t state = 4711;
	int round, i, kind;

	for (kind = 0; kind < 3; kind++) {
		char *pool = (char *)(kind < 2 ? talloc_pool(root, ROOM) : tm_pool_growable(root, ROOM, 0));
		void *parent = pool;
		long served = 0, all = 0;

		for (i = 0; i < MOST; i++) {
			at[i] = NULL;
		}
		for (round = 0; round < 200; round++) {
			/* About three quarters of the room, in pieces of few sizes. */
			for (i = 0; i < MOST; i++) {
				if (at[i] != NULL) {
					check(talloc_get_size(at[i]) == size[i]);
					check(holds(at[i], size[i], (unsigned)i));
					if (at[i] != parent && draw(&state, 3) == 0) {
						check(talloc_free(at[i]) == 0);
						at[i] = NULL;
					}
				}
			}
			for (i = 0; i < 100; i++) {
				if (at[i] != NULL) {
					continue;
				}
				size[i] = 20 + 40 * draw(&state, 3);
				is_object[i] = draw(&state, 2);
				if (is_object[i]) {
					at[i] = object(parent, size[i], (unsigned)draw(&state, 9), 500, (unsigned)i);
				} else {
					at[i] = (char *)talloc_size(parent, size[i]);
					check(at[i] != NULL);
					fill(at[i], size[i], (unsigned)i);
				}
				all++;
				served += inside(pool, at[i], ROOM + 200);
			}
			i = (int)draw(&state, 99) + 1;
			if (is_object[i]) {
				is_fixed(parent, at[i], size[i], (unsigned)i);
			} else {
				at[i] = (char *)talloc_realloc_size(parent, at[i], size[i] + 1);
				check(at[i] != NULL && holds(at[i], size[i], (unsigned)i));
				size[i]++;
				fill(at[i], size[i], (unsigned)i);
			}
			if (kind == 1 && round == 100) {
				/* An orphan goes on alike: what it gives lies below the first from now on. */
				for (i = 0; i < 100; i++) {
					check(talloc_steal(elsewhere, at[i]) == at[i]);
				}
				check(talloc_total_blocks(pool) == 1);
				check(talloc_free(pool) == 0);
				parent = at[0];
			}
		}
		printf("%ld of %ld in the room\n", served, all);
		/* One that grows takes more blocks instead. */
		check(!has_pools || kind == 2 || served > all * 9 / 10);
		for (i = 0; i < 100; i++) {
			check(talloc_get_size(at[i]) == size[i] && holds(at[i], size[i], (unsigned)i));
		}
	}
	check(talloc_free(root) == 0);
	expect_no_fault();
}

/* Room that one large free leaves, behind objects, serves what is as large. */
static void swept_behind_objects(void)
{
	char *pool = (char *)talloc_pool(NULL, 8 * KIB), *large, *p;
	char *objects[20];
	int i;

	for (i = 0; i < 20; i++) {
		objects[i] = object(pool, 30, 2, 20, (unsigned)i);
	}
	large = (char *)talloc_size(pool, 3000);
	for (i = 0; i < 4; i++) {
		objects[i] = object(pool, 30, 2, 20, (unsigned)i);
	}
	while (inside(pool, talloc_size(pool, 30), 9 * KIB)) {
	}
	check(!has_pools || inside(pool, large, 9 * KIB));
	check(talloc_free(large) == 0);
	p = (char *)talloc_size(pool, 2990);
	check(!has_pools || p == large);
	for (i = 4; i < 20; i++) {
		check(holds(objects[i], 30, (unsigned)i));
	}
	check(talloc_free(pool) == 0);
}

int main(void)
{
	look_for_pools();
	catch_faults();
	must_pass("members of pools", members_of_pools);
	must_pass("swept behind objects", swept_behind_objects);
	return 0;
}
