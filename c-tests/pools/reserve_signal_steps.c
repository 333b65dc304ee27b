/*
 * Signal handlers that use reserves and managed ranges, at every instruction of a call that uses them: what the handler does is
 * either whole, or it ends the process with a reason. See steps.h.
 */
#include "pools.h"
#include "steps.h"

enum { SIZE = 200, RESERVE = 3, MOST = 40, GRANULES = 64 };

/* Where elements come from. */
enum source { FUNCTIONS, FAILING, OF_CACHE, OF_KMALLOC, RANGE, SOURCES };

static const char *const names[] = {"functions", "functions that fail", "a cache", "kmalloc", "a managed range"};

static enum source source;
static tm_cache *cache;
static tm_mempool *mempool;
static tm_genpool *range;
static char memory[GRANULES * 256] __attribute__((aligned(4096)));
/* What functions give: some elements more than the reserve has. */
static char elements[MOST][SIZE];
static bool given[MOST];
static bool fails;

struct side {
	char *out[MOST];
	int n;
};

static struct side mine, theirs;

static void *give(void *data)
{
	int i;

	(void)data;
	for (i = 0; !fails && i < MOST; i++) {
		if (!__atomic_test_and_set(&given[i], __ATOMIC_RELAXED)) {
			return elements[i];
		}
	}
	return NULL;
}

static void take_back(void *element, void *data)
{
	size_t i = (size_t)((char *)element - elements[0]) / SIZE;

	(void)data;
	check(i < MOST && given[i]);
	__atomic_clear(&given[i], __ATOMIC_RELAXED);
}

static void take(struct side *side)
{
	char *element = source == RANGE ? (char *)tm_genpool_alloc(range, SIZE) : (char *)tm_mempool_alloc(mempool, TM_NOWAIT);

	if (element != NULL) {
		side->out[side->n++] = element;
	}
}

static void put(struct side *side)
{
	if (side->n > 0) {
		char *element = side->out[--side->n];

		if (source == RANGE) {
			check(tm_genpool_free(range, element, SIZE) == 0);
		} else {
			tm_mempool_free(mempool, element);
		}
	}
}

static void work_take(void)
{
	take(&mine);
}

static void work_put(void)
{
	put(&mine);
}

static void work_resize(void)
{
	if (source != RANGE) {
		check(tm_mempool_resize(mempool, RESERVE + 2) == 0);
	}
}

static void work_stats(void)
{
	struct tm_stats stats;

	check(tm_stats(source == RANGE ? (void *)range : (void *)mempool, &stats) == 0);
}

static void intrude_take(void)
{
	take(&theirs);
}

static void intrude_put(void)
{
	put(&theirs);
}

static void intrude_both(void)
{
	struct tm_stats stats;

	take(&theirs);
	put(&theirs);
	put(&theirs);
	check(tm_stats(source == RANGE ? (void *)range : (void *)mempool, &stats) == 0);
}

/* Each element is somebody's alone, all come back, and as many as there should be can be had. */
static void verify(void)
{
	struct side *sides[] = {&mine, &theirs};
	struct side all = {{NULL}, 0};
	struct tm_stats stats;
	int s, i;

	fails = source == FAILING;
	for (s = 0; s < 2; s++) {
		for (i = 0; i < sides[s]->n; i++) {
			all.out[all.n++] = sides[s]->out[i];
		}
	}
	check(tm_stats(source == RANGE ? (void *)range : (void *)mempool, &stats) == 0);
	check(stats.allocation_count - stats.free_count == (size_t)all.n);
	for (i = 0; i < 8; i++) {
		take(&all);
	}
	check(all.n >= RESERVE);
	for (i = 0; i < all.n; i++) {
		memset(all.out[i], i + 1, SIZE);
	}
	for (i = 0; i < all.n; i++) {
		check(all.out[i][0] == i + 1 && all.out[i][SIZE - 1] == i + 1);
	}
	fails = false;
	while (all.n > 0) {
		put(&all);
	}
	if (source == RANGE) {
		check(tm_genpool_avail(range) == tm_genpool_size(range));
		check(tm_genpool_destroy(range) == 0);
	} else {
		check(tm_mempool_destroy(mempool) == 0);
	}
	if (cache != NULL) {
		check(tm_cache_destroy(cache) == 0);
		cache = NULL;
	}
	for (i = 0; i < MOST; i++) {
		check(!given[i]);
	}
}

static void prepare(void)
{
	memset(&mine, 0, sizeof(mine));
	memset(&theirs, 0, sizeof(theirs));
	memset(given, 0, sizeof(given));
	fails = false;
	switch (source) {
	case FUNCTIONS:
	case FAILING:
		mempool = tm_mempool_create(NULL, RESERVE + 3, give, take_back, NULL);
		break;
	case OF_CACHE:
		cache = tm_cache_create(NULL, "steps", SIZE, 0, 0, NULL, NULL);
		mempool = tm_mempool_create_cache(NULL, RESERVE, cache);
		break;
	case OF_KMALLOC:
		mempool = tm_mempool_create_kmalloc(NULL, RESERVE, SIZE);
		break;
	default:
		range = tm_genpool_create(NULL, 8);
		check(tm_genpool_add(range, memory, sizeof(memory)) == 0);
		break;
	}
	fails = source == FAILING;
	take(&mine);
	take(&theirs);
	take(&theirs);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*call)(void);
	} works[] = {{"an allocation", work_take}, {"a free", work_put}, {"a resize", work_resize}, {"statistics", work_stats}},
	  intruders[] = {{"an allocation", intrude_take}, {"a free", intrude_put}, {"both", intrude_both}};
	size_t i, j;
	int s;

	/* So that no call is the first of its kind: the loader looks for functions then. */
	for (s = 0; s < SOURCES; s++) {
		for (i = 0; i < 4; i++) {
			source = (enum source)s;
			prepare();
			works[i].call();
			intrude_both();
			verify();
		}
	}
	for (s = 0; s < SOURCES; s++) {
		for (i = 0; i < 4; i++) {
			for (j = 0; j < 3; j++) {
				static char title[200];
				struct steps steps = {title, works[i].call, intruders[j].call, verify};
				struct steps_outcome outcome;

				snprintf(title, sizeof(title), "%s of %s, interrupted by %s", works[i].name, names[s], intruders[j].name);
				source = (enum source)s;
				prepare();
				outcome = interrupt_each(&steps, source == RANGE ? 7 : 1);
				printf("%s: %u places, %u went well, %u refused\n", title, outcome.places, outcome.went_well, outcome.refused);
				check(outcome.places == 0 || outcome.went_well > 0);
				verify();
			}
		}
	}
	return 0;
}
