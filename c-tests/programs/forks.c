/* Fork: both processes go on with the trees that were there. */
#include "check.h"

#include <pthread.h>

static char *root, *pool, *deep;

static int say(char *p)
{
	printf("destructor of %s\n", who(p));
	return 0;
}

static void use_inherited(void)
{
	int i;

	report(root);
	for (i = 0; i < 1000; i++) {
		check(talloc_zero_size(deep, 100) != NULL);
	}
	show(talloc_total_blocks(root));
	show(talloc_free(pool));
	root = (char *)_talloc_realloc(NULL, root, 10000, "root grown");
	puts(who(root));
	show(talloc_free(root));
}

static void free_inherited(void)
{
	show(talloc_free(root));
	root = node(NULL, "another");
	show(talloc_total_blocks(root));
}

static void fork_again(void)
{
	in_child("a child's child", use_inherited);
	show(talloc_total_blocks(root));
}

static void *use_in_thread(void *unused)
{
	use_inherited();
	return unused;
}

static void thread_in_child(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, use_in_thread, NULL) == 0);
	check(pthread_join(thread, NULL) == 0);
}

static void exit_normally(void)
{
	fflush(stdout);
	exit(0);
}

int main(void)
{
	int i;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");
	pool = (char *)talloc_pool(root, 4000);
	talloc_set_destructor(node(pool, "member"), say);
	deep = node(node(node(root, "a"), "b"), "c");
	talloc_reference(pool, deep);

	in_child("uses what it inherited", use_inherited);
	in_child("frees what it inherited", free_inherited);
	in_child("forks again", fork_again);
	in_child("with a thread", thread_in_child);
	in_child("exits normally", exit_normally);

	section("the parent goes on");
	show(talloc_total_blocks(root));
	for (i = 0; i < 1000; i++) {
		talloc_free(talloc_zero_size(deep, 100));
	}
	use_inherited();
	return 0;
}
