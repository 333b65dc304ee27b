/*
 * Destructors that do anything: allocate, free ancestors and strangers, steal,
 * refer, unlink, move blocks, set limits, refuse, while any number of frees are
 * under way above them. Whatever they do, each chunk dies once, lives whole until
 * then, has parents up to a root, and in the end nothing is left.
 *
 *   chaos              a few thousand programs
 *   chaos FIRST LAST   those
 *   chaos SEED         one, with a trace
 */
#include "ours.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { MAX_CHUNKS = 3000 };

struct chunk {
	char *ptr; /* NULL when it is gone */
	size_t size;
	bool is_pool;
	bool dying;
};

static struct chunk chunks[MAX_CHUNKS];
static int used, alive, budget, depth;
static bool tracing, calm;
static uint64_t state, current;

/* Tells which program went wrong, whatever ends it. */
static void tell(int number)
{
	static char text[] = "in the program of seed 0000\n";
	uint64_t seed = current;
	int i;

	for (i = 0; i < 4; i++, seed /= 10) {
		text[sizeof(text) - 3 - i] = (char)('0' + seed % 10);
	}
	(void)!write(1, text, sizeof(text) - 1);
	(void)!write(1, ours_log, strlen(ours_log));
	_exit(128 + number);
}

static unsigned chance(unsigned below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

static void trace(const char *what, int i, int j)
{
	if (tracing) {
		printf("%*s%s c%d c%d\n", depth * 2, "", what, i, j);
	}
}

static int index_of(const char *ptr)
{
	int i;

	for (i = used - 1; i >= 0; i--) {
		if (chunks[i].ptr == ptr) {
			return i;
		}
	}
	return -1;
}

static int any_chunk(void)
{
	int tries, i;

	for (tries = 0; tries < 20 && used > 0; tries++) {
		i = (int)chance(used);
		if (chunks[i].ptr != NULL) {
			return i;
		}
	}
	return -1;
}

static void check_chunk(int i)
{
	struct chunk *c = &chunks[i];
	const char *p = c->ptr;
	size_t n;
	int up;

	check(talloc_get_size(c->ptr) == (c->is_pool ? 0 : c->size));
	for (n = 0; n < c->size; n++) {
		check(c->ptr[n] == (char)i);
	}
	for (up = 0; p != NULL; up++) {
		check(up <= MAX_CHUNKS + 2);
		p = (const char *)talloc_parent(p);
	}
}

static void check_all(void)
{
	int i;

	for (i = 0; i < used; i++) {
		if (chunks[i].ptr != NULL) {
			check_chunk(i);
		}
	}
}

static int dying(char *p);

static int make(const void *parent)
{
	int i = used;
	struct chunk *c = &chunks[i];

	if (used == MAX_CHUNKS) {
		return -1;
	}
	c->size = chance(10) == 0 ? chance(6000) : chance(80);
	c->is_pool = c->dying = false;
	switch (chance(8)) {
	case 0:
		c->is_pool = true;
		c->ptr = (char *)talloc_pool(parent, chance(5000));
		c->size = 0;
		break;
	case 1:
		c->ptr = (char *)_talloc_pooled_object(parent, c->size, "object", 3, 300);
		break;
	case 2:
		c->ptr = (char *)talloc_named(parent, c->size, "formatted %d", i);
		break;
	case 3:
		c->ptr = (char *)talloc_zero_size(parent, c->size);
		break;
	default:
		c->ptr = (char *)talloc_size(parent, c->size);
		break;
	}
	if (c->ptr == NULL) {
		/* A limit said no. */
		return -1;
	}
	used++;
	alive++;
	memset(c->ptr, i, c->size);
	_talloc_set_destructor(c->ptr, (int (*)(void *))dying);
	return i;
}

static void resize(int i)
{
	size_t size = chance(300) + 1;
	size_t kept = chunks[i].size < size ? chunks[i].size : size;
	char *q = (char *)talloc_realloc_size(NULL, chunks[i].ptr, size);
	size_t n;

	if (q == NULL) {
		return;
	}
	check(!chunks[i].dying && !chunks[i].is_pool);
	for (n = 0; n < kept; n++) {
		check(q[n] == (char)i);
	}
	memset(q, i, size);
	chunks[i].ptr = q;
	chunks[i].size = size;
}

/* One random operation on random chunks. */
static void act(void)
{
	int i = any_chunk();
	int j = any_chunk();
	char *p = i < 0 ? NULL : chunks[i].ptr;
	char *q = j < 0 || chance(12) == 0 ? NULL : chunks[j].ptr;

	if (p == NULL) {
		make(NULL);
		return;
	}
	switch (chance(16)) {
	case 0: case 1: case 2: case 3:
		trace("make below", i, used);
		make(p);
		break;
	case 4: case 5:
		trace("free", i, i);
		talloc_free(p);
		break;
	case 6:
		trace("free children", i, i);
		talloc_free_children(p);
		break;
	case 7: case 8:
		trace("steal", i, q == NULL ? -1 : j);
		(void)!_talloc_steal_loc(q, p, "act");
		break;
	case 9: case 10:
		trace("reference from/to", q == NULL ? -1 : j, i);
		(void)!_talloc_reference_loc(q, p, "act");
		break;
	case 11:
		trace("unlink", i, q == NULL ? -1 : j);
		talloc_unlink(chance(2) ? talloc_parent(p) : q, p);
		break;
	case 12:
		trace("reparent", i, q == NULL ? -1 : j);
		(void)!talloc_reparent(talloc_parent(p), q, p);
		break;
	case 13:
		trace("realloc", i, i);
		resize(i);
		break;
	case 14:
		trace("name", i, i);
		talloc_set_name(p, "name %u", chance(10000));
		break;
	default:
		if (chance(4) == 0) {
			trace("limit", i, i);
			talloc_set_memlimit(p, chance(3) == 0 ? 0 : 1000 + chance(100000));
		} else if (chance(2) == 0) {
			(void)!talloc_set_memlimit(p, 0);
		}
		break;
	}
}

static int dying(char *p)
{
	int i = index_of(p), n;

	check(i >= 0);
	check(!chunks[i].dying);
	trace("is to die", i, i);
	check_chunk(i);
	chunks[i].dying = true;
	depth++;
	for (n = (int)chance(4); n > 0 && budget > 0 && !calm; n--) {
		budget--;
		act();
	}
	depth--;
	check(chunks[i].ptr == p);
	check_chunk(i);
	chunks[i].dying = false;
	if (!calm && chance(5) == 0) {
		trace("refuses", i, i);
		return -1;
	}
	if (!calm && chance(15) == 0) {
		_talloc_set_destructor(p, (int (*)(void *))dying);
	}
	trace("dies", i, i);
	chunks[i].ptr = NULL;
	alive--;
	return 0;
}

static void run(uint64_t seed)
{
	int n, round;

	state = seed * 0x9e3779b97f4a7c15u + 1;
	used = alive = depth = 0;
	calm = false;
	if (seed % 2 == 0) {
		talloc_enable_null_tracking_no_autofree();
	}
	for (n = 0; n < 400; n++) {
		budget = 20;
		act();
		if (n % 20 == 0) {
			check_all();
		}
	}
	check_all();
	/* Now all agree to die; references are dropped one by one. */
	calm = true;
	for (round = 0; alive > 0; round++) {
		check(round < 100);
		for (n = 0; n < used; n++) {
			if (chunks[n].ptr != NULL && talloc_free(chunks[n].ptr) != 0) {
				talloc_unlink(talloc_parent(chunks[n].ptr), chunks[n].ptr);
			}
		}
	}
	if (seed % 2 == 0) {
		/* References that NULL held to what is gone are gone, too. */
		check(talloc_total_blocks(NULL) == 1);
		talloc_disable_null_tracking();
	}
	ours_log[0] = '\0';
}

int main(int argc, char **argv)
{
	uint64_t seed, first, last;

	talloc_set_log_fn(ours_collect);
	signal(SIGSEGV, tell);
	signal(SIGABRT, tell);
	signal(SIGALRM, tell);
	alarm(150);
	if (argc == 2) {
		tracing = true;
		current = strtoul(argv[1], NULL, 10);
		run(current);
		return 0;
	}
	first = argc == 3 ? strtoul(argv[1], NULL, 10) : 1;
	last = argc == 3 ? strtoul(argv[2], NULL, 10) : 3000;
	for (seed = first; seed <= last; seed++) {
		current = seed;
		run(seed);
	}
	printf("%lu programs\n", last - first + 1);
	return 0;
}
