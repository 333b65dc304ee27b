/*
 * Handles from C: numbers that stand for chunks and say when those are gone, a watcher that
 * refuses, and threads that use one tree by its handles alone.
 */
#include "pools.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

enum { ROUNDS = 2000, SESSIONS = 64 };

static void ends_with_its_chunk(void)
{
	tm_handle server = tm_handle_new(0, 0, "server");
	tm_handle session = tm_handle_new(server, 32, "session");
	const char *name = NULL, *location = NULL;

	check(session != 0 && tm_handle_get(session) != NULL);
	check(talloc_parent(tm_handle_get(session)) == tm_handle_get(server));
	check(strcmp(talloc_get_name(tm_handle_get(session)), "session") == 0);
	check(tm_handle_find(tm_handle_get(session)) == session);
	check(tm_handle_ended(session, NULL, NULL) == 0);
	check(tm_handle_free(server, __location__) == 0);
	check(tm_handle_get(session) == NULL && errno == ESTALE);
	check(tm_handle_ended(session, &name, &location) == 1);
	check(strcmp(name, "session") == 0 && strstr(location, "handles.c:") != NULL);
	check(tm_handle_free(session, NULL) == -1 && errno == ESTALE);
	check(tm_handle_new(session, 1, NULL) == 0 && errno == ESTALE);
	check(tm_handle_get(0) == NULL && tm_handle_get(~(tm_handle)0) == NULL);
}

static void of_what_there_is(void)
{
	char *root = (char *)talloc_strdup(NULL, "root");
	tm_handle handle = tm_handle_of(root, NULL);

	check(handle != 0 && tm_handle_of(root, "other") == handle && tm_handle_get(handle) == root);
	check(talloc_realloc_size(NULL, root, 4096) == NULL);
	check(tm_handle_copy(handle, "abc", 4, "copy") != 0);
	check(talloc_total_blocks(root) == 2);
	check(tm_handle_reset(handle, NULL) == 0 && talloc_total_blocks(root) == 1);
	talloc_free(root);
	check(tm_handle_ended(handle, NULL, NULL) == 1);
}

static tm_handle refused;

static int refuse(tm_handle handle)
{
	return handle != refused;
}

static void watched(void)
{
	tm_handle handle = tm_handle_new(0, 8, "watched");

	tm_handle_set_watcher(refuse);
	check(tm_handle_watch(handle, 1) == 0);
	refused = handle;
	check(tm_handle_free(handle, NULL) == -1 && errno == EPERM);
	refused = 0;
	check(tm_handle_free(handle, NULL) == 0);
	tm_handle_set_watcher(NULL);
}

static tm_handle server, sessions[SESSIONS];

static void *serve(void *argument)
{
	unsigned dice = *(unsigned *)argument;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		size_t at = (dice = dice * 1103515245u + 12345u) / 65536 % SESSIONS;
		tm_handle session, request;

		tm_handle_lock();
		session = sessions[at];
		request = session ? tm_handle_new(session, 40, "request") : 0;
		if (request == 0) {
			sessions[at] = tm_handle_new(server, 16, "session");
		} else if (dice % 7 == 0) {
			check(tm_handle_free(session, __location__) == 0);
			check(tm_handle_get(request) == NULL);
		}
		check(tm_handle_unlock() == 0);
		if (dice % 3 == 0) {
			tm_handle_free(request, __location__);
		}
	}
	return NULL;
}

static void from_many_threads(void)
{
	pthread_t threads[3];
	unsigned seeds[3] = { 1, 2, 3 };
	int i;

	server = tm_handle_new(0, 0, "server");
	for (i = 0; i < 3; i++) {
		check(pthread_create(&threads[i], NULL, serve, &seeds[i]) == 0);
	}
	for (i = 0; i < 3; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	check(tm_handle_roots(NULL, 0) == 1);
	check(tm_handle_free(server, __location__) == 0);
	check(tm_handle_roots(NULL, 0) == 0);
	check(tm_handle_unlock() == -1 && errno == EPERM);
}

int main(void)
{
	ends_with_its_chunk();
	of_what_there_is();
	watched();
	from_many_threads();
	return 0;
}
