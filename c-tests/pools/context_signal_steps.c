/*
 * Signal handlers that use contexts, at every instruction of a call that uses them: what the handler does is either whole,
 * or it ends the process with a reason. See steps.h.
 *
 * After each interruption all chunks that there should be are there, each with its memory to itself, and so is what is
 * allocated next.
 */
#include "pools.h"
#include "steps.h"

enum { KEPT = 40, SIZE = 100, NEXT = 300 };

/* The tree that both work on. */
static char *root, *other, *pool, *grown, *shared;

/* Chunks with contents, NULL where one is gone: the program's, and those of its handler. */
struct side {
	char first, *kept[KEPT];
	int n;
};

static struct side mine, theirs;
static int destroyed;
/* What the interrupted call works on. */
static char *object;

/* Remembers a chunk of `size` bytes, all of which are its own. */
static void keep(struct side *side, void *chunk, size_t size)
{
	check(chunk != NULL && side->n < KEPT);
	memset(chunk, side->first + side->n, size);
	talloc_set_name_const(chunk, "kept");
	side->kept[side->n++] = chunk;
}

static int destroy(char *chunk)
{
	check(chunk != NULL);
	destroyed++;
	return 0;
}

/* ---- what is interrupted ---- */

static void alloc_small(void)
{
	keep(&mine, talloc_size(root, SIZE), SIZE);
}

static void alloc_root(void)
{
	object = talloc_size(NULL, SIZE);
}

static void alloc_many(void)
{
	int i;

	/* Until there is no slot at hand, and some more. */
	object = talloc_new(root);
	for (i = 0; i < 12; i++) {
		check(talloc_size(object, 6000) != NULL);
	}
}

static void alloc_large(void)
{
	keep(&mine, talloc_size(root, 100000), SIZE);
}

static void alloc_huge(void)
{
	keep(&mine, talloc_size(root, 3000000), SIZE);
}

static void alloc_zeroed(void)
{
	keep(&mine, talloc_zero_size(root, 700), 700);
}

static void alloc_member(void)
{
	keep(&mine, talloc_size(pool, SIZE), SIZE);
}

static void alloc_overflow(void)
{
	keep(&mine, talloc_size(pool, 5000), 5000);
}

static void alloc_bare(void)
{
	char *bytes = tm_palloc(grown, SIZE);

	check(bytes != NULL);
	memset(bytes, 'x', SIZE);
}

static void alloc_shared(void)
{
	keep(&mine, talloc_size(shared, SIZE), SIZE);
}

static void make_pool(void)
{
	object = talloc_pool(root, 2000);
	check(object != NULL);
}

static void make_shared(void)
{
	object = tm_shared_context(root, "made");
	check(object != NULL);
}

static void free_object(void)
{
	talloc_free(object);
	object = NULL;
}

static void reset_object(void)
{
	check(tm_reset(object) == 0);
}

static void steal_object(void)
{
	talloc_steal(other, object);
}

static void reference_object(void)
{
	check(talloc_reference(other, object) == object);
}

static void unlink_object(void)
{
	check(talloc_unlink(other, object) == 0);
}

static void grow_object(void)
{
	object = talloc_realloc_size(NULL, object, 140);
}

static void move_object(void)
{
	object = talloc_realloc_size(NULL, object, 900);
}

static void append_object(void)
{
	object = talloc_asprintf_append(object, "%s", "and more");
}

static void name_object(void)
{
	talloc_set_name(object, "%d", 17);
}

static void guard_object(void)
{
	talloc_set_destructor(object, destroy);
}

static void count_object(void)
{
	check(tm_stats_enable(object) == 0);
}

static void give_back(void)
{
	tm_release_free_memory();
}

/* ---- what it finds ---- */

static void find_nothing(void)
{
}

static void find_leaf(void)
{
	object = talloc_size(root, SIZE);
}

static void find_string(void)
{
	object = talloc_strdup(root, "a string of some length");
}

static void find_guarded(void)
{
	find_leaf();
	talloc_set_destructor(object, destroy);
}

static void find_tree(void)
{
	int i;

	object = talloc_new(root);
	for (i = 0; i < 5; i++) {
		char *child = talloc_size(object, SIZE);

		check(talloc_strdup(child, "grandchild") != NULL);
		talloc_set_destructor(child, destroy);
		check(talloc_size(object, SIZE) != NULL);
	}
}

static void find_member(void)
{
	object = talloc_size(pool, SIZE);
}

