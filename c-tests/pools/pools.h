/*
 * What the tests of tmempool.h share, besides ours.h: calls that must be refused with
 * a log line, and random numbers.
 */
#ifndef POOLS_H
#define POOLS_H

#include "ours.h"

#include <tmempool.h>

/* Wants the call to have been refused: this errno, and one log line, which says why. */
#define expect_errno(call, number, why)                                            \
	do {                                                                       \
		ours_log[0] = '\0';                                                \
		errno = 0;                                                         \
		check(call);                                                       \
		if (errno != (number) || strstr(ours_log, why) == NULL ||          \
		    strchr(ours_log, '\n') != ours_log + strlen(ours_log) - 1) {   \
			printf("%s: errno %d, log '%s'\n", __location__, errno,    \
			       ours_log);                                          \
			fflush(stdout);                                            \
			_exit(99);                                                 \
		}                                                                  \
		ours_log[0] = '\0';                                                \
	} while (0)

/* It made no sense. */
#define expect_refused(call, why) expect_errno(call, EINVAL, why)

/* It cannot be now. */
#define expect_busy(call, why) expect_errno(call, EBUSY, why)

/* Wants nothing to have been logged since the last time. */
#define expect_silence() check(ours_log[0] == '\0')

/* How often something is done: so often, or a hundredth of it where a slow tool watches, and says so with SHORT. */
MAYBE long often(long times)
{
	return getenv("SHORT") == NULL ? times : times / 100 + 10;
}

/* A random number below n, and the next state. */
MAYBE size_t draw(uint64_t *state, size_t n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (size_t)((*state * 0x2545f4914f6cdd1dULL) >> 33) % n;
}

#endif
