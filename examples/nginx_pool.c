/*
 * A pool a request, as in nginx: small allocations come from blocks that double, large ones from the heap, and when
 * the request is done the pool is emptied in one step and used for the next, with the memory that it has.
 *
 * The pool counts what is allocated from it; a limit with a say lets a cache of pages give way to the requests.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tmempool.h>

enum { FIRST_BLOCK = 1024, LARGEST_BLOCK = 64 * 1024, REQUESTS = 5 };

static void *must(void *ptr)
{
	if (ptr == NULL) {
		perror("tmempool");
		exit(EXIT_FAILURE);
	}
	return ptr;
}

struct header {
	struct header *next;
	char *name;
	char *value;
};

struct request {
	char *path;
	struct header *headers;
	char *body;
};

static int closed;

/* What holds more than memory has a destructor: it runs when the pool is emptied. */
static int close_request(struct request *r)
{
	(void)r;
	closed++;
	return 0;
}

/*
 * Everything that a request needs, from its pool. Nothing of it is freed by itself. The request and its strings are
 * chunks, with names and a destructor; the headers are bare bytes, as in nginx, and cost no more than themselves.
 */
static struct request *serve(void *pool, int number)
{
	struct request *r = must(talloc_zero(pool, struct request));
	int i;

	talloc_set_destructor(r, close_request);
	r->path = must(talloc_asprintf(r, "/articles/%d", number));
	for (i = 0; i < 20 * number; i++) {
		struct header *h = must(tm_palloc(pool, sizeof(*h)));

		h->name = must(talloc_asprintf(r, "X-Header-%d", i));
		h->value = must(talloc_asprintf(r, "value %d of request %d", i, number));
		h->next = r->headers;
		r->headers = h;
	}
	/* Larger than what blocks are for: from the heap, and gone with the rest. */
	r->body = must(talloc_array(r, char, 100 * 1000));
	memset(r->body, 'x', 100 * 1000);
	return r;
}

static void tell(const char *what, const void *context)
{
	struct tm_stats s;

	if (tm_stats(context, &s) != 0) {
		exit(EXIT_FAILURE);
	}
	printf("%-22s %7zu bytes now, %7zu at most, %8zu in all; %4zu allocations, %4zu frees, %zu "
	       "refused\n",
	       what, s.current_allocated, s.peak_allocated, s.total_allocated, s.allocation_count,
	       s.free_count, s.failed_count);
}

/* Pages that are kept as long as nothing else needs the memory. */
struct cache {
	char *pages[4];
	int count;
};

/* The say of the limit: a page of the cache goes, and the allocation is tried again. */
static int give_way(void *server, size_t used, size_t wanted, size_t limit, void *data)
{
	struct cache *cache = data;

	(void)server;
	if (cache->count == 0) {
		return -1;
	}
	printf("%-22s %7zu bytes in use and %zu wanted, of %zu: a page of the cache goes\n", "",
	       used, wanted, limit);
	return talloc_free(cache->pages[--cache->count]);
}

int main(void)
{
	void *server = must(talloc_new(NULL));
	struct cache *cache;
	void *pool;
	int number;

	pool = must(tm_pool_growable(server, FIRST_BLOCK, LARGEST_BLOCK));
	talloc_set_name_const(pool, "request pool");
	/* Of what a busy hour has made it grow to, so much is kept. */
	tm_pool_set_keep(pool, 256 * 1024);
	if (tm_stats_enable(pool) != 0) {
		return EXIT_FAILURE;
	}

	puts("Five requests, one after the other, in the same memory:");
	for (number = 1; number <= REQUESTS; number++) {
		char what[32];
		struct request *r = serve(pool, number);

		if (r->headers == NULL || r->body[99999] != 'x') {
			return EXIT_FAILURE;
		}
		snprintf(what, sizeof(what), "request %d", number);
		tell(what, pool);
		if (tm_reset(pool) != 0) {
			return EXIT_FAILURE;
		}
	}
	tell("all served", pool);
	printf("%d requests were closed by their destructors\n", closed);
	if (closed != REQUESTS || talloc_total_blocks(pool) != 1) {
		return EXIT_FAILURE;
	}

	puts("\nThe server has 200,000 bytes, of which a cache has taken most:");
	cache = must(talloc_zero(server, struct cache));
	while (cache->count < 4) {
		cache->pages[cache->count++] = must(talloc_array(cache, char, 40 * 1000));
	}
	if (tm_limit(server, 0, 200 * 1000, give_way, cache) != 0) {
		return EXIT_FAILURE;
	}
	serve(pool, REQUESTS);
	tell("served all the same", pool);

	talloc_free(server);
	return EXIT_SUCCESS;
}
