/*
 * A signal handler at every instruction of a call.
 *
 *     static const struct steps steps = {"talloc_size", work, intrude, verify};
 *     struct steps_outcome outcome = interrupt_each(&steps, 1);
 *
 * `work` runs once, instruction by instruction. Before each of them a signal handler copies the process, with all that the
 * call has half done. In the copy the handler calls `intrude`, and returns; `work` goes on to its end, at
 * full speed, and `verify` looks whether all is as it has to be. It uses check(), as all three may.
 *
 * So a copy ends well, or aborts in `intrude` with the reason that says that a signal handler uses what its thread was
 * changing. How many did which, is the outcome; any other end of a copy fails the program: another
 * reason, a crash, a handler that waits for ever, something that `verify` finds.
 *
 * What `work` has to find is made before; the process goes on with what `work` has done, uninterrupted. One thread only. A
 * copy is made past the C library, so that no fork handlers run: it goes on as if it were the process.
 *
 * Where the processor offers no way to do this, `work` just runs: the outcome has no places.
 */
#ifndef STEPS_H
#define STEPS_H

#include "ours.h"

#include <sys/syscall.h>
#include <ucontext.h>

#define INTERRUPTED "A signal handler uses memory that its thread was in the middle of changing"

struct steps {
	const char *title;
	void (*work)(void), (*intrude)(void), (*verify)(void);
};

struct steps_outcome {
	/* Places where `work` was interrupted; and of those, where all went well, and where the handler was refused. */
	unsigned places, went_well, refused;
};

#if defined(__x86_64__) && !defined(__ILP32__)

enum { TRAP_FLAG = 0x100, REFUSED = 77, STEP_SECONDS = 20 };

/* What is going on, for the handlers. */
static const struct steps *steps_now;
static struct steps_outcome steps_sum;
static unsigned steps_apart, steps_seen;
/* In a copy: which instruction was interrupted. */
static unsigned steps_copy;

/* In a copy the reason is looked at, and nothing is left to look at after. */
static void steps_abort(const char *reason)
{
	if (steps_copy != 0 && strcmp(reason, INTERRUPTED) == 0) {
		_exit(REFUSED);
	}
	printf("%s, instruction %u: %s\n", steps_now->title, steps_copy, reason);
	fflush(stdout);
	_exit(99);
}

static void steps_wait_for(pid_t copy, const void *at)
{
	Dl_info where;
	int status = 0;

	check(waitpid(copy, &status, 0) == copy);
	steps_sum.places++;
	if (status == 0) {
		steps_sum.went_well++;
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED) {
		steps_sum.refused++;
	} else {
		printf("%s, instruction %u", steps_now->title, steps_seen);
		if (dladdr(at, &where) != 0) {
			printf(" (%s+%#zx)", where.dli_fname, (size_t)at - (size_t)where.dli_fbase);
		}
		printf(": wait status %#x\n", (unsigned)status);
		fflush(stdout);
		_exit(99);
	}
}

/* Comes before each instruction. */
static void steps_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = (ucontext_t *)context;
	int kept = errno;
	pid_t copy;

	(void)signal;
	(void)info;
	if (steps_seen++ % steps_apart == 0) {
		copy = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		check(copy >= 0);
		if (copy == 0) {
			interrupted->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
			steps_copy = steps_seen;
			alarm(STEP_SECONDS);
			steps_now->intrude();
		} else {
			steps_wait_for(copy, (const void *)interrupted->uc_mcontext.gregs[REG_RIP]);
		}
	}
	errno = kept;
}

/* Past the 128 bytes below the stack's end, which belong to the function. */
#define SET_FLAGS(change)                                                             \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" change "\n\tpopfq\n\t" \
			 "lea 128(%%rsp), %%rsp" ::: "memory", "cc")

/* Interrupts `work` at its first instruction and at each `apart`-th from there. */
MAYBE struct steps_outcome interrupt_each(const struct steps *steps, unsigned apart)
{
	struct sigaction action, before;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = steps_trap;
	action.sa_flags = SA_SIGINFO;
	check(sigaction(SIGTRAP, &action, &before) == 0);
	talloc_set_abort_fn(steps_abort);
	fflush(stdout);
	steps_now = steps;
	steps_apart = apart;
	steps_seen = 0;
	memset(&steps_sum, 0, sizeof(steps_sum));
	SET_FLAGS("orq $0x100, (%%rsp)");
	steps->work();
	SET_FLAGS("andq $~0x100, (%%rsp)");
	if (steps_copy != 0) {
		steps->verify();
		_exit(0);
	}
	check(sigaction(SIGTRAP, &before, NULL) == 0);
	check(steps_sum.places > 0);
	return steps_sum;
}

#else

MAYBE struct steps_outcome interrupt_each(const struct steps *steps, unsigned apart)
{
	struct steps_outcome none = {0, 0, 0};

	(void)apart;
	steps->work();
	return none;
}

#endif

#endif