static void find_pool(void)
{
	object = talloc_pool(root, 4000);
	check(talloc_size(object, SIZE) != NULL && talloc_size(object, 8000) != NULL);
}

/* A pool that is emptied the short way. */
static void find_bare(void)
{
	object = grown;
	reset_object();
	alloc_bare();
	reset_object();
	alloc_bare();
}

static void find_reference(void)
{
	find_leaf();
	check(talloc_reference(other, object) == object);
}

static void find_shared(void)
{
	object = talloc_size(shared, SIZE);
}

/* ---- what interrupts it ---- */

static void intrude_alloc(void)
{
	keep(&theirs, talloc_size(root, SIZE), SIZE);
}

static void intrude_free(void)
{
	if (theirs.kept[0] != NULL) {
		check(talloc_free(theirs.kept[0]) == 0);
		theirs.kept[0] = NULL;
	}
}

static void intrude_pool(void)
{
	if (object != grown) {
		keep(&theirs, talloc_size(grown, SIZE), SIZE);
	}
	check(tm_palloc(grown, 40) != NULL);
}

static void intrude_all(void)
{
	char *context = talloc_new(NULL);

	keep(&theirs, talloc_strdup(pool, "a member"), 9);
	keep(&theirs, talloc_size(shared, SIZE), SIZE);
	check(tm_palloc(grown, 40) != NULL);
	check(talloc_steal(context, talloc_asprintf(root, "%d", 17)) != NULL);
	intrude_free();
	check(talloc_free(context) == 0);
}

/* ---- whether all is as it has to be ---- */

static void own(char **all, int *n, char *chunk)
{
	check(chunk != NULL);
	memset(chunk, *n, SIZE);
	all[(*n)++] = chunk;
}

/* How many chunks of a side there are; each is as it was made. */
static int intact(const struct side *side)
{
	int i, seen = 0;

	for (i = 0; i < side->n; i++) {
		const char *chunk = side->kept[i];

		if (chunk != NULL) {
			seen++;
			check(strcmp(talloc_get_name(chunk), "kept") == 0);
			check(chunk[0] == side->first + i && chunk[8] == side->first + i);
			check(talloc_find_parent_byname(chunk, "root") == root);
		}
	}
	return seen;
}

static void verify(void)
{
	static char *all[4 * NEXT];
	int i, seen, n = 0;
	FILE *null = fopen("/dev/null", "w");

	seen = intact(&mine) + intact(&theirs);
	/* The tree, from above and from below. */
	talloc_report_full(root, null);
	check((int)talloc_total_blocks(root) > seen);
	fclose(null);
	/* What comes next has its memory to itself. */
	for (i = 0; i < NEXT; i++) {
		own(all, &n, talloc_size(root, SIZE));
		own(all, &n, talloc_size(pool, SIZE));
		own(all, &n, talloc_size(shared, SIZE));
		own(all, &n, tm_palloc(grown, SIZE));
	}
	for (i = 0; i < n; i++) {
		check(all[i][0] == (char)i && all[i][SIZE - 1] == (char)i);
	}
	check(intact(&mine) + intact(&theirs) == seen);
	check(talloc_free(root) == 0);
	tm_release_free_memory();
	root = talloc_new(NULL);
	for (i = 0; i < NEXT; i++) {
		check(talloc_size(root, SIZE) != NULL);
	}
	check(talloc_total_blocks(root) == NEXT + 1);
	check(talloc_free(root) == 0);
}

static void prepare(void)
{
	int i;

	memset(&mine, 0, sizeof(mine));
	memset(&theirs, 0, sizeof(theirs));
	mine.first = 'a';
	theirs.first = 'A';
	object = NULL;
	root = talloc_named_const(NULL, 0, "root");
	other = talloc_new(root);
	pool = talloc_pool(root, 3000);
	grown = tm_pool_growable(root, 1000, 0);
	shared = tm_shared_context(root, "shared");
	check(tm_palloc(grown, SIZE) != NULL);
	for (i = 0; i < 8; i++) {
		keep(&mine, talloc_size(root, SIZE), SIZE);
		keep(&theirs, talloc_size(root, SIZE), SIZE);
		check(talloc_size(root, SIZE) != NULL);
	}
	keep(&theirs, talloc_size(pool, SIZE), SIZE);
	keep(&theirs, talloc_size(shared, SIZE), SIZE);
}

struct call {
	const char *name;
	void (*find)(void), (*work)(void);
	/* Every instruction is of interest. */
	bool is_short;
	/* What does as much is refused. */
	enum { THE_HEAP, A_POOL_ALONE, A_SHARED_CONTEXT_ALONE } touches;
};

