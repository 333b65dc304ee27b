/*
 * Survivors of one pool in the trees of several threads: all of them use and free theirs at once, while the pool is
 * freed in the thread that made it, gives back what nobody needs, and moves its record out of the way.
 *
 * ROUNDS says how often.
 */
#include "pools.h"

#include <pthread.h>

enum { TREES = 3, MOST = 120, ROUNDS_OF_A_THREAD = 50, ENOUGH_KIB = 8 * 1024 };

struct member {
	char *at;
	size_t size;
	unsigned of;
};

/* A tree that one thread uses at a time: what has survived in it. All lies below the context, at any depth. */
struct tree {
	char *context;
	struct member members[MOST];
	int count;
};

static struct tree trees[TREES];
/* Everybody's: some of the pools lie there, and members go there for a moment. */
static void *shared;
static pthread_barrier_t barrier;
static int rounds = 4000;
static long moves;

static void fill(struct member *m)
{
	size_t i;

	for (i = 0; i < m->size; i++) {
		m->at[i] = (char)(m->of + i);
	}
}

static void verify(const struct member *m, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		check(m->at[i] == (char)(m->of + i));
	}
}

/* A chunk of the tree from now on. */
static void add(struct tree *tree, char *at, size_t size, unsigned of)
{
	struct member *m = &tree->members[tree->count++];

	check(at != NULL);
	m->at = at;
	m->size = size;
	m->of = of;
	fill(m);
}

/* Frees a member; what lay below it goes below the context before. */
static void drop(struct tree *tree, int i)
{
	struct member *m = &tree->members[i];
	int j;

	verify(m, m->size);
	for (j = 0; j < tree->count; j++) {
		if (talloc_parent(tree->members[j].at) == m->at) {
			check(talloc_steal(tree->context, tree->members[j].at) == tree->members[j].at);
		}
	}
	check(talloc_free(m->at) == 0);
	*m = tree->members[--tree->count];
}

/* Something with the member i of the tree. */
static void use(struct tree *tree, int i, uint64_t *state)
{
	struct member *m = &tree->members[i], *other = &tree->members[draw(state, (size_t)tree->count)];
	size_t size = draw(state, draw(state, 8) ? 400 : 3000), old = m->size;

	switch (draw(state, 9)) {
	case 0: case 1:
		if (tree->count < MOST) {
			add(tree, (char *)talloc_size(m->at, size), size, (unsigned)size * 3);
		}
		break;
	case 2:
		verify(m, m->size);
		m->at = (char *)talloc_realloc_size(NULL, m->at, size + 1);
		check(m->at != NULL);
		m->size = size + 1;
		verify(m, old < m->size ? old : m->size);
		fill(m);
		break;
	case 3:
		/* Not below itself: what has children stays. */
		if (talloc_total_blocks(m->at) == 1 && other != m) {
			check(talloc_steal(other->at, m->at) == m->at);
		} else {
			check(talloc_steal(tree->context, m->at) == m->at);
		}
		break;
	case 4:
		{
			void *away = draw(state, 2) ? shared : NULL;

			check(talloc_steal(away, m->at) == m->at && talloc_parent(m->at) == away);
			if (tree->count < MOST) {
				add(tree, (char *)talloc_size(m->at, size), size, (unsigned)size);
			}
			check(talloc_steal(tree->context, m->at) == m->at);
		}
		break;
	case 5:
		check(talloc_set_name(m->at, "%d bytes", (int)m->size) != NULL);
		check(talloc_reference(tree->context, m->at) == m->at);
		check(talloc_unlink(tree->context, m->at) == 0);
		check(talloc_reference_count(m->at) == 0);
		check(talloc_parent(m->at) != NULL);
		check(talloc_steal(tree->context, m->at) == m->at);
		break;
	case 6:
		/* An object and its descendants: a pool in name only. */
		{
			char *object = (char *)_talloc_pooled_object(m->at, size, "object", 3, 100);

			check(object != NULL && talloc_get_size(object) == size);
			check(talloc_strdup(object, "below") != NULL);
			check(talloc_realloc_size(m->at, object, size + 1) == NULL);
			check(talloc_free(object) == 0);
		}
		break;
	default:
		drop(tree, i);
		break;
	}
}

/* One turn with a tree that nobody else has meanwhile. */
static void turn(struct tree *tree, uint64_t *state)
{
	size_t i, uses = draw(state, 60), left = draw(state, 4) ? 0 : draw(state, 12);

	for (i = 0; i < uses && tree->count > 0; i++) {
		use(tree, (int)draw(state, (size_t)tree->count), state);
	}
	/* Most often those in the announced room, which came first, are the last to go, or the first. */
	while ((size_t)tree->count > left) {
		drop(tree, draw(state, 2) ? 0 : tree->count - 1);
	}
}

struct task {
	int first, number;
};

