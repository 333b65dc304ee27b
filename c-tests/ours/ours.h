/*
 * What the tests of tmempool alone share, besides check.h: faults that are caught
 * and counted instead of ending the process, and what a process takes of memory.
 */
#ifndef OURS_H
#define OURS_H

#include <check.h>

#include <pthread.h>

#define UNKNOWN "Bad talloc magic value - unknown value"
#define AFTER_FREE "Bad talloc magic value - access after free"

/* The last reason to abort, and how many there were. */
static char ours_reason[300];
static int ours_faults;
/* The last log messages, one after the other. */
static char ours_log[2000];

MAYBE void ours_abort(const char *reason)
{
	snprintf(ours_reason, sizeof(ours_reason), "%s", reason);
	ours_faults++;
}

MAYBE void ours_collect(const char *message)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t length;

	pthread_mutex_lock(&lock);
	length = strlen(ours_log);
	snprintf(ours_log + length, sizeof(ours_log) - length, "%s", message);
	pthread_mutex_unlock(&lock);
}

/* From here on, faults are counted, and the log is collected. */
MAYBE void catch_faults(void)
{
	talloc_set_abort_fn(ours_abort);
	talloc_set_log_fn(ours_collect);
	ours_faults = 0;
	ours_reason[0] = ours_log[0] = '\0';
}

/* Wants exactly one fault since the last time, for this reason. */
#define expect_fault(wanted)                                              \
	do {                                                              \
		if (ours_faults != 1 || strcmp(ours_reason, wanted) != 0) { \
			printf("%s: %d faults, the last '%s'\n",          \
			       __location__, ours_faults, ours_reason);   \
			fflush(stdout);                                   \
			_exit(99);                                        \
		}                                                         \
		ours_faults = 0;                                          \
		ours_reason[0] = ours_log[0] = '\0';                      \
	} while (0)

/* Wants none. */
#define expect_no_fault()                                                 \
	do {                                                              \
		if (ours_faults != 0) {                                   \
			printf("%s: unexpected fault '%s'\n",             \
			       __location__, ours_reason);                \
			fflush(stdout);                                   \
			_exit(99);                                        \
		}                                                         \
	} while (0)

/* Runs fn in a process of its own, which must end well and in time. */
MAYBE void must_pass(const char *title, void (*fn)(void))
{
	int status = 0;
	pid_t pid;

	puts(title);
	fflush(stdout);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		alarm(100);
		fn();
		fflush(stdout);
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	if (status != 0) {
		printf("%s: wait status %#x\n", title, (unsigned)status);
		fflush(stdout);
		_exit(99);
	}
}

/* KiB of memory in use by this process, of the kind: "VmRSS:" or "VmSize:". */
MAYBE long kib_of(const char *kind)
{
	char line[200];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "r");

	check(f != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, kind, strlen(kind)) == 0) {
			kib = strtol(line + strlen(kind), NULL, 10);
		}
	}
	fclose(f);
	check(kib >= 0);
	return kib;
}

#endif
