/*
 * TALLOC_FREE_FILL: freed payloads are filled. It is read once in a process, so
 * each value is tried in a new one. Only memory of a pool can be looked at after
 * a free, and only bytes that were the payload's own.
 */
#include "check.h"

static void look(const char *title, const char *p, size_t size, int expected)
{
	size_t i, same = 0;

	for (i = 0; i < size; i++) {
		same += (unsigned char)p[i] == expected;
	}
	printf("%s: %s\n", title,
	       same == size ? "filled" : same == 0 ? "untouched" : "in part");
}

static int with_value(const char *value)
{
	int expected = (int)strtoul(value, NULL, 0) & 0xff;
	char *pool = (char *)talloc_pool(NULL, 10000);
	char *p = (char *)talloc_size(pool, 100);
	char *q = (char *)talloc_size(pool, 200);
	char *child = (char *)talloc_size(q, 50);
	char *moved = (char *)talloc_size(pool, 300);

	node(pool, "behind");
	memset(p, 'p', 100);
	memset(q, 'q', 200);
	memset(child, 'c', 50);
	memset(moved, 'm', 300);
	talloc_free(p);
	look("a member", p, 100, expected);
	talloc_free(q);
	look("a member with a child", q, 200, expected);
	look("the child", child, 50, expected);
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const values[] = {
		"245", "0xf5", "0", "077", "1", "0x1ff",
	};
	size_t i;

	if (argc > 1) {
		return with_value(argv[1]);
	}
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		pid_t pid;
		int status;

		section(values[i]);
		fflush(stdout);
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			setenv("TALLOC_FREE_FILL", values[i], 1);
			unsetenv("CHECK_LIBRARY_FILE");
			execl("/proc/self/exe", argv[0], values[i], (char *)NULL);
			_exit(98);
		}
		check(waitpid(pid, &status, 0) == pid);
		show(WEXITSTATUS(status));
	}
	return 0;
}
