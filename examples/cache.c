/*
 * A constructor cache: sessions that are made ready once and used again and again.
 *
 * Each session has a lock and a buffer of its own, which its constructor makes and its destructor takes down.
 * The first clients pay for that; those after them get a session that is ready. Who frees a session leaves it
 * as the constructor did: the lock free, the buffer empty.
 *
 * The kernel's kmem_cache, in user space. When the service is freed, the cache goes with it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tmempool.h>

enum { BUFFER = 256, CLIENTS = 1000 };

struct session {
	pthread_mutex_t lock;
	unsigned client;
	char *buffer;
};

static unsigned constructed, destructed;

static void session_construct(void *obj)
{
	struct session *session = obj;

	pthread_mutex_init(&session->lock, NULL);
	session->client = 0;
	session->buffer = tm_kmalloc(BUFFER);
	constructed++;
}

static void session_destruct(void *obj)
{
	struct session *session = obj;

	tm_kfree(session->buffer);
	pthread_mutex_destroy(&session->lock);
	destructed++;
}

/* One client comes, is served, and goes. */
static void serve(tm_cache *sessions, unsigned client)
{
	struct session *session = tm_cache_alloc(sessions);

	if (session == NULL || session->buffer == NULL) {
		perror("tm_cache_alloc");
		exit(EXIT_FAILURE);
	}
	pthread_mutex_lock(&session->lock);
	session->client = client;
	snprintf(session->buffer, BUFFER, "client %u", client);
	pthread_mutex_unlock(&session->lock);

	/* As the next one is to find it. */
	session->client = 0;
	tm_cache_free(sessions, session);
}

/* Log messages are a part of the story here. */
static void print(const char *message)
{
	fputs(message, stdout);
}

static void tell(const char *when, tm_cache *sessions)
{
	struct tm_cache_stats stats;

	tm_cache_stats(sessions, &stats);
	printf("%-28s %3zu in use, %3zu allocations, %3u constructed, %3u destructed\n", when,
	       stats.active, stats.allocations, constructed, destructed);
}

int main(void)
{
	void *service = talloc_named_const(NULL, 0, "service");
	tm_cache *sessions;
	struct session *late;
	unsigned client;

	talloc_set_log_fn(print);
	sessions = tm_cache_create(service, "session", sizeof(struct session), 0, TM_CACHE_HWALIGN,
				   session_construct, session_destruct);
	if (sessions == NULL) {
		perror("tm_cache_create");
		return EXIT_FAILURE;
	}
	for (client = 1; client <= CLIENTS; client++) {
		serve(sessions, client);
	}
	tell("after a thousand clients:", sessions);

	late = tm_cache_alloc(sessions);
	tell("one stays on the line:", sessions);
	printf("\nWhoever destroys the cache now is told that this cannot be:\n");
	if (tm_cache_destroy(sessions) != -1) {
		return EXIT_FAILURE;
	}
	tm_cache_free(sessions, late);
	printf("\nSo is whoever frees a session twice:\n");
	tm_cache_free(sessions, late);

	printf("\nAll caches, as in /proc/slabinfo:\n");
	tm_slabinfo(stdout);

	printf("\n%zu bytes go back to the system.\n", tm_cache_shrink(sessions));
	tell("after the shrink:", sessions);
	talloc_free(service);
	return constructed == destructed ? EXIT_SUCCESS : EXIT_FAILURE;
}
