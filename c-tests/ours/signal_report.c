/*
 * A report inside a signal handler, while the program it interrupts allocates: as
 * daemons do on SIGUSR1. It may show a moment in the middle, but it ends.
 */
#include "ours.h"

#include <sys/time.h>

static FILE *null;
static char *quiet, *busy;
static volatile int reports;
static volatile bool of_all;

/* The next report is so many microseconds away. */
enum { PAUSE = 500 };

/* Once: where a report takes longer than that, the program would never go on between two. */
static void start(void)
{
	const struct itimerval once = {{0, 0}, {0, PAUSE}};

	check(setitimer(ITIMER_REAL, &once, NULL) == 0);
}

static void handler(int signal)
{
	(void)signal;
	talloc_report_full(quiet, null);
	check(talloc_total_blocks(quiet) == 1001);
	talloc_report(busy, null);
	if (of_all) {
		talloc_report_full(NULL, null);
		(void)talloc_total_size(NULL);
	}
	reports++;
	start();
}

static void work(int enough)
{
	unsigned round = 0;

	reports = 0;
	start();
	while (reports < enough) {
		char *root = talloc_asprintf(NULL, "root %u", round++);
		char *p;
		int i;

		for (i = 0; i < 50; i++) {
			p = (char *)talloc_size(i % 2 ? root : busy, i * 40);
			check(p != NULL);
			if (i % 5 == 0) {
				check(talloc_reference(root, p) == p);
			}
			if (i % 9 == 0) {
				p = (char *)talloc_realloc_size(root, node(root, "x"), 3000);
				check(p != NULL);
			}
		}
		talloc_free_children(busy);
		check(talloc_free(root) == 0);
	}
}

int main(void)
{
	struct sigaction action;
	const struct itimerval never = {{0, 0}, {0, 0}};
	int i;

	catch_faults();
	null = fopen("/dev/null", "w");
	check(null != NULL);
	quiet = node(NULL, "quiet");
	for (i = 0; i < 1000; i++) {
		node(quiet, "child");
	}
	busy = node(NULL, "busy");
	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	action.sa_flags = SA_RESTART;
	check(sigaction(SIGALRM, &action, NULL) == 0);

	puts("of a tree at rest and one at work");
	work(2000);
	check(setitimer(ITIMER_REAL, &never, NULL) == 0);

	puts("of all there is");
	talloc_enable_null_tracking();
	talloc_steal(NULL, quiet);
	talloc_steal(NULL, busy);
	of_all = true;
	work(2000);
	check(setitimer(ITIMER_REAL, &never, NULL) == 0);
	talloc_disable_null_tracking();

	check(talloc_free(quiet) == 0);
	check(talloc_free(busy) == 0);
	expect_no_fault();
	return 0;
}
