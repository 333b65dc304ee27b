/*
 * Random programs: a seed decides a sequence of operations on a forest of
 * chunks, whose destructors refuse, flee, allocate and free others. The trace
 * calls each chunk by its number.
 *
 *   random                     traces a few short programs
 *   random digest FIRST LAST   one checksum a seed, for long programs
 *   random trace SEED STEPS    the trace behind a checksum
 *   random limits FIRST LAST   as digest, with limits that nothing ever reaches:
 *                              the checksums are the same
 *   random threads FIRST LAST  each program alone, and then in one of four threads
 *                              that run at once: the checksums are the same
 *
 * Left out on purpose, mostly since talloc itself loses track there:
 * - rings of children and references, since a chunk may become its own ancestor
 *   when the heir of a dying context lies below it;
 * - a second reference from one context to the same chunk: which of the two goes
 *   first is not promised;
 * - freeing a context whose children are just being freed by talloc_free_children();
 * - freeing a context that is not its parent's newest child: it is moved to the
 *   front first, because talloc then loses the way to its orphans' heir.
 */
#include "check.h"

#include <pthread.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { MAX_CHUNKS = 20000, MAX_LINKS = 5000 };

/* What a chunk does when it is to die. */
enum manner { AGREES, REFUSES_ONCE, FLEES, ALLOCATES, FREES_ANOTHER, MANNERS };

struct chunk {
	char *ptr;	     /* NULL when it is gone */
	char *last;	     /* where it was when it went */
	int died;	     /* its place in the order of deaths */
	char name[16];
	size_t size;
	bool is_string;
	bool is_pool;
	enum manner manner;
};

/* One program's state; each thread runs one of its own. */
static __thread struct chunk chunks[MAX_CHUNKS];
static __thread int used, deaths;
static __thread struct { int from, to; } links[MAX_LINKS];
static __thread int link_count;
static __thread int emptied; /* whose children are being freed */
static __thread char *refuge;

/* ---- the trace: printed, or only summed up */

static bool digesting, limiting, in_threads;
static __thread uint64_t digest;

static void out(const char *format, ...) PRINTF_ATTRIBUTE(1, 2);

static void out(const char *format, ...)
{
	char line[500];
	va_list ap;
	const char *p;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (!digesting) {
		fputs(line, stdout);
		return;
	}
	for (p = line; *p != '\0'; p++) {
		digest = (digest ^ (unsigned char)*p) * 0x100000001b3u;
	}
}

static void out_log(const char *message)
{
	out("log %s", message);
}

static void out_report(const void *ptr)
{
	char *text = NULL, *line, *end;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);

	talloc_report_full(ptr, f);
	fclose(f);
	for (line = text; *line != '\0'; line = end) {
		char *address = strstr(line, "0x");

		end = strchr(line, '\n') + 1;
		if (limiting && memmem(line, end - line, " is a memlimit context ", 23) != NULL) {
			continue;
		}
		if (address != NULL && address < end) {
			out("%.*s\n", (int)(address - line), line);
		} else {
			out("%.*s", (int)(end - line), line);
		}
	}
	free(text);
}

/* ---- chance */

static __thread uint64_t state;

