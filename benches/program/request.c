/*
 * A request: what a daemon does to answer one, about 200 allocations of mixed
 * kind (objects, strings, formatted text, a growing array), and one free.
 *
 * Steps run alone, overlapping with other requests, or inside a pool. The bare
 * variant keeps a list of what it has to free, as a program without contexts
 * must. `frame` is the smallest request: a context and five objects.
 */
#include "bench.h"

#include <stdio.h>

enum { STEPS = 200, STEP_KINDS = 10, POOL_SIZE = 64 * 1024 };

struct request {
	void *context;
	unsigned step;
	size_t items;
	uint32_t *item; /* the growing array */
	size_t owned;   /* bare: what to free besides `item` */
	void *own[STEPS];
};

static const char *const headers[] = {
	"Accept: text/html", "Host: www.example.org", "User-Agent: bench",
	"Cookie: session=0123456789abcdef0123456789abcdef", "If-None-Match: *",
};

static const char body[640] = "a body that is copied";

ALWAYS_INLINE void remember(enum via via, struct request *request, void *object)
{
	if (via == BARE) {
		request->own[request->owned++] = object;
	}
}

/* Neither side may count on a compiler that sees through `strdup`. */
ALWAYS_INLINE void copy_header(enum via via, struct request *request, const char *header)
{
	char *copy = via == TALLOC ? talloc_strdup(request->context, header) : strdup(header);
	check(copy != NULL, "request: strdup");
	remember(via, request, copy);
}

ALWAYS_INLINE void format_line(enum via via, struct request *request)
{
	char *line = NULL;

	if (via == TALLOC) {
		line = talloc_asprintf(request->context, "step %u: %s", request->step, "accepted");
	} else if (asprintf(&line, "step %u: %s", request->step, "accepted") < 0) {
		line = NULL;
	}
	check(line != NULL, "request: asprintf");
	remember(via, request, line);
}

ALWAYS_INLINE void append_item(enum via via, struct request *request)
{
	size_t count = request->items + 1;

	request->item = via == TALLOC
		? talloc_realloc(request->context, request->item, uint32_t, count)
		: realloc(request->item, count * sizeof(uint32_t));
	check(request->item != NULL, "request: realloc");
	request->item[request->items] = (uint32_t)request->items;
	request->items = count;
}

ALWAYS_INLINE void copy_body(enum via via, struct request *request, size_t size)
{
	void *copy;

	if (via == TALLOC) {
		copy = talloc_memdup(request->context, body, size);
	} else if ((copy = malloc(size)) != NULL) {
		memcpy(copy, body, size);
	}
	check(copy != NULL, "request: memdup");
	remember(via, request, copy);
}

ALWAYS_INLINE void step(enum via via, struct request *request)
{
	unsigned at = request->step++;
	size_t size = small_size(at);
	void *object;

	switch (at % STEP_KINDS) {
	case 0: case 1: case 2: case 3: case 4:
		object = object_new(via, request->context, size);
		stamp(object, size, at);
		remember(via, request, object);
		break;
	case 5: case 6:
		copy_header(via, request, headers[at % COUNT_OF(headers)]);
		break;
	case 7:
		format_line(via, request);
		break;
	case 8:
		append_item(via, request);
		break;
	case 9:
		copy_body(via, request, 64 + at % 512);
		break;
	}
}

ALWAYS_INLINE void begin(enum via via, struct request *request, bool pool)
{
	request->step = 0;
	request->items = 0;
	request->item = NULL;
	request->owned = 0;
	request->context = NULL;
	if (via == TALLOC) {
		request->context = pool ? talloc_pool(NULL, POOL_SIZE) : talloc_new(NULL);
	}
}

ALWAYS_INLINE void finish(struct pass *pass, enum via via, struct request *request)
{
	check(request->items == STEPS / STEP_KINDS &&
	      request->item[request->items - 1] == request->items - 1, "request: contents");
	if (via == TALLOC) {
		check(!pass->verify || talloc_total_blocks(request->context) ==
		      2 + STEPS - STEPS / STEP_KINDS, "request: blocks");
		expect_death(pass, request->context);
		check(talloc_free(request->context) == 0, "request: free");
	} else {
		while (request->owned > 0) {
			free(request->own[--request->owned]);
		}
		free(request->item);
	}
}

/* `pass->size` requests in flight, a random one goes a step. */
ALWAYS_INLINE void requests(struct pass *pass, enum via via, bool pool)
{
	enum { REQUESTS = 500 };
	size_t flight = pass->size, finished = 0;
	struct request *request = calloc(flight, sizeof(*request));
	uint64_t random = RANDOM_SEED;

	clock_start(pass);
	for (size_t i = 0; i < flight; i++) {
		begin(via, &request[i], pool);
	}
	while (finished < REQUESTS) {
		struct request *chosen = &request[flight == 1 ? 0 : random_below(&random, flight)];
		step(via, chosen);
		if (chosen->step == STEPS) {
			finish(pass, via, chosen);
			begin(via, chosen, pool);
			finished++;
		}
	}
	clock_stop(pass, REQUESTS);
	for (size_t i = 0; i < flight; i++) {
		while (request[i].step < STEPS) {
			step(via, &request[i]);
		}
		finish(pass, via, &request[i]);
	}
	free(request);
}

