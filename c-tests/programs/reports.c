/* Reports: their lines, depths, callbacks; parents shown. */
#include "check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void print_and_free(FILE *f, char **text)
{
	fclose(f);
	print_masked(*text);
	free(*text);
	*text = NULL;
}

static void to_depth(const void *ptr, int depth, int max_depth)
{
	char *text = NULL;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);

	printf("-- depth %d, max_depth %d\n", depth, max_depth);
	talloc_report_depth_file(ptr, depth, max_depth, f);
	print_and_free(f, &text);
}

static void brief(const void *ptr)
{
	char *text = NULL;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);

	talloc_report(ptr, f);
	print_and_free(f, &text);
}

static int visits;

static void visit(const void *ptr, int depth, int max_depth, int is_ref,
		  void *private_data)
{
	visits++;
	printf("%s%*s%s, depth %d of %d%s\n", (const char *)private_data,
	       depth * 2, "", talloc_get_name(ptr), depth, max_depth,
	       is_ref ? ", a reference" : "");
}

static void count(const void *ptr, int depth, int max_depth, int is_ref,
		  void *private_data)
{
	(void)ptr;
	(void)depth;
	(void)max_depth;
	*(int *)private_data += is_ref ? 1000 : 1;
}

int main(void)
{
	char *root, *a, *b, *p;
	int i, n;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");
	a = node(root, "a");
	b = node(root, "b");
	p = node(node(node(a, "a1"), "a2"), "a3");
	node(b, "b1");
	talloc_reference(b, p);
	talloc_reference(root, p);
	talloc_named_const(root, 123456, "large");

	section("full");
	report(root);
	section("brief");
	brief(root);
	brief(p);
	section("depths");
	to_depth(root, 0, -1);
	to_depth(root, 0, 0);
	to_depth(root, 0, 1);
	to_depth(root, 0, 2);
	to_depth(root, 0, 100);
	to_depth(root, 1, -1);
	to_depth(root, 1, 3);
	to_depth(root, 2, 1);
	to_depth(root, 5, 6);
	to_depth(root, -1, 3);
	to_depth(p, 0, -1);

	section("callback");
	talloc_report_depth_cb(root, 0, -1, visit, "");
	section("callback, two levels");
	talloc_report_depth_cb(root, 0, 2, visit, "> ");
	section("callback from depth 3");
	talloc_report_depth_cb(root, 3, 5, visit, "");
	show(visits);
	n = 0;
	talloc_report_depth_cb(root, 0, -1, count, &n);
	show(n);

	section("no file, no callback");
	talloc_report_full(root, NULL);
	talloc_report(root, NULL);
	puts("still here");

	section("a ring of references is shown once");
	p = node(root, "p");
	talloc_reference(p, root);
	report(p);
	talloc_unlink(p, root);

	section("a report of a pool");
	p = (char *)talloc_pool(root, 1000);
	node(node(p, "x"), "y");
	report(p);
	talloc_free(p);

	section("sizes in the columns");
	p = node(NULL, "p");
	for (i = 1; i < 200000000; i *= 10) {
		talloc_named_const(p, i, "x");
	}
	report(p);
	talloc_free(p);
	p = node(NULL, "p");
	for (i = 0; i < 1200; i++) {
		talloc_reference(b, p);
		node(p, "x");
	}
	to_depth(p, 0, 0);
	brief(root);
	for (i = 0; i < 1200; i++) {
		talloc_unlink(b, p);
	}
	talloc_free(p);

	section("show parents");
	p = node(node(a, "two\nlines"), "below");
	talloc_show_parents(p, stdout);
	talloc_show_parents(root, stdout);
	talloc_show_parents(NULL, stdout);
	talloc_set_name_const(talloc_parent(p), NULL);
	talloc_show_parents(p, stdout);

	section("is parent");
	show(talloc_is_parent(p, root));
	show(talloc_is_parent(p, p));
	show(talloc_is_parent(root, p));
	show(talloc_is_parent(p, b));
	show(talloc_is_parent(p, NULL));
	show(talloc_is_parent(NULL, p));

	section("a limit's line");
	p = node(NULL, "limited");
	node(node(p, "x"), "y");
	talloc_set_memlimit(p, 123456);
	{
		char *text = NULL, *line, *end;
		size_t length = 0;
		FILE *f = open_memstream(&text, &length);

		/* cur_size counts headers: masked. */
		talloc_report_full(p, f);
		fclose(f);
		for (line = text; *line != '\0'; line = end) {
			end = strchr(line, '\n') + 1;
			end[-1] = '\0';
			if (strstr(line, "cur_size = ") != NULL) {
				char *digits = strstr(line, "cur_size = ") + 11;
				printf("%.*sN%s\n", (int)(digits - line), line,
				       digits + strspn(digits, "0123456789"));
			} else {
				print_masked(line);
				puts("");
			}
		}
		free(text);
	}
	talloc_free(p);

	talloc_free(root);
	return 0;
}
