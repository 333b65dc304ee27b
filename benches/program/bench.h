/*
 * The frame that every workload hangs in.
 *
 * A workload is a function that makes one *pass*: it sets its stage up, runs
 * the clock around the work of interest, says how many operations that was,
 * checks what it left behind and clears up. `main.c` repeats passes until a
 * round has enough time on the clock.
 *
 * Most workloads are written once and compiled twice, against talloc and
 * against bare malloc (`enum via`, `BOTH`): the two do the same work with the
 * same sizes, lifetimes and touches, because they are the same code.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <talloc.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* One pass, and what it put on the clock. */
struct pass {
	size_t size;        /* structural size: live objects, siblings, depth … */
	bool verify;        /* untimed first pass: check at any price */
	bool wall;          /* wall time (threads) instead of CPU time */
	uint64_t enough_ns; /* repeating loops inside a pass stop here */
	uint64_t ns;        /* on the clock so far in this round */
	uint64_t ops;       /* operations those nanoseconds paid for */
	uint64_t started;
};

enum workload_kind {
	WARM = 0, /* repeated passes after an untimed one */
	COLD = 1, /* one pass in a fresh process */
	WALL = 2, /* threaded: wall time */
	DEEP = 4, /* recursion in the library: run on a huge stack */
};

struct workload {
	const char *name; /* family/what */
	const char *op;   /* what one operation is */
	size_t size;      /* default structural size */
	unsigned kind;
	void (*talloc)(struct pass *);
	void (*bare)(struct pass *); /* NULL where malloc has no such thing */
};

/* The families; each array ends with a NULL name. */
extern const struct workload churn_workloads[], wide_workloads[], tree_workloads[],
	request_workloads[], pool_workloads[], moving_workloads[], string_workloads[],
	realloc_workloads[], lookup_workloads[], report_workloads[], small_workloads[],
	thread_workloads[];

void clock_start(struct pass *pass);
void clock_stop(struct pass *pass, uint64_t ops);
/* Stops, and says whether a loop of repetitions should go on. */
bool clock_wants_more(struct pass *pass, uint64_t ops);

/* Ends the process with status 3 and the message when `ok` is false. */
void check(bool ok, const char *what);

/* Gives `context` a child whose destructor tells that it died. */
void add_witness(const void *context);

/*
 * In the verifying pass, sees to it that the free that follows reaches what
 * lies in `context`: the frame counts the witnesses that die.
 */
ALWAYS_INLINE void expect_death(const struct pass *pass, const void *context)
{
	if (__builtin_expect(pass->verify, 0)) {
		add_witness(context);
	}
}

/* The number behind `key` in a file like /proc/self/status. */
long status_kib(const char *file, const char *key);

/* main.c's other verbs. */
int run_hot(const char *call, uint64_t count);
void list_hot(void);
int run_memory(const char *what, size_t size, size_t count);

/* --- the two ways to get memory --- */

enum via { TALLOC, BARE };

/* Makes `NAME_talloc` and `NAME_bare` out of `NAME(pass, via, …)`. */
#define BOTH(name, body, ...)                                                  \
	static void name##_talloc(struct pass *pass) { body(pass, TALLOC __VA_OPT__(, ) __VA_ARGS__); } \
	static void name##_bare(struct pass *pass) { body(pass, BARE __VA_OPT__(, ) __VA_ARGS__); }

ALWAYS_INLINE void *object_new(enum via via, const void *parent, size_t size)
{
	void *object = via == TALLOC ? talloc_named_const(parent, size, "object") : malloc(size);
	if (__builtin_expect(object == NULL, 0)) {
		check(false, "out of memory");
	}
	return object;
}

ALWAYS_INLINE void object_free(enum via via, void *object)
{
	if (via == TALLOC) {
		talloc_free(object);
	} else {
		free(object);
	}
}

/* Every object is written at both ends when made … */
ALWAYS_INLINE void stamp(void *object, size_t size, uint64_t value)
{
	((char *)object)[size - 1] = (char)value;
	memcpy(object, &value, sizeof(value));
}

/* … and read before it goes. */
ALWAYS_INLINE uint64_t stamp_of(const void *object)
{
	uint64_t value;
	memcpy(&value, object, sizeof(value));
	return value;
}

/* Sizes of small objects: 16 to 128 bytes, the small ones more often. */
ALWAYS_INLINE size_t small_size(size_t i)
{
	static const uint8_t sizes[32] = {
		16, 24, 32, 48, 16, 64, 40, 24,  96,  32, 56, 16, 128, 24, 48, 80,
		32, 16, 72, 24, 40, 64, 32, 112, 16, 48, 24, 100, 32,  56, 20, 88,
	};
	return sizes[i % COUNT_OF(sizes)];
}

/* xorshift64: fast, and the same sequence for everyone. */
ALWAYS_INLINE uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

ALWAYS_INLINE size_t random_below(uint64_t *state, size_t bound)
{
	return (size_t)(((random_next(state) >> 32) * (uint64_t)bound) >> 32);
}

#define RANDOM_SEED UINT64_C(0x9e3779b97f4a7c15)

/* Keeps the compiler from dropping a value that nobody else reads. */
#define KEEP(value) __asm__ volatile("" : : "g"(value) : "memory")

#endif