ALWAYS_INLINE void frame(struct pass *pass, enum via via)
{
	enum { FRAMES = 20000, OBJECTS = 5 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	void *object[OBJECTS];
	uint64_t sum = 0;

	clock_start(pass);
	for (size_t i = 0; i < FRAMES; i++) {
		void *context = via == TALLOC ? talloc_new(parent) : malloc(1);
		for (size_t o = 0; o < OBJECTS; o++) {
			size_t size = small_size(i + o);
			object[o] = object_new(via, context, size);
			stamp(object[o], size, o);
		}
		sum += stamp_of(object[OBJECTS - 1]);
		if (via == TALLOC) {
			talloc_free(context);
		} else {
			for (size_t o = 0; o < OBJECTS; o++) {
				free(object[o]);
			}
			free(context);
		}
	}
	clock_stop(pass, FRAMES);
	check(sum == (uint64_t)FRAMES * (OBJECTS - 1), "frame: contents");
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == 1, "frame: blocks left");
		talloc_free(parent);
	}
}

/*
 * An asynchronous call, as programs on an event loop make them by the thousand:
 * a pooled object with a destructor, what it has for itself, a trigger, room for
 * scratch, and the call that it waits for below that. Types are checked at each
 * turn, the result goes up from call to call, and each call is taken apart when
 * it is done.
 */
enum { CALLS_DEEP = 4 };

struct trigger {
	char unused[112];
};

struct call {
	struct state *state;
	struct trigger *trigger;
	uint64_t *deaths;
};

struct state {
	struct call *below;
	char *result;
	void *scratch;
	char unused[64];
};

static int call_gone(struct call *call)
{
	++*call->deaths;
	return 0;
}

ALWAYS_INLINE struct call *call_begin(enum via via, const void *parent, uint64_t *deaths)
{
	struct call *call;

	if (via == TALLOC) {
		call = talloc_pooled_object(parent, struct call, 2,
					    sizeof(struct state) + sizeof(struct trigger));
		call->state = talloc_zero_size(call, sizeof(struct state));
		talloc_set_name_const(call->state, "struct state");
		call->trigger = talloc_zero(call, struct trigger);
		talloc_set_destructor(call, call_gone);
		call->state->scratch = talloc_new(call->state);
	} else {
		call = malloc(sizeof(*call));
		call->state = calloc(1, sizeof(struct state));
		call->trigger = calloc(1, sizeof(struct trigger));
		call->state->scratch = malloc(1);
	}
	call->deaths = deaths;
	return call;
}

/* The call is done: its result goes to `up`, and it is taken apart. */
ALWAYS_INLINE char *call_end(enum via via, struct call *call, const void *up)
{
	struct state *state = call->state;
	char *result = state->result;

	if (via == TALLOC) {
		call = talloc_get_type_abort(call, struct call);
		state = talloc_get_type_abort(call->state, struct state);
		result = talloc_move(up, &state->result);
		check(talloc_get_type_abort(call->state, struct state) == state, "call: type");
		check(talloc_parent(state) == call, "call: parent");
		talloc_free(call->state);
		talloc_free(call->trigger);
		check(talloc_free(call) == 0, "call: free");
	} else {
		free(state->scratch);
		free(call->state);
		free(call->trigger);
		call_gone(call);
		free(call);
	}
	return result;
}

ALWAYS_INLINE void calls(struct pass *pass, enum via via)
{
	enum { ROUNDS = 5000 };
	void *context = via == TALLOC ? talloc_new(NULL) : NULL;
	uint64_t deaths = 0, length = 0;

	clock_start(pass);
	for (size_t i = 0; i < ROUNDS; i++) {
		void *frame = via == TALLOC ? talloc_new(context) : malloc(1);
		struct call *call[CALLS_DEEP];
		char *result;

		for (size_t deep = 0; deep < CALLS_DEEP; deep++) {
			const void *parent = deep == 0 ? frame : call[deep - 1]->state;
			call[deep] = call_begin(via, parent, &deaths);
			if (deep > 0) {
				call[deep - 1]->state->below = call[deep];
			}
		}
		struct state *last = call[CALLS_DEEP - 1]->state;
		last->result = via == TALLOC ? talloc_strdup(last->scratch, headers[i % COUNT_OF(headers)])
					     : strdup(headers[i % COUNT_OF(headers)]);
		for (size_t deep = CALLS_DEEP; --deep > 0;) {
			struct state *above = call[deep - 1]->state;
			above->result = call_end(via, above->below, above->scratch);
		}
		result = call_end(via, call[0], frame);
		length += strlen(result);
		if (via == TALLOC) {
			talloc_free(frame);
		} else {
			free(result);
			free(frame);
		}
	}
	clock_stop(pass, ROUNDS * CALLS_DEEP);
	check(deaths == ROUNDS * CALLS_DEEP && length > ROUNDS * 15, "calls: contents");
	if (via == TALLOC) {
		check(talloc_total_blocks(context) == 1, "calls: blocks left");
		talloc_free(context);
	}
}

BOTH(alone, requests, false)
BOTH(calls, calls)
BOTH(pooled, requests, true)
BOTH(frame, frame)

const struct workload request_workloads[] = {
	{ "frame/five", "frame", 1, WARM, frame_talloc, frame_bare },
	{ "request/alone", "request", 1, WARM, alone_talloc, alone_bare },
	{ "request/overlapping", "request", 32, WARM, alone_talloc, alone_bare },
	{ "async/calls", "call", 1, WARM, calls_talloc, calls_bare },
	{ "request/pool", "request", 1, WARM, pooled_talloc, pooled_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
