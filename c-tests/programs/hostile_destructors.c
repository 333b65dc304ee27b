/*
 * Destructors that do hostile things while something is being freed: free, move, resize, allocate
 * and refer to what is dying, what is next to die, and what is not.
 */
#include "destructors.h"

/* What another's destructor does something to. */
static char *victim;

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

int main(void)
{
	char *a, *b, *c;

	talloc_set_log_fn(log_line);

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

	return 0;
}
