/* Threads: distinct trees at once, trees handed over, frees elsewhere. */
#include "check.h"

#include <pthread.h>

enum { THREADS = 8, ROUNDS = 200 };

/* Builds, checks and frees trees of its own. */
static void *own_trees(void *argument)
{
	long number = (long)argument;
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		char *root = talloc_asprintf(NULL, "thread %ld", number);
		char *pool = (char *)talloc_pool(root, 4000);
		char *p;

		for (i = 0; i < 50; i++) {
			p = talloc_asprintf(i % 2 ? root : pool, "%ld-%d-%d",
					    number, round, i);
			check(talloc_zero_array(p, char, i * 10) != NULL);
		}
		check(talloc_total_blocks(root) == 102);
		p = talloc_array(root, char, 10);
		memset(p, (int)number, 10);
		p = talloc_realloc(root, p, char, 3000);
		check(p[9] == (char)number);
		check(talloc_free(root) == 0);
	}
	return (void *)number;
}

/* Makes a tree for another thread to free. */
static void *make_tree(void *argument)
{
	char *root = talloc_asprintf(NULL, "made by %ld", (long)argument);
	int i;

	for (i = 0; i < 100; i++) {
		node(node(root, "child"), "grandchild");
	}
	return root;
}

static void *free_tree(void *root)
{
	check(talloc_total_blocks(root) == 201);
	check(talloc_free(root) == 0);
	return NULL;
}

/* One tree, passed on and grown by one thread after the other. */
static void *grow_tree(void *root)
{
	node(root, "one more");
	return root;
}

/* A queue of one place between a producer and a consumer. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char *message;

enum { MESSAGES = 5000 };

static void *producer(void *unused)
{
	int i;

	for (i = 0; i < MESSAGES; i++) {
		char *m = talloc_asprintf(NULL, "message %d", i);

		node(m, "attached");
		pthread_mutex_lock(&lock);
		while (message != NULL) {
			pthread_cond_wait(&changed, &lock);
		}
		message = m;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

static void *consumer(void *unused)
{
	char *all = node(NULL, "all");
	char expected[30], *m;
	int i;

	for (i = 0; i < MESSAGES; i++) {
		pthread_mutex_lock(&lock);
		while (message == NULL) {
			pthread_cond_wait(&changed, &lock);
		}
		m = message;
		message = NULL;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&lock);
		snprintf(expected, sizeof(expected), "message %d", i);
		check(strcmp(m, expected) == 0);
		if (i % 10 == 0) {
			talloc_steal(all, m);
		} else {
			check(talloc_free(m) == 0);
		}
	}
	check(talloc_total_blocks(all) == 1 + 2 * MESSAGES / 10);
	check(talloc_free(all) == 0);
	return unused;
}

int main(void)
{
	pthread_t threads[THREADS];
	void *results[THREADS], *root;
	long i;

	talloc_set_log_fn(log_line);

	section("distinct trees");
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, own_trees, (void *)i) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], &results[i]) == 0);
		printf("thread %ld is done\n", (long)results[i]);
	}

	section("made here, freed there");
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, make_tree, (void *)i) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], &results[i]) == 0);
		puts(who(results[i]));
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, free_tree,
				     results[THREADS - 1 - i]) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}

	section("one tree, through many threads");
	root = node(NULL, "root");
	for (i = 0; i < 100; i++) {
		check(pthread_create(&threads[0], NULL, grow_tree, root) == 0);
		check(pthread_join(threads[0], &root) == 0);
	}
	show(talloc_total_blocks(root));
	show(talloc_free(root));

	section("messages");
	check(pthread_create(&threads[0], NULL, producer, NULL) == 0);
	check(pthread_create(&threads[1], NULL, consumer, NULL) == 0);
	check(pthread_join(threads[0], NULL) == 0);
	check(pthread_join(threads[1], NULL) == 0);
	puts("all arrived");
	return 0;
}
