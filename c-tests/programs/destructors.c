/* Destructors: their order, their veto, and the hostile things they may do. */
#include "check.h"

static char *root, *outside;

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

static int other_result(char *p)
{
	say(p);
	return 7;
}

static int veto_once(char *p)
{
	say(p);
	talloc_set_destructor(p, NULL);
	return -1;
}

static int replace_then_refuse(char *p)
{
	say(p);
	talloc_set_destructor(p, say);
	return -1;
}

static int replace_then_agree(char *p)
{
	say(p);
	talloc_set_destructor(p, veto);
	return 0;
}

static int free_myself(char *p)
{
	say(p);
	printf("free of myself: %d\n", talloc_free(p));
	return 0;
}

static int free_my_children(char *p)
{
	say(p);
	talloc_free_children(p);
	printf("blocks left: %zu\n", talloc_total_blocks(p));
	return 0;
}

static int free_my_parent(char *p)
{
	say(p);
	printf("free of my parent: %d\n", talloc_free(talloc_parent(p)));
	return 0;
}

static int steal_myself_and_agree(char *p)
{
	say(p);
	printf("steal: %s\n", who(talloc_steal(outside, p)));
	return 0;
}

static int steal_myself_and_refuse(char *p)
{
	say(p);
	printf("steal: %s\n", who(talloc_steal(outside, p)));
	return -1;
}

static char *victim;

static int free_victim(char *p)
{
	say(p);
	printf("free of victim: %d\n", talloc_free(victim));
	return 0;
}

static int steal_victim(char *p)
{
	say(p);
	printf("steal of victim: %s\n", who(talloc_steal(outside, victim)));
	return 0;
}

static int steal_victim_here(char *p)
{
	say(p);
	printf("steal of victim: %s\n", who(talloc_steal(p, victim)));
	return 0;
}

static int allocate_below(char *p)
{
	char *c;
	say(p);
	c = node(p, "born below the dying");
	talloc_set_destructor(c, say);
	return 0;
}

static int allocate_beside(char *p)
{
	char *c;
	say(p);
	c = node(talloc_parent(p), "born beside the dying");
	if (c != NULL) {
		talloc_set_destructor(c, say);
	}
	printf("allocated: %s\n", who(c));
	return 0;
}

static int realloc_victim(char *p)
{
	say(p);
	victim = talloc_realloc(NULL, victim, char, 5000);
	printf("realloc of victim: %s\n", who(victim));
	return 0;
}

static int reference_victim(char *p)
{
	say(p);
	printf("reference: %s\n", who(talloc_reference(outside, victim)));
	return 0;
}

static int rename_myself(char *p)
{
	say(p);
	talloc_set_name(p, "renamed %d", 1);
	return 0;
}

static void begin(const char *title)
{
	section(title);
	root = node(NULL, "root");
	outside = node(NULL, "outside");
	victim = NULL;
}

static void end(void)
{
	puts("outside:");
	report(outside);
	talloc_free_children(outside);
	talloc_free(outside);
}

