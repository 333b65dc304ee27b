/* Where messages go: nowhere, to stderr, to a function, and to nowhere again. */
#include "check.h"

/* Makes the library say something. */
static void say_something(void)
{
	char *a = node(NULL, "a");
	char *b = node(NULL, "b");

	talloc_reference(a, b);
	talloc_reference(a, b);
	show(talloc_free(b));
	talloc_steal(NULL, b);
	talloc_steal(node(a, "c"), b);
	show(talloc_free(a));
}

static int messages;

static void count(const char *message)
{
	check(message[strlen(message) - 1] == '\n');
	check(strchr(message, '\n') == message + strlen(message) - 1);
	messages++;
}

/* A function that uses the library itself. */
static void allocate(const char *message)
{
	char *copy = talloc_strdup(NULL, message);

	check(copy != NULL);
	check(talloc_free(copy) == 0);
	messages++;
}

static void unset(void) { say_something(); }

static void to_stderr(void)
{
	talloc_set_log_stderr();
	dup2(1, 2);
	say_something();
}

static void to_function(void)
{
	talloc_set_log_fn(count);
	say_something();
	show(messages);
}

static void to_function_that_allocates(void)
{
	talloc_set_log_fn(allocate);
	say_something();
	show(messages);
}

static void to_nowhere_again(void)
{
	talloc_set_log_stderr();
	talloc_set_log_fn(NULL);
	say_something();
}

static void print_ends(const char *text)
{
	size_t length = strlen(text);

	printf("%zu bytes, %.20s ... ", length, text);
	print_quoted(text + (length > 20 ? length - 20 : 0));
}

/* Far longer than a path and what is said about it. */
static void tell_if_cut(const char *text)
{
	differs("a message is made without memory, in some 4 KiB",
		"whole", "cut", strlen(text) > 100000 ? "whole" : "cut");
}

static void tell_and_leave(const char *reason)
{
	tell_if_cut(reason);
	fflush(stdout);
	_exit(3);
}

static void leave(const char *reason)
{
	print_ends(reason);
	fflush(stdout);
	_exit(3);
}

static void mismatch_of(size_t length)
{
	char *long_name = (char *)malloc(length + 1);
	char *p = node(NULL, "p");

	memset(long_name, 'x', length);
	long_name[length] = '\0';
	talloc_set_name_const(p, long_name);
	talloc_set_log_fn(length < 4000 ? print_ends : tell_if_cut);
	talloc_set_abort_fn(length < 4000 ? leave : tell_and_leave);
	_talloc_get_type_abort(p, "wanted", "here");
}

static void name_of_100(void) { mismatch_of(100); }
static void name_of_3000(void) { mismatch_of(3000); }
static void name_of_100000(void) { mismatch_of(100000); }

int main(void)
{
	in_child("unset", unset);
	in_child("to stderr", to_stderr);
	in_child("to a function", to_function);
	in_child("to a function that allocates", to_function_that_allocates);
	in_child("to nowhere again", to_nowhere_again);
	in_child("a name of 100 characters in a message", name_of_100);
	in_child("a name of 3000 characters in a message", name_of_3000);
	in_child("a name of 100000 characters in a message", name_of_100000);
	return 0;
}