static unsigned chance(unsigned below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

/* A living chunk's index, or -1. */
static int any_chunk(void)
{
	int tries;

	for (tries = 0; tries < 30 && used > 0; tries++) {
		/* Mostly young ones. */
		int span = used < 60 || chance(4) == 0 ? used : 60;
		int i = used - 1 - (int)chance(span);

		if (chunks[i].ptr != NULL) {
			return i;
		}
	}
	return -1;
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

static const char *label(int i)
{
	return i < 0 ? "NULL" : chunks[i].name;
}

static char *pointer(int i)
{
	return i < 0 ? NULL : chunks[i].ptr;
}

/*
 * A parent that is dying too is known by its number: its formatted name may be
 * gone already.
 */
static const char *label_of(const void *ptr)
{
	int i, latest = -1;

	if (ptr == NULL) {
		return "NULL";
	}
	i = index_of((const char *)ptr);
	if (i >= 0) {
		return chunks[i].name;
	}
	if (ptr == refuge) {
		return "refuge";
	}
	for (i = 0; i < used; i++) {
		if (chunks[i].last == ptr &&
		    (latest < 0 || chunks[i].died > chunks[latest].died)) {
			latest = i;
		}
	}
	return latest < 0 ? talloc_get_name(ptr) : chunks[latest].name;
}

/* ---- payloads carry their chunk's number */

static void fill(int i)
{
	if (chunks[i].ptr != NULL && !chunks[i].is_string) {
		memset(chunks[i].ptr, i, chunks[i].size);
	}
}

static void check_payload(int i, size_t size)
{
	size_t n;

	check(talloc_get_size(chunks[i].ptr) ==
	      (chunks[i].is_pool ? 0 : chunks[i].size));
	if (chunks[i].is_string) {
		check(strlen(chunks[i].ptr) + 1 == chunks[i].size);
		return;
	}
	for (n = 0; n < size; n++) {
		check(chunks[i].ptr[n] == (char)i);
	}
}

/* ---- what is safe with talloc, see the top */

/*
 * Does a way lead from one chunk to another, downwards by children and along
 * references? It is looked for from the far end. Links that are gone are still in
 * the list: at worst, the answer is yes for no reason.
 */
static bool reaches(int from, int to)
{
	static __thread int queue[MAX_CHUNKS];
	static __thread int seen[MAX_CHUNKS], round;
	int head = 0, tail = 0, n;

	round++;
	queue[tail++] = to;
	seen[to] = round;
	while (head < tail) {
		int at = queue[head++];
		int up = chunks[at].ptr == NULL
				 ? -1
				 : index_of((const char *)talloc_parent(chunks[at].ptr));

		if (at == from) {
			return true;
		}
		if (up >= 0 && seen[up] != round) {
			seen[up] = round;
			queue[tail++] = up;
		}
		for (n = 0; n < link_count; n++) {
			up = links[n].from;
			if (links[n].to == at && up >= 0 && chunks[up].ptr != NULL &&
			    seen[up] != round) {
				seen[up] = round;
				queue[tail++] = up;
			}
		}
	}
	return false;
}

/* Might that context refer to that chunk already? */
static bool refers(int from, int to)
{
	int n;

	for (n = 0; n < link_count; n++) {
		if (links[n].from == from && links[n].to == to) {
			return true;
		}
	}
	return false;
}

static void to_front(int i)
{
	void *parent = talloc_parent(chunks[i].ptr);

	if (parent != NULL) {
		(void)!_talloc_steal_loc(parent, chunks[i].ptr, "to_front");
	}
}

/* ---- destructors */

static int make(const void *parent, const char *how, unsigned kind);

static int dying(char *p)
{
	int i = index_of(p), victim, child;
	enum manner manner;

	check(i >= 0);
	check_payload(i, chunks[i].size);
	manner = chunks[i].manner;
	out("  %s is to die, parent %s\n", label(i), label_of(talloc_parent(p)));
	switch (manner) {
	case REFUSES_ONCE:
		chunks[i].manner = AGREES;
		return -1;
	case FLEES:
		chunks[i].manner = AGREES;
		out("  it flees: %s\n", label_of(_talloc_steal_loc(refuge, p, "flees")));
		return -1;
	case ALLOCATES:
		child = make(p, "last words", 0);
		chunks[child].manner = AGREES;
		break;
	case FREES_ANOTHER:
		victim = any_chunk();
		chunks[i].manner = AGREES;
		if (victim >= 0 && victim != i && victim != emptied &&
		    chunks[victim].manner == AGREES &&
		    talloc_total_blocks(chunks[victim].ptr) == 1 &&
		    talloc_reference_count(chunks[victim].ptr) == 0) {
			out("  it frees %s\n", label(victim));
			out("  %d\n", _talloc_free(chunks[victim].ptr, "dying"));
		}
		break;
	default:
		break;
	}
	chunks[i].ptr = NULL;
	chunks[i].last = p;
	chunks[i].died = ++deaths;
	return 0;
}

static enum manner any_manner(void)
{
	return chance(4) == 0 ? (enum manner)chance(MANNERS) : AGREES;
}

/* ---- the operations */

static int make(const void *parent, const char *how, unsigned kind)
{
	int i = used++;
	struct chunk *c = &chunks[i];
	unsigned width, room;

	check(used < MAX_CHUNKS);
	snprintf(c->name, sizeof(c->name), "c%d", i);
	c->size = chance(8) == 0 ? chance(5000) : chance(100);
	c->is_string = c->is_pool = false;
	c->manner = any_manner();
	c->last = NULL;
	switch (kind) {
	case 1:
		c->is_string = true;
		c->ptr = talloc_strdup(parent, c->name);
		c->size = strlen(c->name) + 1;
		break;
	case 2:
		c->is_pool = true;
		c->ptr = (char *)talloc_pool(parent, chance(3000));
		c->size = 0;
		break;
	case 3:
		width = chance(5);
		room = chance(2000);
		c->ptr = (char *)_talloc_pooled_object(parent, c->size, "object",
						      width, room);
		c->is_pool = true;
		break;
	case 4:
		c->ptr = (char *)_talloc_zero_array(parent, 1, c->size, "array");
		check(c->size == 0 || c->ptr[c->size - 1] == 0);
		break;
	case 5:
		c->ptr = (char *)talloc_named(parent, c->size, "formatted %d", i);
		break;
	case 6:
		c->is_string = true;
		width = chance(300) + 1;
		c->ptr = talloc_asprintf(parent, "%*d", (int)width, i);
		c->size = strlen(c->ptr) + 1;
		break;
	default:
		c->ptr = (char *)talloc_size(parent, c->size);
		break;
	}
	check(c->ptr != NULL);
	if (c->is_pool && kind == 3) {
		/* Its size is the object's. */
		check(talloc_get_size(c->ptr) == c->size);
		c->is_pool = false;
		memset(c->ptr, i, c->size);
	}
	fill(i);
	if (kind != 5) {
		talloc_set_name_const(c->ptr, c->name);
	}
	talloc_set_destructor(c->ptr, dying);
	out("%s %s of kind %u, size %zu below %s\n", how, c->name, kind, c->size,
	    label_of(parent));
	return i;
}

static void resize(int i)
{
	struct chunk *c = &chunks[i];
	size_t size = chance(10) == 0 ? chance(20000) : chance(200);
	size_t kept = c->size < size ? c->size : size;
	char *q;

	if (c->is_string || size == 0) {
		return;
	}
	q = (char *)talloc_realloc_size(NULL, c->ptr, size);
	out("realloc %s to %zu: %s\n", c->name, size, q == NULL ? "NULL" : "done");
	if (q == NULL) {
		check_payload(i, c->size);
		return;
	}
	c->ptr = q;
	c->size = size;
	check_payload(i, kept);
	fill(i);
	talloc_set_name_const(q, c->name);
}

static void append(int i)
{
	struct chunk *c = &chunks[i];
	char *q;

	if (!c->is_string) {
		return;
	}
	q = chance(2) == 0 ? talloc_strdup_append(c->ptr, " and more")
			   : talloc_asprintf_append_buffer(c->ptr, "+%u", chance(99999));
	out("append to %s: %s\n", c->name, q == NULL ? "NULL" : "done");
	if (q != NULL) {
		c->ptr = q;
		c->size = strlen(q) + 1;
		talloc_set_name_const(q, c->name);
	}
}

static void step(void)
{
	int i = any_chunk();
	int j = any_chunk();
	char *p = pointer(i), *q;
	unsigned kind;

	switch (chance(20)) {
	case 0: case 1: case 2: case 3: case 4: case 5: case 6:
		kind = chance(12);
		make(chance(10) == 0 ? NULL : p, "make", kind);
		break;
	case 7:
		if (i >= 0) {
			out("free %s\n", label(i));
			to_front(i);
			out("free: %d\n", talloc_free(p));
		}
		break;
	case 8:
		if (i >= 0 && chance(3) == 0) {
			out("free children of %s\n", label(i));
			emptied = i;
			talloc_free_children(p);
			emptied = -1;
		}
		break;
	case 9: case 10:
		q = chance(10) == 0 ? NULL : pointer(j);
		if (i >= 0 && !(q != NULL && reaches(i, j))) {
			out("steal %s to %s\n", label(i), label_of(q));
			out("steal: %s\n", label_of(talloc_steal(q, p)));
		}
		break;
	case 11: case 12:
		if (i >= 0 && link_count < MAX_LINKS) {
			q = chance(10) == 0 ? NULL : pointer(j);
			if ((q != NULL && reaches(i, j)) ||
			    refers(q == NULL ? -1 : j, i)) {
				break;
			}
			links[link_count].from = q == NULL ? -1 : j;
			links[link_count++].to = i;
			out("reference from %s to %s\n", label_of(q), label(i));
			out("reference: %s\n", label_of(talloc_reference(q, p)));
		}
		break;
	case 13:
		if (i >= 0 && link_count > 0) {
			q = chance(5) == 0 ? NULL : pointer(j);
			if (chance(2) == 0) {
				q = (char *)talloc_parent(p);
			}
			out("unlink %s from %s\n", label(i), label_of(q));
			to_front(i);
			out("unlink: %d\n", talloc_unlink(q, p));
		}
		break;
	case 14:
		if (link_count > 0) {
			int n = (int)chance(link_count);
			char *from = pointer(links[n].from);
			char *to = pointer(links[n].to);

			/* It may move the parent's link: both links are kept. */
			if (to != NULL && link_count < MAX_LINKS &&
			    (from != NULL || links[n].from < 0) &&
			    !(p != NULL && reaches(links[n].to, i)) &&
			    !refers(i, links[n].to)) {
				out("reparent %s from %s to %s\n", label_of(to),
				    label_of(from), label(i));
				out("reparent: %s\n",
				    label_of(talloc_reparent(from, p, to)));
				links[link_count].from = i;
				links[link_count++].to = links[n].to;
			}
		}
		break;
	case 15:
		if (i >= 0) {
			resize(i);
		}
		break;
	case 16:
		if (i >= 0) {
			append(i);
		}
		break;
	case 17:
		if (i >= 0) {
			out("rename %s: %s\n", label(i),
			    talloc_set_name(p, "%s renamed %u", label(i), chance(1000)));
		}
		break;
	case 18:
		if (i >= 0) {
			out("%s: parent %s, %zu bytes in %zu blocks, %zu references\n",
			    label(i), label_of(talloc_parent(p)),
			    talloc_total_size(p), talloc_total_blocks(p),
			    talloc_reference_count(p));
			check_payload(i, chunks[i].size);
		}
		break;
	default:
		if (i >= 0) {
			chunks[i].manner = any_manner();
		}
		break;
	}
}

/* A limit on some chunk, now and then; chance is not asked. */
static void limit_something(int n)
{
	int i = used == 0 ? 0 : n * 31 % used;

	if (n % 5 == 0 && chunks[i].ptr != NULL) {
		check(talloc_set_memlimit(chunks[i].ptr, (size_t)1 << 40) == 0);
	}
}

static void run(uint64_t seed, int steps)
{
	int n, alive;

	state = seed * 0x9e3779b97f4a7c15u + 1;
	used = link_count = deaths = 0;
	emptied = -1;
	if (seed % 3 == 0 && !in_threads) {
		talloc_enable_null_tracking();
	}
	refuge = node(NULL, "refuge");
	for (n = 0; n < steps; n++) {
		step();
		if (limiting) {
			limit_something(n);
		}
		if (n % 100 == 99) {
			int i;

			for (i = 0; i < used; i++) {
				if (chunks[i].ptr != NULL &&
				    talloc_parent(chunks[i].ptr) == NULL) {
					out_report(chunks[i].ptr);
				}
			}
			out_report(NULL);
		}
	}
	/* All goes: those that refuse or flee are asked again. */
	for (n = 0; n < used; n++) {
		chunks[n].manner = AGREES;
	}
	do {
		alive = 0;
		for (n = 0; n < used; n++) {
			if (chunks[n].ptr != NULL) {
				alive++;
				to_front(n);
				out("free %s\n", label(n));
				if (talloc_free(chunks[n].ptr) != 0) {
					talloc_unlink(talloc_parent(chunks[n].ptr),
						      chunks[n].ptr);
				}
			}
		}
	} while (alive > 0);
	out_report(refuge);
	talloc_free(refuge);
	out_report(NULL);
	if (!in_threads) {
		talloc_disable_null_tracking();
	}
}

enum { THREADS = 4, MAX_SEEDS = 1000 };

static uint64_t first_seed, last_seed, digests[MAX_SEEDS];

static uint64_t digest_of(uint64_t seed)
{
	digest = 0xcbf29ce484222325u;
	run(seed, 1500);
	return digest;
}

static void *every_fourth(void *argument)
{
	uint64_t seed;

	for (seed = first_seed + (long)argument; seed <= last_seed; seed += THREADS) {
		check(digest_of(seed) == digests[seed - first_seed]);
	}
	return NULL;
}

static void compare_in_threads(void)
{
	pthread_t threads[THREADS];
	uint64_t seed;
	long i;

	in_threads = true;
	check(last_seed - first_seed < MAX_SEEDS);
	for (seed = first_seed; seed <= last_seed; seed++) {
		digests[seed - first_seed] = digest_of(seed);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, every_fourth, (void *)i) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	printf("%lu programs, the same in threads\n", last_seed - first_seed + 1);
}

int main(int argc, char **argv)
{
	uint64_t seed;

	talloc_set_log_fn(out_log);
	if (argc == 4 && strcmp(argv[1], "trace") != 0) {
		digesting = true;
		limiting = strcmp(argv[1], "limits") == 0;
		first_seed = strtoul(argv[2], NULL, 10);
		last_seed = strtoul(argv[3], NULL, 10);
		if (strcmp(argv[1], "threads") == 0) {
			compare_in_threads();
			return 0;
		}
		for (seed = first_seed; seed <= last_seed; seed++) {
			uint64_t sum = digest_of(seed);

			printf("%lu: %016lx, %d chunks\n", seed, sum, used);
		}
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "trace") == 0) {
		run(strtoul(argv[2], NULL, 10), atoi(argv[3]));
		return 0;
	}
	for (seed = 1; seed <= 3; seed++) {
		section("a random program");
		run(seed, 250);
	}
	return 0;
}
