/*
 * The steps that a random program draws: every operation, and destructors that refuse, flee, allocate
 * and free others.
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
#ifndef RANDOM_STEPS_H
#define RANDOM_STEPS_H

#include "random_forest.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* ---- what is safe with talloc, see the top */

enum { MAX_LINKS = 5000 };

/* The references that were made. */
static __thread struct { int from, to; } links[MAX_LINKS];
static __thread int link_count;
static __thread int emptied; /* whose children are being freed */

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

#endif
