/* Prints which libtalloc it runs on, and then does what its argument says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef WITHOUT_TALLOC
static int talloc_version_major(void) { return 0; }
#else
int talloc_version_major(void);
#endif

static volatile sig_atomic_t caught;

static void note(int signal)
{
	caught = signal;
}

int main(int argc, char **argv)
{
	const char *act = argc > 1 ? argv[1] : "";

	printf("talloc %d as %s\n", talloc_version_major(), argv[0]);
	fflush(stdout);
	if (strcmp(act, "exit") == 0)
		exit(atoi(argv[2]));
	if (strcmp(act, "_exit") == 0)
		_exit(atoi(argv[2]));
	if (strcmp(act, "raise") == 0)
		raise(atoi(argv[2]));
	if (strcmp(act, "catch") == 0) {
		signal(SIGTERM, note);
		puts("ready");
		fflush(stdout);
		while (!caught)
			usleep(1000);
		printf("caught %d\n", (int)caught);
	}
	return 0;
}
