/*
 * Shared contexts: several threads do anything at once below two or three of them: allocate,
 * free, change sizes and names, steal within, between and out, refer, report, fork; and
 * destructors that do the same. Nothing is lost, nothing is freed twice, nothing waits for ever.
 *
 * Each thread keeps its own objects, so that it knows what must hold of them whatever the
 * others do: who their parent is, what is written in them, how many there are.
 */
#include "ours.h"

#include <pthread.h>
#include <tmempool.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { THREADS = 4, CONTEXTS = 3, OBJECTS = 48 };

static void *contexts[CONTEXTS];
static FILE *null;
static int rounds = 15000;
static int destroyed;

struct object {
	char *p;
	size_t size;
	unsigned char mark;
	/* Which context it hangs below; CONTEXTS for the thread's own tree. */
	int home;
	bool destructor;
	bool is_referenced;
};

struct worker {
	unsigned seed;
	int number;
	struct object objects[OBJECTS];
	/* What the objects hang below: a context in each shared one, and one that is not shared. */
	void *below[CONTEXTS + 1];
	/* What refers to the objects. */
	void *holder;
	int destructors;
};

static unsigned draw(struct worker *w, unsigned below)
{
	w->seed = w->seed * 1103515245 + 12345;
	return (w->seed >> 8) % below;
}

/* A destructor that allocates, frees, steals and reports in the context that it runs in. */
static int busy_destructor(char *p)
{
	void *parent = talloc_parent(p);
	char *a, *b;

	check(parent != NULL);
	a = talloc_strdup(parent, "made by a destructor");
	b = (char *)talloc_size(a, 100);
	check(a != NULL && b != NULL);
	talloc_steal(parent, b);
	check(talloc_free(p) == -1);
	check(talloc_free(a) == 0);
	check(talloc_free(b) == 0);
	(void)talloc_total_size(p);
	__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	return 0;
}

static void fill(struct object *o)
{
	memset(o->p, o->mark, o->size);
}

static void verify(struct worker *w, struct object *o)
{
	size_t i;

	check(talloc_get_size(o->p) == o->size);
	for (i = 0; i < o->size; i += 61) {
		check((unsigned char)o->p[i] == o->mark);
	}
	check(talloc_parent(o->p) == w->below[o->home]);
	check(talloc_reference_count(o->p) == (o->is_referenced ? 1 : 0));
}

static void make(struct worker *w, struct object *o)
{
	void *parent;

	o->home = (int)draw(w, CONTEXTS + 1);
	parent = w->below[o->home];
	o->size = draw(w, 8) == 0 ? draw(w, 9000) : draw(w, 300);
	o->mark = (unsigned char)draw(w, 256);
	o->is_referenced = false;
	o->destructor = draw(w, 4) == 0;
	o->p = draw(w, 2) ? (char *)talloc_named(parent, o->size, "object %d", w->number)
			  : (char *)talloc_size(parent, o->size);
	check(o->p != NULL);
	if (o->destructor) {
		talloc_set_destructor(o->p, busy_destructor);
		w->destructors++;
	}
	if (draw(w, 3) == 0) {
		/* A tree below it. */
		char *child = talloc_asprintf(o->p, "child of %p", (void *)o->p);

		check(child != NULL && talloc_strdup(child, "grandchild") != NULL);
	}
	fill(o);
}

static void drop(struct worker *w, struct object *o)
{
	verify(w, o);
	if (o->is_referenced) {
		check(talloc_unlink(w->holder, o->p) == 0);
	}
	if (draw(w, 2)) {
		check(talloc_free(o->p) == 0);
	} else {
		check(talloc_unlink(w->below[o->home], o->p) == 0);
	}
	o->p = NULL;
}

