/*
 * Orphans, pools that were freed while members of them live on elsewhere, keep little more than these need, and use again
 * what they keep.
 */
#include "orphans.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/*
 * What an orphan may keep for a survivor of the overflow: the first block of that, which has 2 KiB at most, and the
 * pool's record and two headers, less than 1 KiB. Had it kept its announced room, it would be ROOM more.
 */
enum { POOLS = 3000, KEPT_KIB = 3 };

static char *survivors[POOLS];
static void *pools[POOLS];

static void all_intact(int count, size_t size)
{
	int i;

	for (i = 0; i < count; i++) {
		check(talloc_get_size(survivors[i]) == size);
		check(holds(survivors[i], size, (unsigned)i));
	}
}

/* So many orphans keep no more than so much each. */
static void keep(int orphans, long each, long before)
{
	long grown = settled() - before;

	printf("%d orphans: %ld KiB\n", orphans, grown);
	check(grown < orphans * each + SLACK_KIB);
}

/* The survivors go with root, and all that was kept for them. */
static void end(void *root, long before)
{
	check(talloc_free(root) == 0);
	check(settled() - before < SLACK_KIB);
}

/* Pools of which the last child survives, which lies in the overflow: one after the other, and all at once. */
static void survivor_of_the_overflow(void)
{
	void *root = talloc_new(NULL);
	long before, grown;
	int i, at_once;

	for (at_once = 0; at_once < 2; at_once++) {
		int count = at_once ? POOLS / 4 : POOLS;

		before = settled();
		for (i = 0; i < count; i++) {
			pools[i] = talloc_pool(NULL, ROOM);
			survivors[i] = first_beyond(pools[i], ROOM, 900, (unsigned)i);
			check(talloc_steal(root, survivors[i]) == survivors[i]);
			if (!at_once) {
				check(talloc_free(pools[i]) == 0);
			}
		}
		for (i = 0; at_once && i < count; i++) {
			check(talloc_free(pools[i]) == 0);
		}
		grown = settled() - before;
		printf("%d orphans: %ld KiB\n", count, grown);
		check(grown < count * KEPT_KIB + SLACK_KIB);
		all_intact(count, 900);
		check(talloc_total_blocks(root) == (size_t)count + 1);
		talloc_free_children(root);
		check(talloc_total_blocks(root) == 1);
		grown = settled() - before;
		printf("none: %ld KiB\n", grown);
		check(grown < SLACK_KIB);
	}
	check(talloc_free(root) == 0);
}

/*
 * One in the first overflow block lives on; there are many more blocks, and the last are large. Every other pool has
 * one in its announced room, too, which keeps that, and no more.
 */
static void survivor_among_many_blocks(void)
{
	enum { COUNT = 100 };
	void *root = talloc_new(NULL);
	long before = settled();
	int i, j;

	for (i = 0; i < COUNT; i++) {
		void *pool = talloc_pool(NULL, 4 * KIB);

		if (i % 2) {
			talloc_steal(root, child(pool, 100, 0));
		}
		survivors[i] = first_beyond(pool, 4 * KIB, 100, (unsigned)i);
		for (j = 0; j < 10000; j++) {
			child(pool, 100, 0);
		}
		talloc_steal(root, survivors[i]);
		check(talloc_free(pool) == 0);
	}
	/* 1.5 MiB and more were in each. */
	keep(COUNT, KEPT_KIB + 4 / 2, before);
	all_intact(COUNT, 100);
	end(root, before);
}

/* One in the last overflow block: that is kept, and no other. */
static void survivor_in_the_newest_block(void)
{
	enum { COUNT = 30 };
	void *root = talloc_new(NULL);
	long before = settled(), grown;
	int i, j;

	for (i = 0; i < COUNT; i++) {
		void *pool = talloc_pool(NULL, ROOM);
		char *p = NULL;

		/* Blocks up to 64 KiB: 127 KiB with all before; and one more. */
		for (j = 0; j < 64 + 126 + 8; j++) {
			p = child(pool, KIB - 48, (unsigned)i);
		}
		survivors[i] = p;
		talloc_steal(root, p);
		check(talloc_free(pool) == 0);
	}
	grown = settled() - before;
	printf("%d orphans: %ld KiB\n", COUNT, grown);
	/* Of the newest block of 128 KiB, only what was touched is resident; with all others it would be 200 KiB. */
	check(grown < COUNT * (128 + KEPT_KIB));
	all_intact(COUNT, KIB - 48);
	end(root, before);
}

