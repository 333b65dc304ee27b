/* Null tracking: what is made without a parent gets one, while it is on. */
#include "check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int say(char *p)
{
	printf("destructor of %s, parent %s\n", who(p), who(talloc_parent(p)));
	return 0;
}

static int veto(char *p)
{
	say(p);
	return -1;
}

int main(void)
{
	char *before, *a, *b, *c, *autofree;

	talloc_set_log_fn(log_line);

	section("off");
	before = node(NULL, "before");
	puts("report of NULL:");
	report(NULL);
	show(talloc_total_size(NULL));
	show(talloc_total_blocks(NULL));
	show(talloc_parent(before) == NULL);
	talloc_disable_null_tracking();

	section("on");
	talloc_enable_null_tracking();
	report(NULL);
	a = node(NULL, "a");
	b = talloc_strdup(NULL, "b");
	c = (char *)talloc_pool(NULL, 1000);
	node(c, "d");
	report(NULL);
	show(talloc_total_size(NULL));
	show(talloc_total_blocks(NULL));
	printf("parent of a: %s\n", who(talloc_parent(a)));
	printf("parent of before: %s\n", who(talloc_parent(before)));
	printf("%s\n", talloc_parent_name(a));
	show(talloc_find_parent_byname(a, "null_context") != NULL);
	show(talloc_is_parent(a, talloc_parent(a)));
	talloc_show_parents(a, stdout);

	section("on again, of both kinds");
	talloc_enable_null_tracking_no_autofree();
	talloc_enable_null_tracking();
	show(talloc_total_blocks(NULL));

	section("free of children of NULL does nothing");
	talloc_free_children(NULL);
	show(talloc_total_blocks(NULL));

	section("steal to and from NULL");
	talloc_steal(b, a);
	printf("parent of a: %s\n", who(talloc_parent(a)));
	talloc_steal(NULL, a);
	printf("parent of a: %s\n", who(talloc_parent(a)));
	talloc_steal(NULL, before);
	printf("parent of before: %s\n", who(talloc_parent(before)));
	report(NULL);

	section("unlink from NULL");
	show(talloc_unlink(NULL, before));
	show(talloc_unlink(b, a));
	show(talloc_unlink(NULL, a));
	report(NULL);

	section("references from NULL, and the free that unlinks");
	a = node(NULL, "a");
	talloc_set_destructor(a, say);
	talloc_reference(b, a);
	show(talloc_free(a));
	printf("parent of a: %s\n", who(talloc_parent(a)));
	show(talloc_increase_ref_count(a));
	report(NULL);
	show(talloc_unlink(NULL, a));
	show(talloc_unlink(b, a));
	report(NULL);

	section("reparent from NULL to NULL");
	a = node(NULL, "a");
	show(talloc_reparent(NULL, b, a) == (void *)a);
	show(talloc_reparent(b, NULL, a) == (void *)a);
	show(talloc_reparent(NULL, NULL, a) == (void *)a);
	printf("parent of a: %s\n", who(talloc_parent(a)));

	section("an orphan goes to the null context");
	b = node(a, "orphan");
	talloc_set_destructor(b, veto);
	show(talloc_free(a));
	printf("parent of b: %s\n", who(talloc_parent(b)));
	talloc_set_destructor(b, NULL);
	show(talloc_free(b));

	section("realloc without a parent");
	a = talloc_array(NULL, char, 10);
	a = talloc_realloc(NULL, a, char, 10000);
	printf("parent of a: %s\n", who(talloc_parent(a)));
	show(talloc_realloc(NULL, a, char, 0) == NULL);

	section("off again: what was below stays alive");
	a = node(NULL, "a");
	b = node(a, "b");
	talloc_disable_null_tracking();
	show(talloc_parent(a) == NULL);
	printf("parent of b: %s\n", who(talloc_parent(b)));
	puts("report of NULL:");
	report(NULL);
	report(a);
	show(talloc_unlink(NULL, a));

	section("a reference of the null context's beside its being the parent");
	talloc_enable_null_tracking_no_autofree();
	a = node(NULL, "older");
	b = node(NULL, "newer");
	show(talloc_increase_ref_count(a));
	show(talloc_free(a));
	report(NULL);
	show(talloc_increase_ref_count(a));
	show(talloc_unlink(NULL, a));
	report(NULL);
	show(talloc_free(a));
	show(talloc_free(b));

	section("the autofree context, where tracking is on already, and where somebody has it");
	talloc_disable_null_tracking();
	autofree = (char *)talloc_autofree_context();
	talloc_enable_null_tracking_no_autofree();
	printf("parent of autofree: %s\n", who(talloc_parent(autofree)));
	talloc_enable_null_tracking();
	printf("parent of autofree: %s\n", who(talloc_parent(autofree)));
	talloc_disable_null_tracking();
	a = node(NULL, "a");
	show(talloc_steal(a, autofree) == autofree);
	talloc_enable_null_tracking();
	printf("parent of autofree: %s\n", who(talloc_parent(autofree)));
	show(talloc_steal(NULL, autofree) == autofree);
	talloc_disable_null_tracking();
	talloc_enable_null_tracking();
	printf("parent of autofree: %s\n", who(talloc_parent(autofree)));
	talloc_disable_null_tracking();
	show(talloc_free(a));

	section("and on once more");
	talloc_enable_null_tracking_no_autofree();
	report(NULL);
	a = node(NULL, "a");
	show(talloc_total_blocks(NULL));
	show(talloc_free(a));
	talloc_disable_null_tracking();

	return 0;
}
