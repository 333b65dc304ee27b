/*
 * Shared contexts held against a model: several threads do anything at once below some contexts
 * that they share, and each does the same to trees of its own that nobody shares. What an
 * operation answers must be the same for both, and at any moment, whatever the others do, a report
 * of a shared context must show the thread's part of it as its own tree is.
 *
 * Own trees are a model to trust: random operations on them are compared with libtalloc elsewhere.
 * After each round, at a barrier, every thread goes on with what another has built.
 *
 *   shared_model [ROUNDS [SEED]]
 */
#include "ours.h"

#include <tmempool.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum {
	THREADS = 4,
	SHARED = 3,
	/* The last is a tree of the thread's own, on both sides. */
	PLACES = SHARED + 1,
	NODES = 40,
	STEPS = 250,
	SEEN = 4 * NODES,
};

/* The two sides: below what is shared, and the model. */
enum side { REAL, MODEL, SIDES };

enum temper { CALM, REFUSES, MOVES, MOVES_AND_REFUSES, BUSY };

/* What starts each node's payload. */
struct cell {
	struct world *world;
	enum side side;
	enum temper temper;
	/* Where it moves itself. */
	int to;
};

struct world {
	unsigned seed;
	struct cell *node[SIDES][NODES];
	void *place[SIDES][PLACES];
	int destructors[SIDES];
};

/* What a report has shown: nodes by number, in their order. */
struct view {
	struct world *world;
	enum side side;
	bool mine;
	int top, length;
	struct {
		int depth, node;
		bool is_reference;
	} line[SEEN];
};

static struct world worlds[THREADS];
static pthread_barrier_t line;
static int rounds = 6;

static unsigned draw(struct world *w, unsigned below)
{
	w->seed = w->seed * 1103515245 + 12345;
	return (w->seed >> 8) % below;
}

static int number(struct world *w, enum side side, const void *p)
{
	for (int i = 0; i < NODES; i++) {
		if (w->node[side][i] != NULL && w->node[side][i] == p) {
			return i;
		}
	}
	return -1;
}

/*
 * Of what other threads have in the context, nothing but the address is looked at. What a reference
 * is to, a report does not say where that is elsewhere; so whose it is, is not known right below the context.
 */
static void see(const void *p, int depth, int max_depth, int is_reference, void *data)
{
	struct view *view = (struct view *)data;
	int node = number(view->world, view->side, p);

	(void)max_depth;
	if (depth == 0) {
		return;
	}
	if (depth == 1) {
		view->mine = node >= 0 && !is_reference;
	}
	if (view->mine) {
		check(view->length < SEEN);
		view->line[view->length].depth = depth;
		view->line[view->length].node = is_reference ? -1 : node;
		view->line[view->length].is_reference = is_reference != 0;
		view->length++;
	}
}

static void look(struct world *w, enum side side, int place, struct view *view)
{
	view->world = w;
	view->side = side;
	view->mine = false;
	view->length = 0;
	talloc_report_depth_cb(w->place[side][place], 0, -1, see, view);
}

static void compare_place(struct world *w, int place)
{
	struct view real, model;

	look(w, REAL, place, &real);
	look(w, MODEL, place, &model);
	check(real.length == model.length);
	for (int i = 0; i < real.length; i++) {
		check(real.line[i].depth == model.line[i].depth);
		check(real.line[i].node == model.line[i].node);
		check(real.line[i].is_reference == model.line[i].is_reference);
	}
}

static void compare_node(struct world *w, int i)
{
	struct cell *real = w->node[REAL][i], *model = w->node[MODEL][i];
	void *parent[SIDES] = { talloc_parent(real), talloc_parent(model) };

	check(talloc_get_size(real) == talloc_get_size(model));
	check(strcmp(talloc_get_name(real), talloc_get_name(model)) == 0);
	check(talloc_reference_count(real) == talloc_reference_count(model));
	check(talloc_total_size(real) == talloc_total_size(model));
	check(talloc_total_blocks(real) == talloc_total_blocks(model));
	check(number(w, REAL, parent[REAL]) == number(w, MODEL, parent[MODEL]));
	for (int p = 0; p < PLACES; p++) {
		check((parent[REAL] == w->place[REAL][p]) == (parent[MODEL] == w->place[MODEL][p]));
	}
	check(w->destructors[REAL] == w->destructors[MODEL]);
}

