/* References: counting, free, unlink, reparent, and who inherits. */
#include "check.h"

static char *root, *a, *b, *c, *p;

static int say(char *q)
{
	printf("destructor of %s, parent %s, %zu references\n", who(q),
	       who(talloc_parent(q)), talloc_reference_count(q));
	return 0;
}

/* The last log message, when it is looked at before it is shown. */
static char last_message[200];

static void keep_message(const char *message)
{
	char *digits;

	snprintf(last_message, sizeof(last_message), "%.*s",
		 (int)strcspn(message, "\n"), message);
	digits = strstr(last_message, "talloc.c:");
	if (digits != NULL) {
		/* Upstream's line numbers are not the point. */
		digits[strlen("talloc.c")] = '\0';
	}
}

/* root holds a, b and c; p is below a. */
static void begin(const char *title)
{
	section(title);
	root = node(NULL, "root");
	a = node(root, "a");
	b = node(root, "b");
	c = node(root, "c");
	p = node(a, "p");
	talloc_set_destructor(p, say);
}

static void state(void)
{
	report(root);
}

static void end(void)
{
	state();
	show(talloc_free(root));
}

int main(void)
{
	char *q;

	talloc_set_log_fn(log_line);

	begin("one reference");
	printf("result: %s\n", who(talloc_reference(b, p)));
	show(talloc_reference_count(p));
	printf("parent: %s\n", who(talloc_parent(p)));
	show(talloc_total_blocks(b));
	show(talloc_total_size(b));
	show(talloc_total_blocks(root));
	show(talloc_total_size(root));
	show(talloc_get_size(p));
	end();

	begin("reference to NULL");
	show(talloc_reference(b, (char *)NULL) == NULL);
	end();

	begin("reference from NULL");
	printf("result: %s\n", who(talloc_reference(NULL, p)));
	show(talloc_reference_count(p));
	show(talloc_unlink(NULL, p));
	show(talloc_reference_count(p));
	end();

	begin("reference from itself");
	printf("result: %s\n", who(talloc_reference(p, p)));
	show(talloc_reference_count(p));
	end();

	begin("reference from its parent");
	talloc_reference(a, p);
	show(talloc_reference_count(p));
	show(talloc_unlink(a, p));
	show(talloc_reference_count(p));
	printf("parent: %s\n", who(talloc_parent(p)));
	show(talloc_unlink(a, p));
	end();

	begin("two references from one context");
	talloc_reference(b, p);
	talloc_reference(b, p);
	show(talloc_reference_count(p));
	show(talloc_unlink(b, p));
	show(talloc_unlink(b, p));
	show(talloc_unlink(b, p));
	end();

	begin("free with one reference");
	talloc_reference(b, p);
	show(talloc_free(p));
	end();

	begin("free with three references");
	talloc_reference(b, p);
	talloc_reference(c, p);
	talloc_reference(root, p);
	show(talloc_free(p));
	end();

	begin("free without a parent, with one reference");
	q = node(NULL, "q");
	talloc_set_destructor(q, say);
	talloc_reference(b, q);
	show(talloc_free(q));
	printf("parent: %s\n", who(talloc_parent(q)));
	show(talloc_reference_count(q));
	end();

	begin("free without a parent, with two references");
	q = node(NULL, "q");
	talloc_reference(b, q);
	talloc_reference(c, q);
	show(talloc_free(q));
	show(talloc_unlink(NULL, q));
	end();

	begin("unlink of a reference");
	talloc_reference(b, p);
	show(talloc_unlink(b, p));
	printf("parent: %s\n", who(talloc_parent(p)));
	end();

	begin("unlink of the parent: the newest reference's owner inherits");
	talloc_reference(b, p);
	talloc_reference(c, p);
	show(talloc_unlink(a, p));
	printf("parent: %s, %zu references\n", who(talloc_parent(p)),
	       talloc_reference_count(p));
	show(talloc_unlink(c, p));
	printf("parent: %s, %zu references\n", who(talloc_parent(p)),
	       talloc_reference_count(p));
	show(talloc_unlink(b, p));
	end();

	begin("unlink of a stranger");
	show(talloc_unlink(b, p));
	show(talloc_unlink(root, p));
	show(talloc_unlink(NULL, p));
	show(talloc_unlink(p, p));
	show(talloc_unlink(a, NULL));
	show(talloc_unlink(NULL, NULL));
	end();

	begin("unlink of a stranger, with references");
	talloc_reference(b, p);
	show(talloc_unlink(c, p));
	show(talloc_unlink(NULL, p));
	end();

	begin("unlink from NULL of what has no parent");
	q = node(NULL, "q");
	talloc_set_destructor(q, say);
	show(talloc_unlink(NULL, q));
	q = node(NULL, "q");
	talloc_set_destructor(q, say);
	talloc_reference(b, q);
	show(talloc_unlink(NULL, q));
	printf("parent: %s\n", who(talloc_parent(q)));
	end();

	begin("the parent dies: the newest reference's owner inherits");
	talloc_reference(b, p);
	talloc_reference(c, p);
	show(talloc_free(a));
	printf("parent: %s, %zu references\n", who(talloc_parent(p)),
	       talloc_reference_count(p));
	end();

	begin("the referring context dies");
	talloc_reference(b, p);
	show(talloc_free(b));
	printf("parent: %s, %zu references\n", who(talloc_parent(p)),
	       talloc_reference_count(p));
	end();

	begin("talloc_free_children of the referring context");
	talloc_reference(b, p);
	talloc_free_children(b);
	show(talloc_reference_count(p));
	end();

	begin("talloc_free_children of the parent");
	talloc_reference(b, p);
	talloc_reference(c, p);
	talloc_free_children(a);
	printf("parent: %s, %zu references\n", who(talloc_parent(p)),
	       talloc_reference_count(p));
	end();

	begin("a child refers to its parent, which is freed");
	q = node(p, "q");
	talloc_set_destructor(q, say);
	talloc_reference(q, p);
	state();
	show(talloc_free(p));
	end();

	begin("a child refers to its parent, which is unlinked");
	q = node(p, "q");
	talloc_reference(q, p);
	show(talloc_unlink(a, p));
	printf("parent of q: %s\n", who(talloc_parent(q)));
	differs("talloc lets p and q be each other's parent",
		"q", "NULL", who(talloc_parent(p)));
	show(talloc_total_blocks(root));
	end();

	begin("a child refers to its grandparent, which goes");
	q = node(node(p, "between"), "q");
	talloc_reference(q, p);
	show(talloc_free(a));
	end();

	begin("siblings refer to each other");
	talloc_reference(b, c);
	talloc_reference(c, b);
	state();
	show(talloc_free(b));
	show(talloc_unlink(root, b));
	state();
	end();

	begin("a ring of references below the freed context");
	talloc_reference(node(a, "x"), b);
	talloc_reference(node(b, "y"), c);
	talloc_reference(node(c, "z"), a);
	state();
	end();

	begin("steal with references");
	talloc_reference(b, p);
	talloc_reference(c, p);
	printf("result: %s\n", who(talloc_steal(root, p)));
	printf("parent: %s, %zu references\n", who(talloc_parent(p)),
	       talloc_reference_count(p));
	end();

	begin("steal with references, to the present parent");
	talloc_reference(b, p);
	printf("result: %s\n", who(talloc_steal(a, p)));
	end();

	begin("steal of the referring context");
	talloc_reference(b, p);
	talloc_steal(p, b);
	state();
	end();

	begin("reparent of the parent link");
	talloc_reference(b, p);
	printf("result: %s\n", who(talloc_reparent(a, c, p)));
	end();

	begin("reparent of a reference");
	talloc_reference(b, p);
	printf("result: %s\n", who(talloc_reparent(b, c, p)));
	state();
	show(talloc_unlink(b, p));
	show(talloc_unlink(c, p));
	end();

	begin("reparent without references");
	printf("result: %s\n", who(talloc_reparent(a, b, p)));
	printf("from a stranger: %s\n", who(talloc_reparent(a, c, p)));
	printf("of NULL: %s\n", who(talloc_reparent(a, b, NULL)));
	printf("to the same: %s\n", who(talloc_reparent(b, b, p)));
	end();

	begin("reparent to and from NULL");
	printf("to NULL: %s\n", who(talloc_reparent(a, NULL, p)));
	printf("parent: %s\n", who(talloc_parent(p)));
	printf("from NULL: %s\n", who(talloc_reparent(NULL, b, p)));
	end();

	begin("reparent of a reference to NULL and back");
	talloc_reference(b, p);
	printf("to NULL: %s\n", who(talloc_reparent(b, NULL, p)));
	show(talloc_reference_count(p));
	state();
	printf("from NULL: %s\n", who(talloc_reparent(NULL, c, p)));
	end();

	begin("reparent of the parent link to the owner of a reference");
	talloc_reference(b, p);
	printf("result: %s\n", who(talloc_reparent(a, b, p)));
	show(talloc_unlink(b, p));
	printf("parent: %s\n", who(talloc_parent(p)));
	end();

	begin("talloc_increase_ref_count");
	show(talloc_increase_ref_count(p));
	show(talloc_increase_ref_count(p));
	show(talloc_reference_count(p));
	state();
	show(talloc_unlink(NULL, p));
	talloc_set_log_fn(keep_message);
	show(talloc_free(p));
	talloc_set_log_fn(log_line);
	differs("the location is in the library's own source",
		"reference at ../../talloc.c",
		"reference at talloc_increase_ref_count",
		last_message + strspn(last_message, "\t"));
	show(talloc_unlink(NULL, p));
	show(talloc_free(p));
	end();

	begin("talloc_increase_ref_count of what has no parent");
	q = node(NULL, "q");
	talloc_set_destructor(q, say);
	show(talloc_increase_ref_count(q));
	show(talloc_free(q));
	show(talloc_reference_count(q));
	show(talloc_free(q));
	end();

	begin("realloc with references");
	talloc_reference(b, p);
	errno = 0;
	show(talloc_realloc(a, p, char, 100) == NULL);
	show(talloc_get_size(p));
	show(talloc_realloc(a, p, char, 0) == NULL);
	printf("parent: %s\n", who(talloc_parent(p)));
	end();

	begin("parents and references");
	talloc_reference(b, p);
	show(talloc_is_parent(p, a));
	show(talloc_is_parent(p, b));
	show(talloc_find_parent_byname(p, "b") != NULL);
	end();

	begin("a reference to a context with children");
	node(node(p, "q"), "r");
	talloc_reference(b, p);
	show(talloc_total_blocks(a));
	show(talloc_total_blocks(b));
	show(talloc_total_blocks(root));
	end();

	begin("a reference inside a pool, to and from");
	q = (char *)talloc_pool(root, 2000);
	talloc_reference(node(q, "member"), p);
	talloc_reference(b, node(q, "target"));
	state();
	show(talloc_free(q));
	end();

	return 0;
}