/* Takes turns, each with another tree than before, and ends: its heap, with whatever lies there, is another's then. */
static void *worker(void *argument)
{
	const struct task *task = (const struct task *)argument;
	uint64_t state = (uint64_t)task->first * 64 + (uint64_t)task->number + 1;
	int i;

	for (i = 0; i < ROUNDS_OF_A_THREAD; i++) {
		pthread_barrier_wait(&barrier);
		turn(&trees[(task->number + i) % TREES], &state);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static char *refuses;

static int destructor(char *p)
{
	return p == refuses ? -1 : 0;
}

/* A pool whose members live in all trees. Of those that are in the announced room, most are in one. */
static void *deal(int round, uint64_t *state)
{
	static const size_t rooms[] = { 300, 1500, 4096, 8192, 65536 };
	size_t room = rooms[draw(state, 5)], filled = 0;
	void *pool = talloc_pool(draw(state, 3) ? NULL : shared, room);
	char *p;
	int i;

	while (filled < room + room / 2 + 2000) {
		size_t size = draw(state, 300) + room / 64;

		p = (char *)talloc_size(pool, size);
		check(p != NULL);
		if (draw(state, 8) == 0) {
			struct tree *tree = &trees[filled < room && draw(state, 6) ? round % TREES
										: (int)draw(state, TREES)];

			if (tree->count < MOST * 2 / 3) {
				add(tree, p, size, (unsigned)filled);
				check(talloc_steal(tree->context, p) == p);
			}
		} else if (draw(state, 8) == 0) {
			check(talloc_free(p) == 0);
		}
		filled += size + 48;
	}
	if (draw(state, 4) != 0) {
		return pool;
	}
	/* It goes here and now, and one of the trees inherits what is referred to, one what would not go. */
	i = (int)draw(state, TREES);
	if (trees[i].count < MOST) {
		p = (char *)talloc_size(pool, 100);
		add(&trees[i], p, 100, 1);
		check(talloc_reference(trees[i].context, p) == p);
	}
	i = (int)draw(state, TREES);
	if (trees[i].count < MOST) {
		check(talloc_steal(trees[i].context, pool) == pool);
		p = (char *)talloc_size(pool, 100);
		add(&trees[i], p, 100, 2);
		talloc_set_destructor(p, destructor);
		refuses = p;
	}
	check(talloc_free(pool) == 0);
	refuses = NULL;
	return NULL;
}

static int stage;
static char *survivor;

/* Where neither thread waits for the other in the library; and what they say to each other orders nothing. */
static void reach(int wanted)
{
	__atomic_store_n(&stage, wanted, __ATOMIC_RELAXED);
}

static void wait_until(int wanted)
{
	while (__atomic_load_n(&stage, __ATOMIC_RELAXED) < wanted) {
		usleep(100);
	}
}

static void *make_object(void *unused)
{
	char *object = (char *)talloc_pooled_object(survivor, struct member, 1, 10);

	check(object != NULL);
	reach(1);
	wait_until(2);
	check(talloc_get_size(object) == sizeof(struct member));
	check(talloc_free(object) == 0);
	return unused;
}

/*
 * One thread has just made a pool in name only of a member of a pool, when another frees that pool, and walks over what
 * is in it.
 */
static void object_beside_a_free(void)
{
	void *pool = talloc_pool(NULL, 1000);
	pthread_t thread;
	int i;

	for (i = 0; i < 20; i++) {
		survivor = (char *)talloc_size(pool, 100);
		check(survivor != NULL);
	}
	check(talloc_steal(NULL, survivor) == survivor);
	stage = 0;
	check(pthread_create(&thread, NULL, make_object, NULL) == 0);
	wait_until(1);
	check(talloc_free(pool) == 0);
	reach(2);
	check(pthread_join(thread, NULL) == 0);
	check(talloc_free(survivor) == 0);
}

int main(void)
{
	const char *fewer = getenv("ROUNDS");
	uint64_t state = 88172645463325252ULL;
	pthread_t threads[TREES];
	struct task tasks[TREES];
	long before = 0;
	int round, i;

	if (fewer != NULL) {
		rounds = atoi(fewer);
	}
	alarm(300);
	catch_faults();
	object_beside_a_free();
	check(pthread_barrier_init(&barrier, NULL, TREES + 1) == 0);
	shared = tm_shared_context(NULL, "shared");
	for (i = 0; i < TREES; i++) {
		trees[i].context = (char *)talloc_named_const(NULL, 0, "tree");
	}
	for (round = 0; round < rounds; round++) {
		void *pools[3];

		if (round % ROUNDS_OF_A_THREAD == 0) {
			for (i = 0; i < TREES; i++) {
				if (round > 0) {
					check(pthread_join(threads[i], NULL) == 0);
				}
				tasks[i].first = round;
				tasks[i].number = i;
				check(pthread_create(&threads[i], NULL, worker, &tasks[i]) == 0);
			}
		}
		if (round == rounds / 2 / ROUNDS_OF_A_THREAD * ROUNDS_OF_A_THREAD) {
			tm_release_free_memory();
			before = kib_of("VmRSS:");
		}
		for (i = 0; i < 3; i++) {
			pools[i] = i < 1 + round % 3 ? deal(round, &state) : NULL;
		}
		pthread_barrier_wait(&barrier);
		/* While the threads use its members, a pool serves more, and goes. */
		for (i = 0; i < 3; i++) {
			if (pools[i] != NULL) {
				check(talloc_strdup(pools[i], "one more") != NULL);
				check(talloc_pooled_object(pools[i], struct member, 2, 50) != NULL);
				if (round % 2) {
					check(talloc_size(pools[i], 3000) != NULL);
				}
				check(talloc_free(pools[i]) == 0);
				moves++;
			}
		}
		pthread_barrier_wait(&barrier);
	}
	/* The threads take turns to the end of their time. */
	for (; round % ROUNDS_OF_A_THREAD != 0; round++) {
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	for (i = 0; i < TREES; i++) {
		check(pthread_join(threads[i], NULL) == 0);
		check(talloc_total_blocks(trees[i].context) == (size_t)trees[i].count + 1);
		check(talloc_free(trees[i].context) == 0);
	}
	check(talloc_total_blocks(shared) == 1 && talloc_free(shared) == 0);
	printf("%ld pools freed while others used what was in them\n", moves);
	check(fewer != NULL || moves > rounds);
	tm_release_free_memory();
	printf("%ld KiB more than halfway\n", kib_of("VmRSS:") - before);
	check(fewer != NULL || kib_of("VmRSS:") - before < ENOUGH_KIB);
	expect_no_fault();
	return 0;
}