static const struct call calls[] = {
	{"a small chunk", find_nothing, alloc_small, true, THE_HEAP},
	{"a root", find_nothing, alloc_root, true, THE_HEAP},
	{"many chunks", find_nothing, alloc_many, false, THE_HEAP},
	{"a large chunk", find_nothing, alloc_large, false, THE_HEAP},
	{"a huge chunk", find_nothing, alloc_huge, false, THE_HEAP},
	{"a chunk of zeros", find_nothing, alloc_zeroed, false, THE_HEAP},
	{"a member of a pool", find_nothing, alloc_member, true, THE_HEAP},
	{"what a pool has no room for", find_nothing, alloc_overflow, false, THE_HEAP},
	{"bare bytes", find_nothing, alloc_bare, true, A_POOL_ALONE},
	{"a chunk of a shared context", find_nothing, alloc_shared, true, A_SHARED_CONTEXT_ALONE},
	{"a pool", find_nothing, make_pool, false, THE_HEAP},
	{"a shared context", find_nothing, make_shared, false, THE_HEAP},
	{"the free of a leaf", find_leaf, free_object, true, THE_HEAP},
	{"the free of a leaf with a destructor", find_guarded, free_object, true, THE_HEAP},
	{"the free of a tree", find_tree, free_object, false, THE_HEAP},
	{"the free of a member", find_member, free_object, true, THE_HEAP},
	{"the free of a pool", find_pool, free_object, true, THE_HEAP},
	{"the free of what is referenced", find_reference, free_object, false, THE_HEAP},
	{"the free of a chunk of a shared context", find_shared, free_object, true, A_SHARED_CONTEXT_ALONE},
	{"a reset", find_tree, reset_object, false, THE_HEAP},
	{"a reset of a pool", find_pool, reset_object, true, THE_HEAP},
	{"a reset of bare bytes", find_bare, reset_object, true, A_POOL_ALONE},
	{"a steal", find_leaf, steal_object, true, THE_HEAP},
	{"a steal of a tree", find_tree, steal_object, true, THE_HEAP},
	{"a steal out of a shared context", find_shared, steal_object, false, THE_HEAP},
	{"a reference", find_leaf, reference_object, false, THE_HEAP},
	{"the unlink of a reference", find_reference, unlink_object, true, THE_HEAP},
	{"a chunk that grows", find_leaf, grow_object, false, THE_HEAP},
	{"a chunk that moves", find_leaf, move_object, false, THE_HEAP},
	{"a string that grows", find_string, append_object, false, THE_HEAP},
	{"a formatted name", find_leaf, name_object, false, THE_HEAP},
	{"a destructor", find_leaf, guard_object, true, THE_HEAP},
	{"statistics", find_tree, count_object, false, THE_HEAP},
	{"memory given back", find_tree, give_back, false, THE_HEAP},
};

static void interrupt(const struct call *call, const char *by, void (*intrude)(void), unsigned apart)
{
	static char title[200];
	struct steps steps = {title, call->work, intrude, verify};
	struct steps_outcome outcome;

	snprintf(title, sizeof(title), "%s, interrupted by %s", call->name, by);
	prepare();
	call->find();
	outcome = interrupt_each(&steps, apart);
	printf("%s: %u places, %u went well, %u refused\n", title, outcome.places, outcome.went_well, outcome.refused);
	if (outcome.places > 0) {
		bool meets = intrude == intrude_all || call->touches == THE_HEAP ||
			     (intrude == intrude_pool && call->touches == A_POOL_ALONE);

		check(outcome.went_well > 0 && (outcome.refused > 0 || !call->is_short || !meets));
	}
	verify();
}

int main(int argc, char **argv)
{
	/* Of the long ways not every instruction, unless so wanted. */
	unsigned apart = argc > 1 ? (unsigned)atoi(argv[1]) : 13;
	size_t i;

	/* So that no call is the first of its kind: the loader looks for functions then. */
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		prepare();
		calls[i].find();
		calls[i].work();
		intrude_all();
		verify();
	}
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		interrupt(&calls[i], "an allocation", intrude_alloc, calls[i].is_short ? 1 : apart);
		interrupt(&calls[i], "a free", intrude_free, calls[i].is_short ? 1 : 2 * apart);
		interrupt(&calls[i], "another use of a pool", intrude_pool, calls[i].is_short ? 1 : 2 * apart);
		interrupt(&calls[i], "much else", intrude_all, calls[i].is_short ? 1 : 3 * apart);
	}
	return 0;
}
