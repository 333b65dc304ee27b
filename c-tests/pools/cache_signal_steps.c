/*
 * Signal handlers that use an object cache, at every instruction of a call that uses it: what the handler does is either
 * whole, and no object is lost or has two owners, or it ends the process with a reason. And the
 * same for blocks of general sizes. See steps.h.
 */
#include "pools.h"
#include "steps.h"

enum {
	/* Of so large objects a thread keeps two times four at hand: all ways are short. */
	SIZE = 8192,
	MOST = 64,
	BULK = 3,
};

/* What is interrupted, and what interrupts it. */
enum verb { ALLOC, FREE, ALLOC_BULK, FREE_BULK, BOTH, SHRINK, STATS };

static const char *const names[] = {"alloc", "free", "alloc bulk", "free bulk", "alloc and free", "shrink", "stats"};

enum kind { CACHE, CONSTRUCTED, GENERAL };

static const char *const kinds[] = {"cache", "cache with a constructor", "general size"};

/* The cache; NULL: blocks of tm_kmalloc(). */
static tm_cache *c;

/* Objects of the program's, and of its handler's: of those that were there before, first come BULK that are to be freed. */
struct side {
	void *objects[MOST];
	int n;
	void *freed[BULK];
};

static struct side mine, theirs;
static enum verb my_verb, their_verb;

static void construct(void *object)
{
	memset(object, 0, 8);
}

static tm_cache *create(enum kind kind)
{
	tm_cache *made = NULL;

	if (kind != GENERAL) {
		made = tm_cache_create(NULL, "steps", SIZE, 0, 0, kind == CONSTRUCTED ? construct : NULL, NULL);
		check(made != NULL);
	}
	return made;
}

static void *take(void)
{
	return c != NULL ? tm_cache_alloc(c) : tm_kmalloc(SIZE);
}

static void give(void *object)
{
	if (c != NULL) {
		tm_cache_free(c, object);
	} else {
		tm_kfree(object);
	}
}

static void do_as(struct side *side, enum verb verb)
{
	struct tm_cache_stats stats;

	switch (verb) {
	case ALLOC:
		side->objects[side->n++] = take();
		break;
	case FREE:
		give(side->freed[0]);
		side->freed[0] = NULL;
		break;
	case ALLOC_BULK:
		check(tm_cache_alloc_bulk(c, BULK, side->objects + side->n) == BULK);
		side->n += BULK;
		break;
	case FREE_BULK:
		tm_cache_free_bulk(c, BULK, side->freed);
		memset(side->freed, 0, sizeof(side->freed));
		break;
	case BOTH:
		side->objects[side->n++] = take();
		give(side->freed[1]);
		side->freed[1] = NULL;
		side->objects[side->n++] = take();
		give(side->freed[0]);
		side->freed[0] = NULL;
		break;
	case SHRINK:
		tm_cache_shrink(c);
		break;
	case STATS:
		check(tm_cache_stats(c, &stats) == 0);
		break;
	}
}

static void work(void)
{
	do_as(&mine, my_verb);
}

static void intrude(void)
{
	do_as(&theirs, their_verb);
}

/* Objects in use, and all there are. */
static void count(size_t *active, size_t *total)
{
	struct tm_cache_stats stats;
	char line[200];
	FILE *f;

	if (c != NULL) {
		check(tm_cache_stats(c, &stats) == 0);
		*active = stats.active;
		*total = stats.total;
		return;
	}
	f = tmpfile();
	check(f != NULL);
	tm_slabinfo(f);
	rewind(f);
	*active = *total = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "kmalloc-8192 %zu %zu", active, total) == 2) {
			break;
		}
	}
	fclose(f);
}

static void own(void **all, int *n, void *object)
{
	if (object != NULL) {
		check(*n < 4 * MOST);
		memset(object, *n, SIZE);
		all[(*n)++] = object;
	}
}

/* All objects in use are distinct, and so are all others, of which none is missing. */
static void verify(void)
{
	static void *all[4 * MOST];
	struct side *sides[] = {&mine, &theirs};
	size_t active, total, before;
	int i, s, n = 0;

	for (s = 0; s < 2; s++) {
		for (i = 0; i < sides[s]->n; i++) {
			check(sides[s]->objects[i] != NULL);
			own(all, &n, sides[s]->objects[i]);
		}
		for (i = 0; i < BULK; i++) {
			own(all, &n, sides[s]->freed[i]);
		}
	}
	count(&active, &total);
	check(active == (size_t)n);
	while ((size_t)n < total) {
		own(all, &n, take());
	}
	before = total;
	count(&active, &total);
	check(active == (size_t)n && total == before);
	for (i = 0; i < n; i++) {
		check(((unsigned char *)all[i])[0] == i && ((unsigned char *)all[i])[SIZE - 1] == i);
	}
	for (i = 0; i < n; i++) {
		give(all[i]);
	}
	count(&active, &total);
	check(active == 0);
	if (c != NULL) {
		tm_cache_shrink(c);
		count(&active, &total);
		check(total == 0);
		check(tm_cache_destroy(c) == 0);
	}
}