/* Survivors in the announced room keep it and use it; when they die, it goes, whatever lives in the overflow. */
static void survivors_of_both_kinds(void)
{
	enum { COUNT = 500 };
	static char *in_room[COUNT];
	void *root = talloc_new(NULL), *elsewhere = talloc_new(NULL);
	long before = settled(), grown;
	int i;

	for (i = 0; i < COUNT; i++) {
		void *pool = talloc_pool(NULL, ROOM);

		in_room[i] = child(pool, 700, 1000 + (unsigned)i);
		check(inside(pool, in_room[i], ROOM));
		survivors[i] = first_beyond(pool, ROOM, 900, (unsigned)i);
		talloc_steal(elsewhere, in_room[i]);
		talloc_steal(root, survivors[i]);
		check(talloc_free(pool) == 0);
		pools[i] = pool;
	}
	grown = settled() - before;
	printf("with survivors in the room: %ld KiB\n", grown);
	check(grown > COUNT * (ROOM / KIB) - SLACK_KIB);
	for (i = 0; i < COUNT; i++) {
		/* The room serves what comes below them, as libtalloc's does. */
		char *p = child(i % 2 ? in_room[i] : survivors[i], 3000, 0);

		check(inside(pools[i], p, ROOM));
		check(talloc_free(p) == 0);
	}
	for (i = 0; i < COUNT; i++) {
		check(holds(in_room[i], 700, 1000 + (unsigned)i));
		check(talloc_free(in_room[i]) == 0);
	}
	grown = settled() - before;
	printf("without: %ld KiB\n", grown);
	check(grown < COUNT * KEPT_KIB + SLACK_KIB);
	all_intact(COUNT, 900);
	for (i = 0; i < COUNT; i++) {
		child(survivors[i], 500, 0);
		check(talloc_total_blocks(survivors[i]) == 2);
	}
	check(talloc_free(root) == 0 && talloc_free(elsewhere) == 0);
	check(settled() - before < SLACK_KIB);
}

/* The overflow of an orphan goes when its last member dies; the room stays with its own. */
static void overflow_dies_first(void)
{
	enum { COUNT = 50 };
	static char *in_room[COUNT];
	void *root = talloc_new(NULL);
	long before = settled(), grown;
	int i, j;

	for (i = 0; i < COUNT; i++) {
		void *pool = talloc_pool(NULL, KIB);

		in_room[i] = child(pool, 300, 5000 + (unsigned)i);
		survivors[i] = NULL;
		/* All of the overflow is one tree, below a survivor that lies in the room. */
		for (j = 0; j < 1000; j++) {
			child(in_room[i], 900, 0);
		}
		talloc_steal(root, in_room[i]);
		check(talloc_free(pool) == 0);
	}
	grown = settled() - before;
	check(grown > COUNT * 900);
	for (i = 0; i < COUNT; i++) {
		check(talloc_total_blocks(in_room[i]) == 1001);
		talloc_free_children(in_room[i]);
		check(holds(in_room[i], 300, 5000 + (unsigned)i));
	}
	keep(COUNT, KEPT_KIB, before);
	end(root, before);
}

/* What comes below a survivor when there is no room left is the heap's, so that it goes when it is freed. */
static void takes_no_more(void)
{
	enum { COUNT = 100 };
	void *root = talloc_new(NULL);
	long before = settled(), grown;
	int i, j;

	for (i = 0; i < COUNT; i++) {
		void *pool = talloc_pool(NULL, 4 * KIB);
		char *in_room = child(pool, 100, (unsigned)i);

		survivors[i] = i % 2 ? in_room : first_beyond(pool, 4 * KIB, 100, (unsigned)i);
		talloc_steal(root, survivors[i]);
		check(talloc_free(pool) == 0);
		for (j = 0; j < 2000; j++) {
			child(survivors[i], 100, 0);
		}
	}
	grown = settled() - before;
	check(grown > COUNT * 300);
	for (i = 0; i < COUNT; i++) {
		talloc_free_children(survivors[i]);
	}
	keep(COUNT, KEPT_KIB + 4 / 2, before);
	all_intact(COUNT, 100);
	end(root, before);
}