static void step(struct worker *w)
{
	struct object *o = &w->objects[draw(w, OBJECTS)];

	if (o->p == NULL) {
		make(w, o);
		return;
	}
	switch (draw(w, 10)) {
	case 0:
	case 1:
		drop(w, o);
		break;
	case 2: /* to somewhere else */
		o->home = (int)draw(w, CONTEXTS + 1);
		check(talloc_steal(w->below[o->home], o->p) == o->p);
		verify(w, o);
		break;
	case 3:
		if (!o->is_referenced) {
			size_t size = 1 + draw(w, draw(w, 10) == 0 ? 200000 : 2000);
			size_t kept = size < o->size ? size : o->size, i;

			o->p = (char *)talloc_realloc_size(w->below[o->home], o->p, size);
			check(o->p != NULL);
			for (i = 0; i < kept; i += 61) {
				check((unsigned char)o->p[i] == o->mark);
			}
			o->size = size;
			fill(o);
		}
		break;
	case 4:
		if (!o->is_referenced) {
			check(talloc_reference(w->holder, o->p) == o->p);
			o->is_referenced = true;
		} else {
			check(talloc_unlink(w->holder, o->p) == 0);
			o->is_referenced = false;
		}
		break;
	case 5:
		talloc_set_name_const(o->p, "a new name");
		check(strcmp(talloc_get_name(o->p), "a new name") == 0);
		check(talloc_check_name(o->p, "a new name") == o->p);
		check(talloc_check_name(o->p, NULL) == NULL);
		talloc_set_name_const(o->p, NULL);
		check(talloc_check_name(o->p, NULL) == NULL);
		break;
	case 6:
		check(talloc_strdup(o->p, "below") != NULL);
		check(talloc_total_blocks(o->p) >= 2);
		if (draw(w, 4) == 0) {
			talloc_free_children(o->p);
			check(talloc_total_blocks(o->p) <= 2);
		}
		break;
	case 7:
		if (draw(w, 20) == 0) {
			void *context = contexts[draw(w, CONTEXTS)];

			talloc_report_full(context, null);
			check(talloc_total_blocks(context) > 0);
		}
		check(talloc_total_size(w->below[o->home]) >= o->size);
		break;
	case 8: /* a pool, used and freed */
	{
		char *pool = (char *)talloc_pool(w->below[draw(w, CONTEXTS)], 2000);
		char *in = (char *)talloc_size(pool, 100), *out = (char *)talloc_size(in, 3000);
		struct object *other = &w->objects[draw(w, OBJECTS)];

		check(in != NULL && out != NULL);
		if (other->p != NULL && !other->is_referenced) {
			check(talloc_steal(in, other->p) == other->p);
			check(talloc_steal(w->below[other->home], other->p) == other->p);
		}
		check(talloc_steal(w->below[CONTEXTS], in) == in);
		check(talloc_size(in, 200) != NULL);
		check(talloc_free(pool) == 0);
		check(talloc_free(in) == 0);
		break;
	}
	case 9:
		verify(w, o);
		check(talloc_is_parent(o->p, w->below[o->home]));
		check(o->home == CONTEXTS || talloc_is_parent(o->p, contexts[o->home]));
		break;
	}
}

static void *work(void *argument)
{
	struct worker *w = (struct worker *)argument;
	int i;

	for (i = 0; i < CONTEXTS; i++) {
		w->below[i] = talloc_named(contexts[i], 0, "thread %d", w->number);
	}
	w->below[CONTEXTS] = talloc_named(NULL, 0, "thread %d", w->number);
	w->holder = talloc_named(contexts[w->number % CONTEXTS], 0, "holder of %d", w->number);
	for (i = 0; i < rounds; i++) {
		step(w);
	}
	for (i = 0; i < OBJECTS; i++) {
		if (w->objects[i].p != NULL && (i % 2 == 0 || w->objects[i].is_referenced)) {
			drop(w, &w->objects[i]);
		}
	}
	/* The rest goes with what it hangs below. */
	for (i = 0; i <= CONTEXTS; i++) {
		check(talloc_free(w->below[i]) == 0);
	}
	check(talloc_free(w->holder) == 0);
	return NULL;
}

static void run(unsigned seed)
{
	static struct worker workers[THREADS];
	pthread_t threads[THREADS];
	int i, made = 0;

	memset(workers, 0, sizeof(workers));
	destroyed = 0;
	for (i = 0; i < THREADS; i++) {
		workers[i].seed = seed * 1000 + (unsigned)i;
		workers[i].number = i;
		check(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
		made += workers[i].destructors;
	}
	/* Each destructor ran once. */
	check(destroyed == made);
	for (i = 0; i < CONTEXTS; i++) {
		check(talloc_total_blocks(contexts[i]) == 1);
	}
}

static void make_contexts(void *parent, bool pools)
{
	int i;

	for (i = 0; i < CONTEXTS; i++) {
		contexts[i] = pools ? tm_shared_pool(parent, 100000)
				    : tm_shared_context(parent, "shared");
		check(contexts[i] != NULL);
	}
}

static void free_contexts(void)
{
	int i;

	for (i = 0; i < CONTEXTS; i++) {
		check(talloc_free(contexts[i]) == 0);
	}
}

int main(int argc, char **argv)
{
	void *parent;
	unsigned seed = 1;

	if (argc > 1) {
		rounds = atoi(argv[1]);
	}
	if (argc > 2) {
		seed = (unsigned)atoi(argv[2]);
	}
	catch_faults();
	alarm(300);
	null = fopen("/dev/null", "w");
	check(null != NULL);

	puts("contexts without a parent");
	make_contexts(NULL, false);
	run(seed);
	free_contexts();

	puts("pools below a context");
	parent = talloc_new(NULL);
	make_contexts(parent, true);
	run(seed + 1);
	check(talloc_total_blocks(parent) == 1 + CONTEXTS);
	/* Freed with the parent, from outside. */
	check(talloc_free(parent) == 0);

	puts("with null tracking");
	talloc_enable_null_tracking();
	make_contexts(NULL, false);
	run(seed + 2);
	free_contexts();
	check(talloc_total_blocks(NULL) == 1);
	talloc_disable_null_tracking();

	expect_no_fault();
	return 0;
}
