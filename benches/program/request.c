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

BOTH(alone, requests, false)
BOTH(pooled, requests, true)
BOTH(frame, frame)

const struct workload request_workloads[] = {
	{ "frame/five", "frame", 1, WARM, frame_talloc, frame_bare },
	{ "request/alone", "request", 1, WARM, alone_talloc, alone_bare },
	{ "request/overlapping", "request", 32, WARM, alone_talloc, alone_bare },
	{ "request/pool", "request", 1, WARM, pooled_talloc, pooled_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