/* Pools whose announced room has several blocks, and pools that grow. */
static void large_ones(void)
{
	void *root = talloc_new(NULL);
	size_t rooms[] = { 0, 1, 48, 3 << 20, (3 << 20) + 100, 20 << 20 };
	long before = settled();
	char *first, *middle, *last, *p;
	size_t i, j;
	int kind;

	for (i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		for (kind = 0; kind < 8; kind++) {
			void *pool = kind < 4 ? talloc_pool(NULL, rooms[i])
					      : tm_pool_growable(NULL, rooms[i], 0);

			first = child(pool, 1000, 1);
			for (j = 0; j < rooms[i] / 2; j += 9 * KIB) {
				child(pool, 9000, 0);
			}
			middle = child(pool, 1000, 2);
			for (j = 0; j < rooms[i]; j += 9 * KIB) {
				child(pool, 9000, 0);
			}
			last = child(pool, 1000, 3);
			talloc_steal(root, kind % 2 ? first : last);
			talloc_steal(root, middle);
			talloc_steal(root, kind % 2 ? last : first);
			check(talloc_free(pool) == 0);
			check(talloc_free(kind % 4 < 2 ? first : last) == 0);
			p = kind % 4 < 2 ? last : first;
			child(p, 2000, 5);
			check(holds(middle, 1000, 2) && talloc_free(middle) == 0);
			child(p, 2000, 5);
			p = (char *)talloc_realloc_size(root, p, 5000);
			check(holds(p, 1000, kind % 4 < 2 ? 3 : 1));
			check(talloc_total_blocks(root) == 4);
			check(talloc_free(p) == 0);
			check(talloc_total_blocks(root) == 1);
		}
	}
	end(root, before);
}

/* What is freed in an orphan is used again for what comes below its members. */
static void room_is_used_again(void)
{
	void *root = talloc_new(NULL), *pool = talloc_pool(NULL, 32 * KIB);
	char *members[100], *p, *base;
	int i, round, served = 0;
	long before;

	for (i = 0; i < 100; i++) {
		members[i] = child(pool, 256, (unsigned)i);
		check(inside(pool, members[i], 32 * KIB + 200));
		talloc_steal(root, members[i]);
	}
	check(talloc_free(pool) == 0);
	base = (char *)pool;
	before = kib_of("VmRSS:");
	for (round = 0; round < 200; round++) {
		for (i = 1; i < 100; i++) {
			if ((i + round) % 3 != 0) {
				check(holds(members[i], 256, (unsigned)i));
				check(talloc_free(members[i]) == 0);
			}
		}
		for (i = 1; i < 100; i++) {
			if ((i + round) % 3 != 0) {
				members[i] = child(members[0], 256, (unsigned)i);
				served += inside(base, members[i], 33 * KIB);
			}
		}
	}
	printf("%d of %d from the room\n", served, 200 * 66);
	check(served > 200 * 66 * 9 / 10);
	check(kib_of("VmRSS:") - before < KIB);
	for (i = 1; i < 100; i++) {
		check(holds(members[i], 256, (unsigned)i));
	}
	p = members[0];
	check(talloc_total_blocks(p) <= 100);
	check(talloc_free(root) == 0);
}

int main(void)
{
	catch_faults();
	must_pass("a survivor of the overflow", survivor_of_the_overflow);
	must_pass("a survivor among many blocks", survivor_among_many_blocks);
	must_pass("a survivor in the newest block", survivor_in_the_newest_block);
	must_pass("survivors of both kinds", survivors_of_both_kinds);
	must_pass("the overflow dies first", overflow_dies_first);
	must_pass("no more is taken", takes_no_more);
	must_pass("large pools", large_ones);
	must_pass("room is used again", room_is_used_again);
	return 0;
}
