/* Strings: every builder, its NULL and empty cases, sizes and names. */
#include "check.h"

static char *root;

/* The text, its size, its parent and whether it is its own name. */
static void print(const char *title, char *s)
{
	if (s == NULL) {
		printf("%s: NULL\n", title);
		return;
	}
	printf("%s: '%s', size %zu, parent %s, named %s\n", title, s,
	       talloc_get_size(s), who(talloc_parent(s)),
	       talloc_get_name(s) == s ? "itself" : talloc_get_name(s));
}

static char *text(const char *s)
{
	return talloc_strdup(root, s);
}

static char *by_va(int which, char *s, const char *fmt, ...)
	PRINTF_ATTRIBUTE(3, 4);

static char *by_va(int which, char *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	switch (which) {
	case 0: s = talloc_vasprintf(root, fmt, ap); break;
	case 1: s = talloc_vasprintf_append(s, fmt, ap); break;
	default: s = talloc_vasprintf_append_buffer(s, fmt, ap); break;
	}
	va_end(ap);
	return s;
}

int main(void)
{
	char *s, *pool;
	const char *empty = "";
	int i;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("strdup");
	print("text", talloc_strdup(root, "text"));
	print("empty", talloc_strdup(root, ""));
	print("NULL", talloc_strdup(root, NULL));
	print("no parent", s = talloc_strdup(NULL, "text"));
	talloc_free(s);

	section("strndup");
	print("all", talloc_strndup(root, "text", 4));
	print("more", talloc_strndup(root, "text", 400));
	print("some", talloc_strndup(root, "text", 2));
	print("none", talloc_strndup(root, "text", 0));
	print("NULL", talloc_strndup(root, NULL, 4));
	print("unterminated", talloc_strndup(root, (const char[2]){'u', 'n'}, 2));
	print("max", talloc_strndup(root, "text", SIZE_MAX));

	section("memdup");
	s = (char *)talloc_memdup(root, "abc\0def", 8);
	print("bytes", s);
	show(memcmp(s, "abc\0def", 8) == 0);
	show(talloc_memdup(root, NULL, 0) != NULL);
	show(talloc_memdup(root, "x", 0) != NULL);
	show(talloc_get_size(talloc_memdup(root, NULL, 0)));

	section("strdup_append");
	print("to text", talloc_strdup_append(text("one"), " two"));
	print("to NULL", s = talloc_strdup_append(NULL, "two"));
	talloc_free(s);
	print("to empty", talloc_strdup_append(text(""), "two"));
	print("of NULL", talloc_strdup_append(text("one"), NULL));
	print("of empty", talloc_strdup_append(text("one"), ""));
	print("NULL to NULL", talloc_strdup_append(NULL, NULL));
	s = text("cut here");
	s[3] = '\0';
	print("at the terminator", talloc_strdup_append(s, "!"));

	section("strdup_append_buffer");
	print("to text", talloc_strdup_append_buffer(text("one"), " two"));
	print("to NULL", s = talloc_strdup_append_buffer(NULL, "two"));
	talloc_free(s);
	print("to empty", talloc_strdup_append_buffer(text(""), "two"));
	print("of NULL", talloc_strdup_append_buffer(text("one"), NULL));
	print("of empty", talloc_strdup_append_buffer(text("one"), ""));
	s = text("cut here");
	s[3] = '\0';
	s = talloc_strdup_append_buffer(s, "!");
	print("before the cut", s);
	print("behind the cut", talloc_strdup(root, s + 4));
	show(talloc_get_size(s));
	s = (char *)talloc_named_const(root, 0, "no bytes");
	print("to no bytes", talloc_strdup_append_buffer(s, "x"));

	section("strndup_append");
	print("to text", talloc_strndup_append(text("one"), " two", 2));
	print("to NULL", s = talloc_strndup_append(NULL, "two", 2));
	talloc_free(s);
	print("of NULL", talloc_strndup_append(text("one"), NULL, 2));
	print("none", talloc_strndup_append(text("one"), "two", 0));
	print("more", talloc_strndup_append(text("one"), "two", 100));
	print("buffer", talloc_strndup_append_buffer(text("one"), " two", 2));
	print("buffer to NULL", s = talloc_strndup_append_buffer(NULL, "two", 2));
	talloc_free(s);
	print("buffer of NULL", talloc_strndup_append_buffer(text("one"), NULL, 2));

	section("asprintf");
	print("number", talloc_asprintf(root, "%d-%s", 7, "seven"));
	print("empty", talloc_asprintf(root, "%s", empty));
	print("no parent", s = talloc_asprintf(NULL, "%5.2f", 3.14159));
	talloc_free(s);
	for (i = 1020; i < 1028; i++) {
		s = talloc_asprintf(root, "%*d", i, 1);
		printf("%zu %zu\n", strlen(s), talloc_get_size(s));
	}
	print("va", by_va(0, NULL, "%s", "list"));

	section("asprintf_append");
	print("to text", talloc_asprintf_append(text("one"), " %d", 2));
	print("to NULL", s = talloc_asprintf_append(NULL, "%d", 2));
	talloc_free(s);
	print("nothing", talloc_asprintf_append(text("one"), "%s", empty));
	print("nothing to NULL", s = talloc_asprintf_append(NULL, "%s", empty));
	talloc_free(s);
	s = text("cut here");
	s[3] = '\0';
	print("at the terminator", talloc_asprintf_append(s, "%c", '!'));
	print("va", by_va(1, text("one"), " %s", "list"));

	section("asprintf_append_buffer");
	print("to text", talloc_asprintf_append_buffer(text("one"), " %d", 2));
	print("to NULL", s = talloc_asprintf_append_buffer(NULL, "%d", 2));
	talloc_free(s);
	print("nothing", talloc_asprintf_append_buffer(text("one"), "%s", empty));
	s = text("cut here");
	s[3] = '\0';
	s = talloc_asprintf_append_buffer(s, "%c", '!');
	print("before the cut", s);
	print("behind the cut", talloc_strdup(root, s + 4));
	print("va", by_va(2, text("one"), " %s", "list"));

	section("asprintf_addbuf");
	s = text("one");
	talloc_asprintf_addbuf(&s, " %d", 2);
	print("to text", s);
	s = NULL;
	talloc_asprintf_addbuf(&s, " %d", 2);
	print("to NULL", s);

	section("a name that is not its own");
	s = text("text");
	talloc_set_name_const(s, "given");
	print("kept when nothing is appended", s = talloc_strdup_append(s, ""));
	print("lost when something is", talloc_strdup_append(s, "!"));
	s = text("text");
	talloc_set_name_const(s, "given");
	print("lost with printf", talloc_asprintf_append(s, "!"));

	section("children of a string move with it");
	s = text("text");
	node(s, "child");
	for (i = 0; i < 2000; i++) {
		s = talloc_strdup_append_buffer(s, "0123456789");
	}
	show(strlen(s));
	show(talloc_get_size(s));
	show(talloc_total_blocks(s));
	talloc_free(s);

	section("in a pool");
	pool = (char *)talloc_pool(root, 1000);
	s = talloc_strdup(pool, "start");
	for (i = 0; i < 50; i++) {
		s = talloc_asprintf_append(s, ", %d", i);
	}
	print("grown", s);
	node(pool, "in the way");
	for (i = 0; i < 50; i++) {
		s = talloc_asprintf_append_buffer(s, ", %d", i);
	}
	print("moved out", s);
	show(talloc_total_blocks(pool));

	section("append to itself, in part");
	s = text("abc");
	print("twice", talloc_asprintf_append(s, "%s", "abc"));

	talloc_free(root);
	return 0;
}
