/*
 * Orphans: pools that were freed while members of them live on elsewhere. The members go on like any chunk, and whoever
 * comes too late is told so. What orphans keep: orphans_room.c.
 */
#include "orphans.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

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

int main(void)
{
	catch_faults();
	must_pass("stale pointers", stale_pointers);
	must_pass("used like any chunk", used_like_any);
	must_pass("left over", left_over);
	must_pass("shared contexts and forks", shared_and_forked);
	return 0;
}
