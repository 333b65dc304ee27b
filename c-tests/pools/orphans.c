/*
 * Orphans: pools that were freed while members of them live on elsewhere. They keep no more than these need, the
 * members go on like any chunk, and whoever comes too late is told so.
 */
#include "contents.h"
#include "pools.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { KIB = 1024 };

/* Whether p lies in the room bytes behind a pool's payload. */
static bool inside(const void *pool, const void *p, size_t room)
{
	return (uintptr_t)p > (uintptr_t)pool && (uintptr_t)p < (uintptr_t)pool + room;
}

/* A child with contents of its own. */
static char *child(const void *parent, size_t size, unsigned of)
{
	char *p = (char *)talloc_size(parent, size);

	check(p != NULL);
	fill(p, size, of);
	return p;
}

/* Children of `size` bytes until one lies beyond the announced room: that one. */
static char *first_beyond(void *pool, size_t room, size_t size, unsigned of)
{
	char *p;

	do {
		p = child(pool, size, of);
	} while (inside(pool, p, room));
	return p;
}

static long settled(void)
{
	tm_release_free_memory();
	return kib_of("VmRSS:");
}

/*
 * What an orphan may keep for a survivor of the overflow: the first block of that, which has 2 KiB at most, and the
 * pool's record and two headers, less than 1 KiB. Had it kept its announced room, it would be ROOM more.
 */
enum { POOLS = 3000, ROOM = 64 * KIB, KEPT_KIB = 3, SLACK_KIB = 2 * KIB };

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
	long before = settled(), grown;
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
	grown = settled() - before;
	printf("%d orphans: %ld KiB\n", COUNT, grown);
	/* 1.5 MiB and more were in each. */
	check(grown < COUNT * (KEPT_KIB + 4 / 2) + SLACK_KIB);
	all_intact(COUNT, 100);
	check(talloc_free(root) == 0);
	check(settled() - before < SLACK_KIB);
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
	check(talloc_free(root) == 0);
	check(settled() - before < SLACK_KIB);
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
	grown = settled() - before;
	printf("%d orphans: %ld KiB\n", COUNT, grown);
	check(grown < COUNT * KEPT_KIB + SLACK_KIB);
	check(talloc_free(root) == 0);
	check(settled() - before < SLACK_KIB);
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
	grown = settled() - before;
	printf("%d orphans: %ld KiB\n", COUNT, grown);
	check(grown < COUNT * (KEPT_KIB + 4 / 2) + SLACK_KIB);
	all_intact(COUNT, 100);
	check(talloc_free(root) == 0);
	check(settled() - before < SLACK_KIB);
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
	check(talloc_free(root) == 0);
	check(settled() - before < SLACK_KIB);
}

/* p is one who came too late. */
static void is_stale(void *p)
{
	check(talloc_get_name(p) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_free(p) == -1);
	expect_fault(AFTER_FREE);
	check(talloc_size(p, 10) == NULL);
	expect_fault(AFTER_FREE);
	check(talloc_realloc_size(NULL, p, 10) == NULL);
	expect_fault(AFTER_FREE);
}

/* Pointers to the pool, to members in blocks that stay, and in blocks that go, before and after the record has moved. */
static void stale_pointers(void)
{
	size_t rooms[] = { 256, 2000, 4 * KIB, ROOM, 300 * KIB, 4 << 20 };
	size_t i, j;
	int way;

	for (way = 0; way < 2; way++) {
		for (i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
			size_t room = rooms[i], size = room < KIB ? 30 : 300;
			void *root = talloc_new(NULL), *pool = talloc_pool(root, room);
			char *in_room = child(pool, size, 1), *stale[6], *beyond;

			stale[0] = (char *)pool;
			stale[1] = child(pool, size, 2);
			stale[2] = child(in_room, size, 3);
			beyond = first_beyond(pool, room, size, 4);
			stale[3] = child(pool, size, 5);
			for (j = 0; j < 500; j++) {
				stale[4] = child(pool, size, 6);
			}
			stale[5] = child(stale[4], size, 7);
			talloc_steal(root, beyond);
			if (way == 0) {
				check(talloc_free(stale[2]) == 0);
				talloc_steal(root, in_room);
			}
			check(talloc_free(pool) == 0);
			for (j = 0; j < 6; j++) {
				is_stale(stale[j]);
			}
			check(talloc_total_blocks(root) == (way == 0 ? 3 : 2));
			if (way == 0) {
				check(talloc_free(in_room) == 0);
			}
			is_stale(in_room);
			for (j = 0; j < 6; j++) {
				is_stale(stale[j]);
			}
			check(holds(beyond, size, 4));
			check(talloc_free(root) == 0);
			for (j = 0; j < 6; j++) {
				is_stale(stale[j]);
			}
			is_stale(beyond);
			expect_no_fault();
		}
	}
}