int main(void)
{
	char *a, *b, *c;

	talloc_set_log_fn(log_line);

	begin("a destructor runs before its children's");
	a = node(root, "a");
	b = node(a, "b");
	c = node(a, "c");
	talloc_set_destructor(root, say);
	talloc_set_destructor(a, say);
	talloc_set_destructor(b, say);
	talloc_set_destructor(c, say);
	show(talloc_free(root));
	end();

	begin("set to NULL again");
	talloc_set_destructor(root, say);
	talloc_set_destructor(root, NULL);
	show(talloc_free(root));
	end();

	begin("a veto");
	talloc_set_destructor(root, veto);
	node(root, "a");
	show(talloc_free(root));
	show(talloc_free(root));
	report(root);
	talloc_set_destructor(root, NULL);
	show(talloc_free(root));
	end();

	begin("another result than 0 and -1");
	talloc_set_destructor(root, other_result);
	show(talloc_free(root));
	end();

	begin("a veto that takes itself back");
	talloc_set_destructor(root, veto_once);
	show(talloc_free(root));
	show(talloc_free(root));
	end();

	begin("replaces itself, then refuses");
	talloc_set_destructor(root, replace_then_refuse);
	show(talloc_free(root));
	show(talloc_free(root));
	end();

	begin("replaces itself, then agrees");
	talloc_set_destructor(root, replace_then_agree);
	show(talloc_free(root));
	end();

	begin("frees itself");
	talloc_set_destructor(root, free_myself);
	show(talloc_free(root));
	end();

	begin("frees its children");
	a = node(root, "a");
	b = node(a, "b");
	talloc_set_destructor(root, free_my_children);
	talloc_set_destructor(a, say);
	talloc_set_destructor(b, say);
	show(talloc_free(root));
	end();

	begin("frees its parent, which is being freed");
	a = node(root, "a");
	b = node(a, "b");
	c = node(root, "c");
	talloc_set_destructor(a, say);
	talloc_set_destructor(b, free_my_parent);
	talloc_set_destructor(c, free_my_parent);
	show(talloc_free(root));
	end();

	begin("frees its parent, which is not being freed");
	a = node(root, "a");
	b = node(root, "b");
	talloc_set_destructor(root, say);
	talloc_set_destructor(a, say);
	talloc_set_destructor(b, free_my_parent);
	show(talloc_free(b));
	end();

	begin("steals itself out and agrees to die");
	a = node(root, "a");
	b = node(a, "b");
	talloc_set_destructor(a, steal_myself_and_agree);
	talloc_set_destructor(b, say);
	show(talloc_free(root));
	end();

	begin("steals itself out and refuses");
	a = node(root, "a");
	b = node(a, "b");
	talloc_set_destructor(a, steal_myself_and_refuse);
	talloc_set_destructor(b, say);
	show(talloc_free(root));
	report(a);
	talloc_set_destructor(a, NULL);
	end();

	begin("the freed context steals itself out and refuses");
	talloc_set_destructor(root, steal_myself_and_refuse);
	show(talloc_free(root));
	talloc_set_destructor(root, NULL);
	end();

	begin("a child that refuses goes to the parent of the freed context");
	a = node(root, "a");
	b = node(a, "b");
	c = node(b, "c");
	talloc_set_destructor(b, veto);
	talloc_set_destructor(c, say);
	show(talloc_free(a));
	report(root);
	talloc_set_destructor(b, NULL);
	show(talloc_free(root));
	end();

	begin("a child of a root that refuses goes to no parent");
	a = node(root, "a");
	b = node(a, "b");
	talloc_set_destructor(a, veto);
	show(talloc_free(root));
	printf("parent of a: %s\n", who(talloc_parent(a)));
	report(a);
	talloc_set_destructor(a, NULL);
	show(talloc_free(a));
	end();

	begin("a grandchild that refuses");
	a = node(root, "a");
	b = node(a, "b");
	c = node(b, "c");
	talloc_set_destructor(a, say);
	talloc_set_destructor(b, say);
	talloc_set_destructor(c, veto);
	show(talloc_free(root));
	printf("parent of c: %s\n", who(talloc_parent(c)));
	talloc_set_destructor(c, NULL);
	show(talloc_free(c));
	end();

	begin("several levels refuse, below a context with a parent");
	a = node(root, "a");
	b = node(a, "b");
	talloc_set_destructor(node(b, "c1"), veto);
	talloc_set_destructor(node(b, "c2"), veto);
	talloc_set_destructor(node(a, "b1"), veto);
	talloc_set_destructor(node(a, "b2"), veto);
	show(talloc_free(a));
	report(root);
	show(talloc_free(root));
	end();

	begin("an orphan of a context that is not its parent's newest child");
	a = node(root, "a");
	b = node(a, "b");
	node(root, "newer than a");
	talloc_set_destructor(b, veto);
	show(talloc_free(a));
	differs("an orphan goes to the freed context's parent, whatever its "
		"place among its siblings",
		"NULL", "root", who(talloc_parent(b)));
	talloc_set_destructor(b, NULL);
	talloc_free(b);
	report(root);
	show(talloc_free(root));
	end();

	begin("frees an older sibling");
	victim = node(root, "a");
	b = node(root, "b");
	c = node(root, "c");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(b, free_victim);
	talloc_set_destructor(c, say);
	show(talloc_free(root));
	end();

	begin("frees the next sibling in line");
	victim = node(root, "a");
	b = node(root, "b");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(b, free_victim);
	show(talloc_free(root));
	end();

	begin("frees a child of its own");
	victim = node(root, "victim");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(root, free_victim);
	show(talloc_free(root));
	end();

	begin("steals a sibling out");
	victim = node(root, "victim");
	b = node(root, "b");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(b, steal_victim);
	show(talloc_free(root));
	end();

	begin("steals its own child out");
	victim = node(root, "victim");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(root, steal_victim);
	show(talloc_free(root));
	end();

	begin("steals its child's child out");
	a = node(root, "a");
	victim = node(a, "victim");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(a, say);
	talloc_set_destructor(root, steal_victim);
	show(talloc_free(root));
	end();

	begin("steals a sibling below itself");
	victim = node(root, "victim");
	b = node(root, "b");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(b, steal_victim_here);
	show(talloc_free(root));
	end();

	begin("steals a stranger below itself");
	victim = node(outside, "victim");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(root, steal_victim_here);
	show(talloc_free(root));
	end();

	begin("allocates below itself");
	node(root, "a");
	talloc_set_destructor(root, allocate_below);
	show(talloc_free(root));
	end();

	begin("allocates beside itself, below a dying parent");
	a = node(root, "a");
	b = node(root, "b");
	talloc_set_destructor(a, allocate_beside);
	talloc_set_destructor(b, allocate_beside);
	show(talloc_free(root));
	end();

	begin("reallocates a sibling");
	victim = node(root, "victim");
	b = node(root, "b");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(b, realloc_victim);
	show(talloc_free(root));
	end();

	begin("reallocates its child");
	victim = node(root, "victim");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(root, realloc_victim);
	show(talloc_free(root));
	end();

	begin("takes a reference to its child");
	victim = node(root, "victim");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(root, reference_victim);
	show(talloc_free(root));
	end();

	begin("takes a reference to a sibling");
	victim = node(root, "victim");
	b = node(root, "b");
	talloc_set_destructor(victim, say);
	talloc_set_destructor(b, reference_victim);
	show(talloc_free(root));
	end();

	begin("renames itself");
	talloc_set_destructor(root, rename_myself);
	show(talloc_free(root));
	end();

	begin("talloc_free_children with a veto");
	a = node(root, "a");
	b = node(root, "b");
	c = node(b, "c");
	talloc_set_destructor(a, say);
	talloc_set_destructor(b, veto);
	talloc_set_destructor(c, say);
	talloc_free_children(root);
	report(root);
	printf("parent of b: %s\n", who(talloc_parent(b)));
	talloc_set_destructor(b, NULL);
	show(talloc_free(root));
	end();

	begin("talloc_free_children of a context with a parent, with a veto");
	a = node(root, "a");
	b = node(a, "b");
	c = node(a, "c");
	talloc_set_destructor(b, veto);
	talloc_set_destructor(c, say);
	talloc_free_children(a);
	printf("parent of b: %s\n", who(talloc_parent(b)));
	report(root);
	talloc_set_destructor(b, NULL);
	show(talloc_free(root));
	end();

	begin("destructors of chunks moved by realloc");
	a = node(root, "a");
	talloc_set_destructor(a, say);
	a = talloc_realloc(root, a, char, 100000);
	show(talloc_free(root));
	end();

	return 0;
}
