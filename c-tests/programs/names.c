/* Names: given, formatted, found, shown. */
#include "check.h"

int main(void)
{
	char *root, *p, *q;
	char buffer[32];
	int i;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("names that macros give");
	struct shape { int x, y; };
	printf("%s\n", talloc_get_name(talloc(root, struct shape)));
	printf("%s\n", talloc_get_name(talloc_zero(root, unsigned long)));
	printf("%s\n", talloc_get_name(talloc_array(root, struct shape *, 3)));
	printf("%s\n", talloc_get_name(talloc_zero_array(root, int, 3)));
	printf("%s\n", talloc_get_name(talloc_size(root, 10)));
	printf("%s\n", talloc_get_name(talloc_zero_size(root, 10)));
	printf("%s\n", talloc_get_name(talloc_new(root)));
	printf("%s\n", talloc_get_name(talloc_memdup(root, "x", 1)));
	printf("%s\n", talloc_get_name(talloc_array_size(root, 4, 4)));
	printf("%s\n", talloc_get_name(talloc_ptrtype(root, p)));
	printf("%s\n", talloc_get_name(talloc_array_ptrtype(root, p, 2)));
	printf("%s\n", talloc_get_name(talloc_realloc(root, NULL, int, 2)));
	printf("%s\n", talloc_get_name(talloc_realloc_size(root, NULL, 2)));
	printf("%s\n", talloc_get_name(talloc_realloc_fn(root, NULL, 2)));
	printf("%s\n", talloc_get_name(talloc_pool(root, 64)));
	printf("%s\n", talloc_get_name(talloc_pooled_object(root, struct shape, 1, 8)));
	printf("%s\n", talloc_get_name(_talloc(root, 5)));
	printf("%s\n", talloc_get_name(talloc_init("init %s %d", "text", 42)));
	printf("%s\n", talloc_get_name(talloc_named(root, 4, "%c%c", 'h', 'i')));
	printf("%s\n", talloc_get_name(talloc_named_const(root, 4, "constant %d")));
	printf("%s\n", talloc_get_name(talloc_named_const(root, 4, NULL)));
	report(root);
	talloc_free_children(root);

	section("talloc_set_name makes a child");
	p = node(root, "p");
	printf("result: %s\n", talloc_set_name(p, "number %d", 7));
	printf("%s\n", who(p));
	show(talloc_total_blocks(p));
	show(talloc_total_size(p));
	report(p);

	section("again: the old text goes");
	talloc_set_name(p, "a longer number %d", 1234567);
	printf("%s\n", who(p));
	show(talloc_total_blocks(p));
	report(p);

	section("constant after formatted: the child stays");
	talloc_set_name_const(p, "constant");
	printf("%s\n", who(p));
	show(talloc_total_blocks(p));
	report(p);

	section("formatted after constant");
	talloc_set_name(p, "formatted");
	printf("%s\n", who(p));
	show(talloc_total_blocks(p));

	section("talloc_free_children keeps the name");
	node(p, "older");
	talloc_set_name(p, "third %d", 3);
	node(p, "newer");
	report(p);
	talloc_free_children(p);
	printf("%s\n", who(p));
	report(p);

	section("talloc_free_children of many, the name in the middle");
	for (i = 0; i < 3; i++) {
		node(p, "before");
	}
	talloc_set_name(p, "middle");
	for (i = 0; i < 3; i++) {
		node(p, "after");
	}
	talloc_free_children(p);
	show(talloc_total_blocks(p));
	printf("%s\n", who(p));

	section("a constant name that was formatted below another");
	q = node(root, "q");
	talloc_set_name_const(q, who(p));
	printf("%s\n", who(q));
	talloc_set_name_const(q, "q");

	section("a name formatted from the old one");
	talloc_set_name(p, "%s and more", who(p));
	printf("%s\n", who(p));

	section("set to NULL");
	talloc_set_name_const(p, NULL);
	printf("%s\n", who(p));
	show(talloc_check_name(p, "UNNAMED") == p);
	report(p);

	section("talloc_check_name");
	talloc_set_name_const(p, "p");
	snprintf(buffer, sizeof(buffer), "%s", "p");
	show(talloc_check_name(p, "p") == p);
	show(talloc_check_name(p, buffer) == p);
	show(talloc_check_name(p, "P") == NULL);
	show(talloc_check_name(p, "") == NULL);
	show(talloc_check_name(NULL, "p") == NULL);

	section("an empty name, a long one, one with newlines and percent signs");
	talloc_free_children(root);
	talloc_set_name_const(node(root, "p"), "");
	p = node(root, "p");
	q = talloc_array(NULL, char, 70000);
	memset(q, 'n', 69999);
	q[69999] = '\0';
	talloc_set_name_const(p, q);
	show(strlen(talloc_get_name(p)));
	talloc_set_name(p, "%s", q);
	show(strlen(talloc_get_name(p)));
	talloc_free(q);
	show(strlen(talloc_get_name(p)));
	show(talloc_total_size(p));
	talloc_free(p);
	talloc_named(root, 1, "two\nlines\n");
	talloc_named_const(root, 1, "100%s%n%d");
	talloc_named_const(root, 1, "exactly thirty characters long");
	talloc_named_const(root, 1, "thirty-one characters, one more");
	talloc_named_const(root, 1, "\xc3\xa4\xc3\xb6\xc3\xbc");
	report(root);
	printf("%s\n", talloc_get_name(talloc_named(root, 0, "%s", "")));

	section("parents' names");
	p = node(root, "p");
	q = node(p, "q");
	printf("%s\n", talloc_parent_name(q));
	printf("%s\n", talloc_parent_name(p));
	show(talloc_parent_name(root) == NULL);
	show(talloc_parent_name(NULL) == NULL);
	show(talloc_parent(NULL) == NULL);
	show(talloc_find_parent_byname(q, "root") == root);
	show(talloc_find_parent_byname(q, "q") == q);
	show(talloc_find_parent_byname(q, "nobody") == NULL);
	show(talloc_find_parent_byname(NULL, "root") == NULL);
	talloc_set_type(root, struct shape);
	show((char *)talloc_find_parent_bytype(q, struct shape) == root);

	section("a parent without a name, on the way up");
	talloc_set_name_const(p, NULL);
	show(talloc_parent_name(q) == NULL);

	section("the name's own chunk");
	p = node(root, "p");
	q = (char *)talloc_set_name(p, "given");
	printf("%s, below %s\n", who(q), who(talloc_parent(q)));
	show(talloc_get_size(q));
	show(q == talloc_get_name(p));

	section("strings are named by themselves");
	p = talloc_strdup(root, "a string");
	show(talloc_get_name(p) == p);
	p[2] = 'S';
	printf("%s\n", who(p));
	talloc_set_name_const(p, "other");
	p = talloc_strdup_append(p, " longer");
	printf("%s\n", who(p));
	p = talloc_asprintf(root, "%d", 12);
	show(talloc_get_name(p) == p);
	p = talloc_strndup(root, "abcdef", 3);
	show(talloc_get_name(p) == p);

	section("talloc_set_type");
	talloc_set_type(p, struct shape);
	printf("%s\n", who(p));

	talloc_free(root);
	return 0;
}