static int destroyed;
static char *refuses;

static int destructor(char *p)
{
	if (p == refuses) {
		return -1;
	}
	destroyed++;
	return 0;
}

/* An orphan, of which one in the room and some in the overflow are left. */
static void make_orphan(void *root, char **in_room, char **beyond, int count)
{
	void *pool = talloc_pool(NULL, 8 * KIB);
	int i;

	*in_room = child(pool, 1000, 77);
	beyond[0] = first_beyond(pool, 8 * KIB, 200, 0);
	for (i = 1; i < count; i++) {
		beyond[i] = child(pool, 200, (unsigned)i);
	}
	talloc_steal(root, *in_room);
	for (i = 0; i < count; i++) {
		talloc_steal(root, beyond[i]);
	}
	check(talloc_free(pool) == 0);
}

/* All that can be done with a chunk can be done with a survivor, before and after the record has moved. */
static void used_like_any(void)
{
	enum { COUNT = 12 };
	char *in_room, *beyond[COUNT], *p, *q;
	void *root, *other;
	int moved, i;
	size_t size;

	catch_faults();
	for (moved = 0; moved < 2; moved++) {
		root = talloc_named_const(NULL, 0, "root");
		other = talloc_named_const(NULL, 0, "other");
		make_orphan(root, &in_room, beyond, COUNT);
		if (moved) {
			check(talloc_free(in_room) == 0);
			in_room = child(root, 1000, 77);
		}

		/* Children, and theirs. */
		for (i = 0, p = beyond[0]; i < 300; i++) {
			p = child(i % 3 ? p : beyond[0], (size_t)i * 17 % 3000, (unsigned)i);
		}
		check(talloc_total_blocks(beyond[0]) == 301);
		talloc_free_children(beyond[0]);
		check(holds(beyond[0], 200, 0));

		/* Sizes. */
		for (i = 0; i < 300; i++) {
			size = (size_t)i * 7919 % 6000 + 200;
			p = (char *)talloc_realloc_size(root, beyond[1], size);
			check(p != NULL && holds(p, 200, 1) && talloc_get_size(p) == size);
			fill(p, size, 1);
			beyond[1] = p;
		}
		p = (char *)talloc_realloc_size(root, beyond[2], 50);
		check(p != NULL && holds(p, 50, 2) && talloc_get_size(p) == 50);
		beyond[2] = p;
		p = (char *)talloc_realloc_size(root, in_room, 1500);
		check(p != NULL && holds(p, 1000, 77));
		in_room = p;

		/* Other contexts, and each other. */
		for (i = 0; i < 50; i++) {
			check(talloc_steal(i % 2 ? root : other, beyond[3]) == beyond[3]);
			check(talloc_parent(beyond[3]) == (i % 2 ? root : other));
		}
		check(talloc_steal(beyond[4], beyond[3]) == beyond[3]);
		check(talloc_steal(in_room, beyond[4]) == beyond[4]);
		check(talloc_total_blocks(in_room) == 3);
		check(talloc_steal(root, beyond[4]) == beyond[4]);
		q = (char *)talloc_pool(root, 1000);
		check(talloc_steal(q, beyond[4]) == beyond[4]);
		check(child(beyond[3], 100, 0) != NULL);
		check(talloc_free(q) == 0);
		is_stale(beyond[3]);
		is_stale(beyond[4]);

		/* References. */
		check(talloc_reference(other, beyond[5]) == beyond[5]);
		check(talloc_reference(beyond[6], beyond[5]) == beyond[5]);
		check(talloc_reference(beyond[5], root) == root);
		check(talloc_unlink(beyond[5], root) == 0);
		check(talloc_reference_count(beyond[5]) == 2);
		check(talloc_unlink(root, beyond[5]) == 0);
		check(talloc_free(beyond[6]) == 0);
		check(holds(beyond[5], 200, 5) && talloc_parent(beyond[5]) == other);
		check(talloc_free(beyond[5]) == 0);

		/* Destructors. */
		destroyed = 0;
		talloc_set_destructor(beyond[7], destructor);
		talloc_set_destructor(in_room, destructor);
		refuses = beyond[7];
		check(talloc_free(beyond[7]) == -1 && holds(beyond[7], 200, 7));
		refuses = NULL;
		check(talloc_free(beyond[7]) == 0 && destroyed == 1);

		/* Names. */
		check(talloc_set_name(beyond[8], "survivor %d", 8) != NULL);
		talloc_set_name_const(beyond[9], "survivor");
		check(strcmp(talloc_get_name(beyond[8]), "survivor 8") == 0);
		check(strcmp(talloc_get_name(beyond[9]), "survivor") == 0);
		check(talloc_check_name(beyond[9], "survivor") == beyond[9]);
		check(talloc_find_parent_byname(child(beyond[9], 1, 0), "survivor") == beyond[9]);
		check(talloc_free(in_room) == 0 && destroyed == 2);
		check(strcmp(talloc_get_name(beyond[8]), "survivor 8") == 0);
		check(strcmp(talloc_get_name(beyond[9]), "survivor") == 0);

		/* Limits. */
		check(talloc_set_memlimit(other, 1000) == 0);
		check(talloc_steal(other, beyond[10]) == beyond[10]);
		check(talloc_size(beyond[10], 2000) == NULL && errno == ENOMEM);
		check(talloc_size(beyond[10], 100) != NULL);
		check(talloc_steal(root, beyond[10]) == beyond[10]);
		check(talloc_size(beyond[10], 2000) != NULL);
		check(talloc_size(other, 900) != NULL);

		check(holds(beyond[0], 200, 0) && holds(beyond[11], 200, 11));
		check(talloc_free(root) == 0 && talloc_free(other) == 0);
		expect_no_fault();
	}
}

