/*
 * What a destructor must not do to the chunk that is dying, and where talloc
 * would corrupt its heap: refused, and all else goes its way.
 */
#include "ours.h"

static char *outside, *other;
static int deaths;

static int count(char *p)
{
	(void)p;
	deaths++;
	return 0;
}

static int realloc_myself(char *p)
{
	deaths++;
	check(talloc_realloc_size(NULL, p, 5000) == NULL);
	check(talloc_realloc_size(NULL, p, 0) == NULL);
	check(talloc_get_size(p) == 1);
	return 0;
}

static int refer_to_myself(char *p)
{
	deaths++;
	check(talloc_reference(outside, p) == NULL);
	check(talloc_increase_ref_count(p) == -1);
	check(talloc_reference_count(p) == 0);
	return 0;
}

static int steal_myself_below_my_child(char *p)
{
	deaths++;
	/* Whether they change places or not: both are in the tree that dies. */
	(void)!talloc_steal(other, p);
	return 0;
}

static int append_to_myself(char *p)
{
	deaths++;
	check(talloc_strdup_append(p, " and more, which does not fit into what there is")
	      == NULL);
	check(strcmp(p, "text") == 0);
	return 0;
}

static int free_everything(char *p)
{
	deaths++;
	talloc_free_children(p);
	check(talloc_free(p) == -1);
	check(talloc_unlink(talloc_parent(p), p) == -1);
	if (talloc_parent(p) != NULL) {
		talloc_free(talloc_parent(p));
	}
	return 0;
}

static int limit_myself(char *p)
{
	deaths++;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	talloc_set_memlimit(p, 10);
#pragma GCC diagnostic pop
	check(talloc_size(p, 10000) == NULL);
	return 0;
}

static int steal_old_parent(char *p)
{
	deaths++;
	check(talloc_steal(outside, other) == other);
	check(talloc_steal(outside, p) == p);
	return -1;
}

static int grow(char *p)
{
	int i;

	deaths++;
	for (i = 0; i < 1000; i++) {
		check(talloc_zero_size(p, i) != NULL);
	}
	return 0;
}

static int endless_left;

static int endless(char *p)
{
	deaths++;
	if (--endless_left > 0) {
		char *next = node(talloc_parent(p), "next");

		talloc_set_destructor(next, endless);
	}
	return 0;
}

int main(void)
{
	long before = 0;
	char *root, *p;
	int i;

	catch_faults();
	outside = node(NULL, "outside");

#define dies(setup, destructor)                              \
	do {                                                 \
		puts(#destructor);                           \
		root = node(NULL, "root");                   \
		p = setup;                                   \
		deaths = 0;                                  \
		talloc_set_destructor(p, destructor);        \
		check(talloc_free(root) == 0);               \
		expect_no_fault();                           \
		check(talloc_total_blocks(outside) == 1);    \
	} while (0)
	dies(node(root, "p"), realloc_myself);
	check(deaths == 1);
	dies(root, realloc_myself);
	check(deaths == 1);
	dies(node(talloc_pool(root, 1000), "p"), realloc_myself);
	check(deaths == 1);
	dies(node(root, "p"), refer_to_myself);
	check(deaths == 1);
	dies(talloc_strdup(root, "text"), append_to_myself);
	check(deaths == 1);
	dies(node(root, "p"), free_everything);
	check(deaths == 1);
	dies(root, free_everything);
	check(deaths == 1);
	dies(node(root, "p"), limit_myself);
	check(deaths == 1);
	dies(node(root, "p"), grow);
	check(deaths == 1);

	puts("steal_myself_below_my_child");
	root = node(NULL, "root");
	p = node(root, "p");
	other = node(p, "other");
	deaths = 0;
	talloc_set_destructor(p, steal_myself_below_my_child);
	talloc_set_destructor(other, count);
	check(talloc_free(root) == 0);
	check(deaths == 2);

	puts("steal_old_parent");
	other = node(NULL, "other");
	p = node(node(other, "between"), "p");
	talloc_set_destructor(p, steal_old_parent);
	check(talloc_free(p) == -1);
	check(talloc_parent(p) == outside);
	check(talloc_parent(other) == outside);
	talloc_set_destructor(p, (int (*)(char *))NULL);
	talloc_free_children(outside);

	puts("a destructor that makes the next one, a million times");
	root = node(NULL, "root");
	p = node(root, "first");
	deaths = 0;
	endless_left = 1000000;
	talloc_set_destructor(p, endless);
	check(talloc_free(root) == 0);
	check(deaths == 1000000);

	puts("nothing is left of what lies above a destructor");
	root = node(NULL, "root");
	deaths = 0;
	for (i = 0; i < 200000; i++) {
		p = node(node(node(node(root, "a"), "b"), "c"), "d");
		talloc_set_destructor(p, count);
		node(p, "e");
		talloc_free_children(root);
		check(talloc_total_blocks(root) == 1);
		if (i == 1000) {
			before = kib_of("VmRSS:");
		}
	}
	check(deaths == 200000);
	check(kib_of("VmRSS:") < before + 4096);
	check(talloc_free(root) == 0);

	puts("what was found corrupt is not freed again");
	root = node(NULL, "root");
	node(root, "older");
	p = node(root, "p");
	node(root, "newer");
	other = node(p, "corrupt");
	node(p, "newest");
	memset(other - 48, 0x5a, 4);
	check(talloc_free(p) == -1);
	expect_fault(UNKNOWN);
	check(talloc_total_blocks(root) == 3);
	(void)talloc_free(p);
	check(talloc_total_blocks(root) == 3);
	check(talloc_free(root) == 0);
	expect_no_fault();

	puts("the null context is not to be freed");
	talloc_enable_null_tracking_no_autofree();
	p = node(NULL, "p");
	talloc_free(talloc_parent(p));
	expect_no_fault();
	for (i = 0; i < 10; i++) {
		check(node(NULL, "still usable") != NULL);
	}
	talloc_disable_null_tracking();
	check(talloc_free(outside) == 0);
	expect_no_fault();
	return 0;
}
