/*
 * A chain a million deep, and other shapes, in a thread with a stack of 64 KiB:
 * nothing recurses over what the user builds.
 */
#include "ours.h"

#include <pthread.h>

enum { DEPTH = 1000000 };

static long visits, deepest, deaths;

static void visit(const void *ptr, int depth, int max_depth, int is_ref, void *data)
{
	(void)ptr;
	(void)max_depth;
	(void)is_ref;
	(void)data;
	visits++;
	if (depth > deepest) {
		deepest = depth;
	}
}

static int count(char *p)
{
	(void)p;
	deaths++;
	return 0;
}

static int veto(char *p)
{
	(void)p;
	deaths++;
	return -1;
}

static char *chain(char *root, long depth, bool with_destructors)
{
	char *p = root;
	long i;

	for (i = 0; i < depth; i++) {
		p = node(p, "link");
		check(p != NULL);
		if (with_destructors) {
			talloc_set_destructor(p, count);
		}
	}
	return p;
}

static void *all(void *unused)
{
	FILE *null = fopen("/dev/null", "w");
	char *root, *last, *p, *q, *text = NULL;
	size_t length = 0;
	FILE *f;
	long i;

	puts("counted, reported, searched, freed");
	root = node(NULL, "root");
	last = chain(root, DEPTH, false);
	check(talloc_total_blocks(root) == DEPTH + 1);
	check(talloc_total_size(root) == DEPTH + 1);
	visits = deepest = 0;
	talloc_report_depth_cb(root, 0, -1, visit, NULL);
	check(visits == DEPTH + 1 && deepest == DEPTH);
	talloc_report_depth_file(root, 0, 1000, null);
	check(talloc_is_parent(last, root) == 1);
	check(talloc_find_parent_byname(last, "root") == root);
	check(talloc_find_parent_byname(last, "nobody") == NULL);
	talloc_show_parents(last, null);
	check(talloc_steal(last, root) == NULL);
	expect_no_fault();
	check(talloc_free(root) == 0);

	puts("with destructors");
	root = node(NULL, "root");
	chain(root, DEPTH, true);
	check(talloc_free(root) == 0);
	check(deaths == DEPTH);

	puts("the last one refuses, at each of the levels");
	root = node(NULL, "root");
	last = chain(root, DEPTH, false);
	talloc_set_destructor(last, veto);
	deaths = 0;
	check(talloc_free(root) == 0);
	check(deaths == DEPTH);
	check(talloc_parent(last) == NULL);
	talloc_set_destructor(last, (int (*)(char *))NULL);
	check(talloc_free(last) == 0);

	puts("a chain of references, each to the one before");
	root = node(NULL, "root");
	p = node(root, "first");
	for (i = 0; i < DEPTH / 10; i++) {
		q = node(root, "next");
		check(talloc_reference(q, p) == p);
		p = q;
	}
	check(talloc_free(root) == 0);

	puts("a chain of heirs: each is inherited by the one it refers to");
	root = node(NULL, "root");
	p = node(root, "first");
	for (i = 0; i < DEPTH / 10; i++) {
		q = node(root, "next");
		check(talloc_reference(p, q) == q);
		check(talloc_unlink(root, q) == 0);
		check(talloc_parent(q) == p);
		p = q;
	}
	check(talloc_total_blocks(root) == DEPTH / 10 + 2);
	check(talloc_free(root) == 0);

	puts("in a pool, and pools in pools");
	root = (char *)talloc_pool(NULL, 100000000);
	chain(root, DEPTH, false);
	check(talloc_total_blocks(root) == DEPTH + 1);
	check(talloc_free(root) == 0);
	root = p = node(NULL, "root");
	for (i = 0; i < DEPTH / 100; i++) {
		p = (char *)talloc_pool(p, 100);
		check(p != NULL);
	}
	check(talloc_free(root) == 0);

	puts("a million children, and their parent");
	root = node(NULL, "root");
	for (i = 0; i < DEPTH; i++) {
		p = node(root, "child");
		check(talloc_parent(p) == root);
	}
	visits = 0;
	talloc_report_depth_cb(root, 0, -1, visit, NULL);
	check(visits == DEPTH + 1);
	talloc_free_children(root);
	check(talloc_total_blocks(root) == 1);
	check(talloc_free(root) == 0);

	puts("a full report of a chain");
	root = node(NULL, "root");
	chain(root, 3000, false);
	f = open_memstream(&text, &length);
	talloc_report_full(root, f);
	fclose(f);
	check(strstr(text, "contains      1 bytes in   1 blocks") != NULL);
	check(strstr(text, "contains   3000 bytes in 3000 blocks") != NULL);
	free(text);
	check(talloc_free(root) == 0);

	puts("a chain that is moved link by link");
	root = node(NULL, "root");
	p = chain(root, 100000, false);
	while (p != root) {
		q = (char *)talloc_parent(p);
		check(talloc_steal(root, p) == p);
		p = q;
	}
	check(talloc_total_blocks(root) == 100001);
	check(talloc_free(root) == 0);

	fclose(null);
	return unused;
}

int main(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	catch_faults();
	check(pthread_attr_init(&attributes) == 0);
	check(pthread_attr_setstacksize(&attributes, 65536) == 0);
	check(pthread_create(&thread, &attributes, all, NULL) == 0);
	check(pthread_join(thread, NULL) == 0);
	expect_no_fault();
	return 0;
}