/* Members that live on because of a reference or a destructor, not because they were moved out. */
static void left_over(void)
{
	void *root = talloc_named_const(NULL, 0, "root"), *pool;
	char *p, *q, *r;
	int i, j;

	catch_faults();
	for (i = 0; i < 200; i++) {
		pool = talloc_pool(root, 8 * KIB);
		p = child(pool, 500, 1);
		q = first_beyond(pool, 8 * KIB, 200, 2);
		for (j = 0; j < 100; j++) {
			r = child(pool, 200, 3);
		}
		if (i % 2) {
			check(talloc_reference(root, q) == q);
			talloc_set_destructor(p, destructor);
			refuses = p;
		} else {
			check(talloc_reference(root, p) == p);
			talloc_set_destructor(r, destructor);
			refuses = r;
		}
		check(talloc_free(pool) == 0);
		refuses = NULL;
		is_stale(pool);
		check(talloc_total_blocks(root) == 3);
		check(holds(p, 500, 1));
		check(talloc_parent(p) == root && talloc_parent(i % 2 ? q : r) == root);
		check(child(p, 300, 0) && child(i % 2 ? q : r, 300, 0));
		check(talloc_free(p) == 0);
		check(i % 2 ? holds(q, 200, 2) : holds(r, 200, 3));
		check(child(i % 2 ? q : r, 300, 0));
		talloc_free_children(root);
		check(talloc_total_blocks(root) == 1);
	}
	check(talloc_free(root) == 0);
	expect_no_fault();
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

/* Orphans in a shared context, which ends with all of them, and in a forked process. */
static void shared_and_forked(void)
{
	char *in_room, *beyond[8];
	void *shared, *root = talloc_new(NULL);
	long before = 0, grown;
	int i, status;
	pid_t pid;

	for (i = 0; i < 5000; i++) {
		if (i == 1000) {
			before = settled();
		}
		shared = tm_shared_context(NULL, "shared");
		make_orphan(talloc_new(shared), &in_room, beyond, 8);
		check(talloc_steal(shared, beyond[0]) == beyond[0]);
		check(talloc_steal(shared, in_room) == in_room);
		if (i % 2) {
			void *pool = talloc_pool(shared, 8 * KIB);
			char *p = child(pool, 10, 0);
			char *q = first_beyond(pool, 8 * KIB, 200, 9);

			talloc_steal(shared, p);
			talloc_steal(shared, q);
			check(talloc_free(pool) == 0 && talloc_free(p) == 0);
			check(holds(q, 200, 9) && child(q, 100, 0));
		}
		if (i % 3 == 0) {
			check(talloc_free(in_room) == 0);
		}
		check(talloc_free(shared) == 0);
	}
	grown = settled() - before;
	printf("after %d shared contexts: %ld KiB\n", i, grown);
	check(grown < SLACK_KIB);

	make_orphan(root, &in_room, beyond, 8);
	pid = fork();
	check(pid >= 0);
	check(talloc_free(in_room) == 0);
	for (i = 0; i < 8; i++) {
		check(holds(beyond[i], 200, (unsigned)i) && child(beyond[i], 1000, 0));
	}
	check(talloc_free(root) == 0);
	if (pid == 0) {
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A tree that is known, and what is done with it at random. */
struct known {
	char *at;
	size_t size;
	unsigned of;
	int parent; /* an index, or -1 */
	enum { CONTEXT, POOL, CHUNK, NOMINAL } kind;
};

enum { MOST = 600, CONTEXTS = 5 };

static struct known known[MOST];
static int count;
static uint64_t state;

static bool is_above(int above, int of)
{
	while (of >= 0 && of != above) {
		of = known[of].parent;
	}
	return of == above;
}

/* All of them, above each other as they should be, with their contents. */
static void verify(void)
{
	size_t blocks[MOST] = { 0 };
	int i, up;

	for (i = 0; i < count; i++) {
		struct known *k = &known[i];

		check(talloc_get_size(k->at) == k->size);
		check(holds(k->at, k->size, k->of));
		check(talloc_parent(k->at) == (k->parent < 0 ? NULL : known[k->parent].at));
		for (up = i; up >= 0; up = known[up].parent) {
			blocks[up]++;
		}
	}
	for (i = 0; i < count; i++) {
		check(talloc_total_blocks(known[i].at) == blocks[i]);
	}
}

/* known[gone], and what is below it, is there no more. */
static void forget(int gone)
{
	int place[MOST], i, left = 0;
	bool dead[MOST];

	for (i = 0; i < count; i++) {
		dead[i] = is_above(gone, i);
		place[i] = dead[i] ? -1 : left++;
	}
	for (i = 0; i < count; i++) {
		if (!dead[i]) {
			known[place[i]] = known[i];
			if (known[i].parent >= 0) {
				known[place[i]].parent = place[known[i].parent];
			}
		}
	}
	count = left;
}

static void add(int parent, char *at, size_t size, int kind)
{
	struct known *k = &known[count];

	check(at != NULL);
	k->at = at;
	k->size = size;
	k->of = (unsigned)draw(&state, 200);
	k->parent = parent;
	k->kind = kind;
	fill(at, size, k->of);
	count++;
}

/* A size: mostly small, seldom beyond what an overflow serves. */
static size_t some_size(void)
{
	static const size_t most[] = { 60, 60, 300, 300, 300, 2000, 2000, 9000, 50000 };

	return draw(&state, most[draw(&state, sizeof(most) / sizeof(most[0]))]);
}

static void step(void)
{
	static const size_t rooms[] = { 0, 100, 500, 1000, 4096, 16384, 65536, 65536, 400000, 4 << 20 };
	int i = (int)draw(&state, (size_t)count), j = (int)draw(&state, (size_t)count);
	struct known *k = &known[i];
	size_t size, old;
	char *p;

	switch (draw(&state, 16)) {
	case 0:
		if (count < MOST) {
			size = rooms[draw(&state, sizeof(rooms) / sizeof(rooms[0]))];
			p = (char *)(draw(&state, 4) ? talloc_pool(k->at, size)
						     : tm_pool_growable(k->at, size, 0));
			add(i, p, 0, POOL);
		}
		break;
	case 1:
		if (count < MOST) {
			size = some_size();
			p = (char *)_talloc_pooled_object(k->at, size, "object", (unsigned)draw(&state, 12),
							  draw(&state, 3000));
			add(i, p, size, NOMINAL);
		}
		break;
	case 2: case 3: case 4: case 5: case 6: case 7:
		if (count < MOST) {
			size = some_size();
			add(i, (char *)talloc_size(k->at, size), size, CHUNK);
		}
		break;
	case 8: case 9: case 10:
		if (i >= CONTEXTS && !is_above(i, j)) {
			check(talloc_steal(known[j].at, k->at) == k->at);
			k->parent = j;
		}
		break;
	case 11: case 12:
		size = some_size() + 1;
		old = k->size;
		if (k->kind == CHUNK) {
			k->at = (char *)talloc_realloc_size(NULL, k->at, size);
			check(k->at != NULL && holds(k->at, old < size ? old : size, k->of));
			fill(k->at, size, k->of);
			k->size = size;
		} else if (k->kind != CONTEXT) {
			check(talloc_realloc_size(NULL, k->at, size) == NULL);
		}
		break;
	case 13:
		if (i >= CONTEXTS) {
			check(talloc_free(k->at) == 0);
			forget(i);
		}
		break;
	default:
		/* The children of a pool get other parents, but for some; then it goes. */
		for (i = CONTEXTS; i < count && known[i].kind != POOL; i++) {
		}
		if (i == count || (count < MOST / 2 && draw(&state, 3))) {
			break;
		}
		for (j = CONTEXTS; j < count; j++) {
			int to = (int)draw(&state, CONTEXTS);

			if (j != i && is_above(i, j) && draw(&state, 10) < 2) {
				check(talloc_steal(known[to].at, known[j].at) == known[j].at);
				known[j].parent = to;
			}
		}
		check(talloc_free(known[i].at) == 0);
		forget(i);
		break;
	}
}

static void at_random(void)
{
	const char *given = getenv("SEED");
	unsigned first = given == NULL ? 1 : (unsigned)atoi(given), seed;
	unsigned last = given == NULL ? (unsigned)often(40) : first;
	long before = 0;
	int i;

	for (seed = first; seed <= last; seed++) {
		printf("SEED=%u\n", seed);
		fflush(stdout);
		state = seed * 0x9e3779b97f4a7c15ULL;
		count = 0;
		for (i = 0; i < CONTEXTS; i++) {
			add(-1, (char *)talloc_new(NULL), 0, CONTEXT);
		}
		for (i = 0; i < 3000; i++) {
			step();
			if (i % 50 == 0) {
				verify();
			}
		}
		verify();
		for (i = 0; i < CONTEXTS; i++) {
			check(talloc_free(known[i].at) == 0);
		}
		if (seed == first) {
			before = settled();
		}
	}
	printf("in the end: %ld KiB\n", settled() - before);
	check(settled() - before < SLACK_KIB);
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
	must_pass("stale pointers", stale_pointers);
	must_pass("used like any chunk", used_like_any);
	must_pass("left over", left_over);
	must_pass("room is used again", room_is_used_again);
	must_pass("shared contexts and forks", shared_and_forked);
	must_pass("at random", at_random);
	return 0;
}