/* The nodes that the model does not have any more are gone. */
static void bury(struct world *w)
{
	bool lives[NODES] = { false };
	struct view view;

	for (int p = 0; p < PLACES; p++) {
		look(w, MODEL, p, &view);
		for (int i = 0; i < view.length; i++) {
			if (view.line[i].node >= 0 && !view.line[i].is_reference) {
				lives[view.line[i].node] = true;
			}
		}
	}
	for (int i = 0; i < NODES; i++) {
		if (!lives[i]) {
			w->node[REAL][i] = w->node[MODEL][i] = NULL;
		}
	}
}

static int destructor(struct cell *cell)
{
	struct world *w = cell->world;
	enum temper temper = cell->temper;
	void *to = w->place[cell->side][cell->to];
	char *p;

	w->destructors[cell->side]++;
	cell->temper = CALM;
	switch (temper) {
	case REFUSES:
		return -1;
	case MOVES:
		check(talloc_steal(to, cell) == cell);
		return 0;
	case MOVES_AND_REFUSES:
		check(talloc_steal(to, cell) == cell);
		return -1;
	case BUSY:
		p = talloc_strdup(to, "made by a destructor");
		check(talloc_free(cell) == -1 && talloc_total_blocks(cell) > 0);
		check(talloc_free(p) == 0);
		return 0;
	case CALM:
		break;
	}
	return 0;
}

/* A node or, now and then, a place. */
static void *draw_parent(struct world *w, enum side side, unsigned drawn)
{
	struct cell *node = w->node[side][drawn % NODES];

	return node != NULL && drawn / NODES % 3 ? (void *)node : w->place[side][drawn % PLACES];
}

static void make(struct world *w, int i)
{
	unsigned parent = draw(w, 1000000), what = draw(w, 8), more = draw(w, what ? 200 : 9000);
	enum temper temper = draw(w, 3) ? CALM : (enum temper)draw(w, BUSY + 1);
	bool destructs = temper != CALM || draw(w, 4) == 0;
	int to = (int)draw(w, PLACES);

	for (int side = 0; side < SIDES; side++) {
		size_t size = sizeof(struct cell) + more;
		void *below = draw_parent(w, (enum side)side, parent);
		struct cell *cell = (struct cell *)(what == 1 ? talloc_zero_size(below, size)
							      : talloc_size(below, size));

		check(cell != NULL);
		*cell = (struct cell){ w, (enum side)side, temper, to };
		if (what == 2) {
			talloc_set_name(cell, "%u", parent);
		}
		if (destructs) {
			talloc_set_destructor(cell, destructor);
		}
		w->node[side][i] = cell;
	}
}

static void change(struct world *w, int i)
{
	unsigned act = draw(w, 13), drawn = draw(w, 1000000), other = draw(w, 1000000);
	long answer[SIDES] = { 0 };

	for (int side = 0; side < SIDES; side++) {
		struct cell *cell = w->node[side][i];
		void *parent = draw_parent(w, (enum side)side, drawn);
		void *old = draw_parent(w, (enum side)side, other);
		int above = number(w, (enum side)side, parent);

		switch (act) {
		case 0:
		case 1:
			answer[side] = talloc_free(cell);
			break;
		case 2:
			answer[side] = talloc_unlink(talloc_parent(cell), cell);
			break;
		case 3:
			answer[side] = talloc_unlink(parent, cell);
			break;
		case 4:
		case 5:
			answer[side] = talloc_steal(parent, cell) == cell;
			break;
		case 6:
			answer[side] = talloc_reparent(old, parent, cell) == cell;
			break;
		case 7:
		case 8:
			answer[side] = talloc_reference(parent, cell) == cell;
			break;
		case 9: {
			size_t size = sizeof(*cell) + other % (other % 8 ? 400 : 20000);
			void *now = talloc_realloc_size(NULL, cell, size);

			answer[side] = now != NULL;
			if (now != NULL) {
				/* Whether it keeps its name hangs on where there was room. */
				talloc_set_name_const(now, "resized");
			}
			w->node[side][i] = now != NULL ? (struct cell *)now : cell;
			break;
		}
		case 10:
			talloc_free_children(cell);
			break;
		case 11:
			talloc_set_name(cell, "%u", other);
			break;
		case 12:
			answer[side] = talloc_is_parent(cell, parent) + 2 * (above >= 0);
			break;
		}
	}
	check(answer[REAL] == answer[MODEL]);
}

