/*
 * Changing owners: steal, and references made and dropped. Malloc has no such
 * thing, so there is no bare variant.
 */
#include "bench.h"

/* `size` children go from one parent to the other and back. */
static void steal(struct pass *pass)
{
	enum { TRIPS = 50 };
	void *root = talloc_new(NULL);
	void *left = talloc_new(root), *right = talloc_new(root);
	void **child = calloc(pass->size, sizeof(*child));

	for (size_t i = 0; i < pass->size; i++) {
		child[i] = object_new(TALLOC, left, small_size(i));
	}
	clock_start(pass);
	for (size_t trip = 0; trip < TRIPS; trip++) {
		void *to = trip % 2 ? left : right;
		for (size_t i = 0; i < pass->size; i++) {
			KEEP(talloc_steal(to, child[i]));
		}
	}
	clock_stop(pass, TRIPS * pass->size);
	check(talloc_total_blocks(left) == pass->size + 1, "steal: blocks");
	check(talloc_parent(child[0]) == left, "steal: parent");
	talloc_free(root);
	free(child);
}

/* A result of five objects, made in a scratch context and handed to the caller's. */
static void hand_up(struct pass *pass)
{
	enum { OPS = 10000 };
	void *keep = talloc_new(NULL);

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		void *scratch = talloc_new(NULL);
		void *result = object_new(TALLOC, scratch, 64);
		for (size_t o = 0; o < 4; o++) {
			object_new(TALLOC, result, small_size(i + o));
		}
		KEEP(talloc_steal(keep, result));
		talloc_free(scratch);
		if (i % 100 == 99) {
			talloc_free_children(keep);
		}
	}
	clock_stop(pass, OPS);
	check(talloc_total_blocks(keep) == 1, "hand up: blocks left");
	talloc_free(keep);
}

static void reference(struct pass *pass)
{
	enum { OPS = 20000 };
	void *owner = talloc_new(NULL), *user = talloc_new(NULL);
	void *object = object_new(TALLOC, owner, 64);

	clock_start(pass);
	for (size_t i = 0; i < OPS; i++) {
		KEEP(talloc_reference(user, object));
		check(talloc_unlink(user, object) == 0, "reference: unlink");
	}
	clock_stop(pass, OPS);
	check(talloc_reference_count(object) == 0, "reference: count");
	check(talloc_total_blocks(user) == 1, "reference: blocks left");
	talloc_free(user);
	talloc_free(owner);
}

/* One object shared by `size` contexts that come and go. */
static void shared(struct pass *pass)
{
	enum { ROUNDS = 20 };
	void *owner = talloc_new(NULL);
	void *object = object_new(TALLOC, owner, 64);
	void **user = calloc(pass->size, sizeof(*user));

	clock_start(pass);
	for (size_t round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < pass->size; i++) {
			user[i] = talloc_new(NULL);
			KEEP(talloc_reference(user[i], object));
		}
		check(talloc_reference_count(object) == pass->size, "shared: count");
		for (size_t i = 0; i < pass->size; i++) {
			talloc_free(user[i]);
		}
	}
	clock_stop(pass, ROUNDS * pass->size);
	check(talloc_reference_count(object) == 0, "shared: count left");
	talloc_free(owner);
	free(user);
}

const struct workload moving_workloads[] = {
	{ "moving/steal", "steal", 1000, WARM, steal, NULL },
	{ "moving/hand-up", "result", 1, WARM, hand_up, NULL },
	{ "moving/reference", "make+drop", 1, WARM, reference, NULL },
	{ "moving/shared", "user", 100, WARM, shared, NULL },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
