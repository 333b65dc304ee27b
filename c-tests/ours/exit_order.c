/*
 * The end of a process: exit handlers, destructors of objects and threads that
 * still run, and frees in all of them.
 */
#include "ours.h"

#include <pthread.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static char *root;
static bool autofree_gone;

static int autofree_died(char *p)
{
	(void)p;
	autofree_gone = true;
	return 0;
}

static void before_autofree(void)
{
	check(!autofree_gone);
	check(talloc_free(node(root, "made in a handler")) == 0);
}

static void after_autofree(void)
{
	check(autofree_gone);
	check(talloc_total_blocks(root) == 1);
	check(talloc_free(root) == 0);
	root = node(NULL, "another");
	check(talloc_free(root) == 0);
	root = NULL;
}

static void *work(void *unused)
{
	for (;;) {
		char *p = node(NULL, "p");
		int i;

		for (i = 0; i < 10; i++) {
			check(talloc_size(p, i * 100) != NULL);
		}
		check(talloc_free(p) == 0);
	}
	return unused;
}

static void handlers(void)
{
	char *p;

	root = node(NULL, "root");
	atexit(after_autofree);
	p = node(talloc_autofree_context(), "p");
	talloc_set_destructor(p, autofree_died);
	atexit(before_autofree);
	exit(0);
}

static void running_threads(void)
{
	pthread_t thread;
	int i;

	for (i = 0; i < 4; i++) {
		check(pthread_create(&thread, NULL, work, NULL) == 0);
	}
	node(talloc_autofree_context(), "p");
	usleep(10000);
	exit(0);
}

static void *exit_here(void *unused)
{
	char *p = node(talloc_autofree_context(), "p");

	talloc_set_destructor(p, autofree_died);
	node(NULL, "of this thread");
	exit(0);
	return unused;
}

static void exit_in_thread(void)
{
	pthread_t thread;

	root = node(NULL, "root");
	check(pthread_create(&thread, NULL, exit_here, NULL) == 0);
	for (;;) {
		check(talloc_free(talloc_size(NULL, 100)) == 0);
	}
}

static void quick(void)
{
	node(talloc_autofree_context(), "p");
	quick_exit(0);
}

/* Runs after all exit handlers. */
__attribute__((destructor)) static void last(void)
{
	char *p = node(NULL, "p");

	check(talloc_free(node(p, "q")) == 0);
	check(talloc_free(p) == 0);
}

int main(void)
{
	int i;

	catch_faults();
	must_pass("handlers around autofree", handlers);
	for (i = 0; i < 10; i++) {
		must_pass("threads that still run", running_threads);
		must_pass("exit in a thread", exit_in_thread);
	}
	must_pass("quick_exit", quick);
	expect_no_fault();
	return 0;
}
