/* Destructors: their order, their veto, where what refuses goes, and what takes their place. */
#include "destructors.h"

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