static void *work(void *argument)
{
	long me = (long)argument;

	for (int round = 0; round < rounds; round++) {
		struct world *w = &worlds[(me + round) % THREADS];

		for (int step = 0; step < STEPS; step++) {
			int i = (int)draw(w, NODES);

			if (w->node[REAL][i] == NULL) {
				make(w, i);
			} else {
				change(w, i);
				bury(w);
			}
			if (draw(w, 4) == 0) {
				compare_place(w, (int)draw(w, PLACES));
			}
		}
		pthread_barrier_wait(&line);
		for (int i = 0; i < NODES; i++) {
			if (w->node[REAL][i] != NULL) {
				compare_node(w, i);
			}
		}
		for (int p = 0; p < PLACES; p++) {
			compare_place(w, p);
		}
		pthread_barrier_wait(&line);
	}
	return NULL;
}

static void run(unsigned seed, bool pools)
{
	void *shared[SHARED];
	pthread_t threads[THREADS];

	for (int p = 0; p < SHARED; p++) {
		shared[p] = pools ? tm_shared_pool(NULL, 4000) : tm_shared_context(NULL, "shared");
	}
	memset(worlds, 0, sizeof(worlds));
	for (int t = 0; t < THREADS; t++) {
		struct world *w = &worlds[t];

		w->seed = seed * 1000 + (unsigned)t;
		for (int p = 0; p < PLACES; p++) {
			w->place[REAL][p] = p < SHARED ? shared[p] : talloc_new(NULL);
			w->place[MODEL][p] = p < SHARED && pools ? talloc_pool(NULL, 4000)
								 : talloc_new(NULL);
		}
	}
	for (long t = 0; t < THREADS; t++) {
		check(pthread_create(&threads[t], NULL, work, (void *)t) == 0);
	}
	for (int t = 0; t < THREADS; t++) {
		check(pthread_join(threads[t], NULL) == 0);
	}
	/* What refuses once, moves to another place; then all are calm. */
	for (int again = 0; again < 4; again++) {
		for (int t = 0; t < THREADS; t++) {
			for (int p = 0; p < PLACES; p++) {
				for (int side = 0; side < SIDES; side++) {
					talloc_free_children(worlds[t].place[side][p]);
				}
			}
		}
	}
	for (int t = 0; t < THREADS; t++) {
		for (int p = 0; p < PLACES; p++) {
			check(talloc_total_blocks(worlds[t].place[MODEL][p]) == 1);
			check(talloc_free(worlds[t].place[MODEL][p]) == 0);
			check(talloc_total_blocks(worlds[t].place[REAL][p]) == 1);
			if (p == SHARED) {
				check(talloc_free(worlds[t].place[REAL][p]) == 0);
			}
		}
	}
	for (int p = 0; p < SHARED; p++) {
		check(talloc_free(shared[p]) == 0);
	}
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;

	if (argc > 1) {
		rounds = atoi(argv[1]);
	}
	catch_faults();
	alarm(300);
	check(pthread_barrier_init(&line, NULL, THREADS) == 0);
	puts("contexts");
	run(seed, false);
	puts("pools");
	run(seed + 1, true);
	expect_no_fault();
	return 0;
}
