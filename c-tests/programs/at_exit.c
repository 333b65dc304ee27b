/* What happens at exit: the autofree context and the leak reports. */
#include "check.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Leak reports go to stderr: here, to the trace, addresses masked. */
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

static void at_exit_first(void) { puts("exit handler of before"); }
static void at_exit_last(void) { puts("exit handler of after"); }

static void autofree(void)
{
	char *ctx, *p;

	atexit(at_exit_first);
	ctx = (char *)talloc_autofree_context();
	atexit(at_exit_last);
	printf("%s, parent %s, size %zu\n", who(ctx), who(talloc_parent(ctx)),
	       talloc_get_size(ctx));
	show(talloc_autofree_context() == ctx);
	p = node(ctx, "p");
	talloc_set_destructor(p, say);
	p = node(p, "q");
	talloc_set_destructor(p, say);
}

static void autofree_veto(void)
{
	char *p = node(talloc_autofree_context(), "p");

	talloc_set_destructor(p, veto);
}

static void autofree_freed(void)
{
	char *p = node(talloc_autofree_context(), "p");

	talloc_set_destructor(p, say);
	show(talloc_free(talloc_autofree_context()));
	p = node(talloc_autofree_context(), "again");
	talloc_set_destructor(p, say);
	show(talloc_total_blocks(talloc_autofree_context()));
}

static void autofree_unused(void)
{
	node(NULL, "leaked, and nobody is told");
}

static int allocate(char *p)
{
	char *q;

	say(p);
	q = node(talloc_autofree_context(), "late");
	printf("late: %s\n", who(q));
	return 0;
}

static void autofree_used_in_destructor(void)
{
	char *p = node(talloc_autofree_context(), "p");

	talloc_set_destructor(p, allocate);
}

static void autofree_below_null(void)
{
	char *p;

	talloc_enable_null_tracking();
	p = node(talloc_autofree_context(), "p");
	talloc_set_destructor(p, say);
	report(NULL);
}

static void leak_report_with_leak(void)
{
	talloc_enable_leak_report();
	node(node(NULL, "a"), "b");
	node(NULL, "c");
}

static void leak_report_full_with_leak(void)
{
	talloc_enable_leak_report_full();
	node(node(NULL, "a"), "b");
	node(NULL, "c");
}

static void leak_report_without_leak(void)
{
	talloc_enable_leak_report();
	talloc_free(node(NULL, "a"));
}

static void leak_report_full_without_leak(void)
{
	talloc_enable_leak_report_full();
	talloc_free(node(NULL, "a"));
}

static void leak_of_no_bytes(void)
{
	talloc_enable_leak_report_full();
	(void)!talloc_new(NULL);
}

static void both_reports(void)
{
	talloc_enable_leak_report();
	talloc_enable_leak_report_full();
	node(node(NULL, "a"), "b");
}

static void report_twice(void)
{
	talloc_enable_leak_report_full();
	talloc_enable_leak_report_full();
	node(NULL, "a");
}

static void report_and_autofree(void)
{
	talloc_enable_leak_report();
	node(talloc_autofree_context(), "a");
}

static void report_full_and_autofree(void)
{
	talloc_enable_leak_report_full();
	node(talloc_autofree_context(), "a");
}

static void autofree_then_report(void)
{
	node(talloc_autofree_context(), "a");
	talloc_enable_leak_report_full();
	node(NULL, "b");
}

static void report_then_disabled(void)
{
	talloc_enable_leak_report_full();
	node(NULL, "a");
	talloc_disable_null_tracking();
}

static void freed_in_a_later_handler(void);

static char *global;

static void free_global(void)
{
	printf("free in a handler: %d\n", talloc_free(global));
}

static void freed_in_a_later_handler(void)
{
	atexit(free_global);
	talloc_enable_leak_report_full();
	global = node(NULL, "global");
}

/* Runs fn in a child that ends by exit(), its stderr masked. */
static void run(const char *title, void (*fn)(void))
{
	char line[1000];
	int status, fds[2];
	pid_t pid;
	FILE *f;

	section(title);
	fflush(stdout);
	check(pipe(fds) == 0);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		fn();
		exit(0);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		print_masked(line);
	}
	fclose(f);
	check(waitpid(pid, &status, 0) == pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	talloc_set_log_fn(log_line);
	run("autofree", autofree);
	run("autofree: a veto", autofree_veto);
	run("autofree: freed by hand", autofree_freed);
	run("autofree: unused", autofree_unused);
	run("autofree: used in a destructor at exit", autofree_used_in_destructor);
	run("autofree: below null_context", autofree_below_null);
	run("leak report, leaks", leak_report_with_leak);
	run("leak report in full, leaks", leak_report_full_with_leak);
	run("leak report, none", leak_report_without_leak);
	run("leak report in full, none", leak_report_full_without_leak);
	run("leak report in full, a leak of no bytes", leak_of_no_bytes);
	run("both reports", both_reports);
	run("one report, asked for twice", report_twice);
	run("leak report and autofree", report_and_autofree);
	run("leak report in full and autofree", report_full_and_autofree);
	run("autofree, then leak report", autofree_then_report);
	run("leak report, tracking disabled again", report_then_disabled);
	run("freed in another exit handler", freed_in_a_later_handler);
	return 0;
}
