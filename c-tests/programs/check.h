/*
 * What every test program begins with.
 *
 * A program prints a trace of what the library did. Nothing in a trace may
 * depend on an address or on the size of a header: chunks are shown by name,
 * and the addresses in reports are masked. So one binary, run with two
 * libraries, prints the same bytes. Where it does not, and is right not to,
 * the program says so with differs().
 *
 * When CHECK_LIBRARY_FILE names a file, the library that really serves this
 * process is written there before main() runs; the runner insists on it.
 */
#ifndef CHECK_H
#define CHECK_H

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <talloc.h>

#define MAYBE __attribute__((unused)) static

/* A heading in the trace. */
#define section(title) printf("\n== %s\n", title)

/* Prints an expression's text and its value. */
#define show(expression) printf("%s = %ld\n", #expression, (long)(expression))

/* Fails the program at once: for what must hold whatever the library is. */
#define check(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			printf("%s: NOT TRUE: %s\n", __location__, #condition); \
			fflush(stdout);                                        \
			_exit(99);                                             \
		}                                                              \
	} while (0)

/* The name of a live chunk, or NULL. */
MAYBE const char *who(const void *ptr)
{
	return ptr == NULL ? "NULL" : talloc_get_name(ptr);
}

/* A named chunk of one byte: what most trees here are made of. */
MAYBE char *node(const void *parent, const char *name)
{
	return (char *)talloc_named_const(parent, 1, name);
}

/* Prints text with its newlines and tabs made visible. */
MAYBE void print_quoted(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '\n': fputs("\\n", stdout); break;
		case '\t': fputs("\\t", stdout); break;
		default: putchar(*text);
		}
	}
	puts("\"");
}

/* Prints text with every 0x... address masked. */
MAYBE void print_masked(const char *text)
{
	while (*text != '\0') {
		if (strncmp(text, "0x", 2) == 0) {
			text += 2;
			text += strspn(text, "0123456789abcdef");
			fputs("ADDRESS", stdout);
		} else {
			putchar(*text++);
		}
	}
}

/* Each log message, quoted, one to a line. */
MAYBE void log_line(const char *message)
{
	fputs("log ", stdout);
	print_quoted(message);
}

/* The full report below ptr, addresses masked. */
MAYBE void report(const void *ptr)
{
	char *text = NULL;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);

	talloc_report_full(ptr, f);
	fclose(f);
	print_masked(text);
	free(text);
}

/* Runs fn in a process of its own and prints how that process ended. */
MAYBE void in_child(const char *title, void (*fn)(void))
{
	int status = 0;
	pid_t pid;

	printf("-- %s\n", title);
	fflush(stdout);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		fn();
		fflush(stdout);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status)) {
		printf("-- ended by signal %s\n", sigabbrev_np(WTERMSIG(status)));
	} else {
		printf("-- exit status %d\n", WEXITSTATUS(status));
	}
}

/*
 * A result on which talloc and tmempool differ for a stated reason. The runner
 * wants talloc's value from talloc and tmempool's from tmempool.
 */
MAYBE void differs(const char *why, const char *talloc_says,
		   const char *tmempool_says, const char *got)
{
	printf("!differs\t%s\t%s\t%s\t%s\n", why, talloc_says, tmempool_says,
	       got);
}

MAYBE void differs_number(const char *why, long talloc_says,
			  long tmempool_says, long got)
{
	printf("!differs\t%s\t%ld\t%ld\t%ld\n", why, talloc_says,
	       tmempool_says, got);
}

/* Writes the path of the library that answers for talloc in this process. */
__attribute__((constructor)) static void check_begin(void)
{
	const char *path = getenv("CHECK_LIBRARY_FILE");
	void *symbol = dlsym(RTLD_DEFAULT, "talloc_version_major");
	Dl_info info;
	const struct rlimit none = {0, 0};
	FILE *f;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setrlimit(RLIMIT_CORE, &none); /* many end by abort, on purpose */
	if (path == NULL) {
		return;
	}
	f = fopen(path, "w");
	check(f != NULL);
	if (symbol != NULL && dladdr(symbol, &info) != 0) {
		fprintf(f, "%s\n", info.dli_fname);
	}
	fclose(f);
}

#endif
