/*
 * Random programs with pools that become orphans: what is known of each chunk holds at any time.
 */
#include "orphans.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

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
	must_pass("at random", at_random);
	return 0;
}
