/*
 * The child of a fork uses a pool that another thread was cutting bare bytes from: that thread is not there any more, and has
 * left the pool in the middle of it.
 */
#include "pools.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 150, CUTS = 400000, ROOM = CUTS * 16 + 4096 };

static char *pool;
/* The thread cuts, and does nothing else to the pool. */
static int cuts, stop;

static void *cut(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&cuts, 1, __ATOMIC_RELEASE);
		for (int i = 0; i < CUTS; i++) {
			check(tm_palloc(pool, 16) != NULL);
		}
		__atomic_store_n(&cuts, 0, __ATOMIC_RELEASE);
		check(tm_reset(pool) == 0);
	}
	return unused;
}

static void child(void)
{
	alarm(60);
	if (!__atomic_load_n(&cuts, __ATOMIC_ACQUIRE)) {
		_exit(1);
	}
	char *bytes = tm_palloc(pool, 100), *member = talloc_size(pool, 1000);

	check(bytes != NULL && member != NULL);
	memset(bytes, 1, 100);
	memset(member, 2, 1000);
	check(bytes[0] == 1 && bytes[99] == 1 && talloc_get_size(member) == 1000);
	check(tm_reset(pool) == 0);
	check(tm_palloc(pool, 5000) != NULL && tm_palloc(pool, 16) != NULL);
	check(talloc_free(pool) == 0);
	_exit(0);
}

int main(void)
{
	pthread_t thread;
	int in_the_middle = 0;

	pool = tm_pool_growable(NULL, ROOM, 0);
	/* So that there is a window from the first cut on. */
	check(tm_palloc(pool, 16) != NULL && tm_reset(pool) == 0);
	check(pthread_create(&thread, NULL, cut, NULL) == 0);
	for (int i = 0; i < FORKS; i++) {
		int status;

		while (!__atomic_load_n(&cuts, __ATOMIC_ACQUIRE)) {
			sched_yield();
		}
		pid_t pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			child();
		}
		check(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		in_the_middle += WEXITSTATUS(status) == 0;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	check(pthread_join(thread, NULL) == 0);
	check(talloc_free(pool) == 0);
	printf("%d of %d forks in the middle of cuts\n", in_the_middle, FORKS);
	check(in_the_middle > FORKS / 10);
	return 0;
}