/* What the thread has at hand when the call comes. */
enum at_hand { SOME, NONE, NO_SLAB, ALL };

static const char *const hands[] = {"some objects at hand", "none at hand", "no objects left", "a full hand"};

static void fill(struct side *side, int n)
{
	int i;

	for (i = 0; i < BULK; i++) {
		if (side->freed[i] == NULL) {
			side->freed[i] = take();
		}
	}
	while (side->n < n) {
		side->objects[side->n++] = take();
	}
}

static void drop(int n)
{
	while (n-- > 0) {
		give(mine.objects[--mine.n]);
	}
}

static void prepare(enum at_hand at_hand)
{
	size_t active, total;

	memset(&mine, 0, sizeof(mine));
	memset(&theirs, 0, sizeof(theirs));
	fill(&theirs, 2);
	fill(&mine, 20);
	switch (at_hand) {
	case SOME:
		/* So that neither a few objects more nor less make a difference. */
		drop(8);
		mine.objects[mine.n++] = take();
		mine.objects[mine.n++] = take();
		break;
	case NONE:
	case NO_SLAB:
		/* All is out that a thread takes at once, and of the last slab something is left; or all is out. */
		do {
			check(mine.n < MOST);
			mine.objects[mine.n++] = take();
			count(&active, &total);
		} while (at_hand == NO_SLAB ? active < total : (active % 4) != 0 || active == total);
		break;
	case ALL:
		drop(16);
		break;
	}
}

/* Interrupts `my` call by a handler that does `their`, at each `apart`-th instruction. */
static void pair(enum kind kind, enum at_hand at_hand, enum verb my, enum verb their, unsigned apart)
{
	static char title[200];
	static const struct steps steps = {title, work, intrude, verify};
	struct steps_outcome outcome;

	snprintf(title, sizeof(title), "%s: %s with %s, interrupted by %s", kinds[kind], names[my], hands[at_hand], names[their]);
	c = create(kind);
	my_verb = my;
	their_verb = their;
	prepare(at_hand);
	outcome = interrupt_each(&steps, apart);
	printf("%s: %u places, %u went well, %u refused\n", title, outcome.places, outcome.went_well, outcome.refused);
	if (outcome.places > 0 && my != STATS && their != STATS) {
		check(outcome.went_well > 0 && outcome.refused > 0);
	}
	verify();
}

/* So that no call is the first of its kind: the loader looks for functions then. */
static void warm_up(void)
{
	int kind, verb;

	for (kind = CACHE; kind <= GENERAL; kind++) {
		c = create((enum kind)kind);
		prepare(SOME);
		for (verb = ALLOC; verb <= STATS; verb++) {
			if (kind != GENERAL || verb == ALLOC || verb == FREE) {
				do_as(&mine, (enum verb)verb);
			}
			fill(&mine, 0);
		}
		verify();
	}
}

int main(int argc, char **argv)
{
	static const enum verb by_one[] = {ALLOC, FREE, BOTH}, by_any[] = {ALLOC, FREE, ALLOC_BULK, FREE_BULK};
	/* Of the long ways not every instruction, unless so wanted. */
	unsigned apart = argc > 1 ? (unsigned)atoi(argv[1]) : 7;
	size_t i, j;

	warm_up();
	for (i = 0; i < 4; i++) {
		for (j = 0; j < 3; j++) {
			pair(CACHE, SOME, by_any[i], by_one[j], 1);
		}
	}
	pair(CACHE, SOME, ALLOC, ALLOC_BULK, 1);
	pair(CACHE, SOME, FREE, FREE_BULK, 1);
	pair(CACHE, NONE, ALLOC, BOTH, apart);
	pair(CACHE, NO_SLAB, ALLOC, BOTH, apart);
	pair(CACHE, ALL, FREE, BOTH, apart);
	pair(CACHE, NONE, ALLOC_BULK, BOTH, apart);
	pair(CACHE, ALL, FREE_BULK, BOTH, apart);
	pair(CACHE, SOME, SHRINK, BOTH, apart);
	pair(CACHE, SOME, ALLOC, SHRINK, 1);
	pair(CACHE, SOME, FREE, SHRINK, 1);
	pair(CACHE, SOME, STATS, BOTH, apart);
	pair(CACHE, SOME, FREE, STATS, 1);
	pair(CONSTRUCTED, NONE, ALLOC, BOTH, apart);
	pair(CONSTRUCTED, NO_SLAB, ALLOC, BOTH, apart);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 3; j++) {
			pair(GENERAL, SOME, by_any[i], by_one[j], 1);
		}
	}
	pair(GENERAL, NONE, ALLOC, BOTH, apart);
	pair(GENERAL, ALL, FREE, BOTH, apart);
	return 0;
}
