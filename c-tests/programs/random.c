/*
 * Random programs: a seed decides a sequence of operations on a forest of
 * chunks, whose destructors refuse, flee, allocate and free others. The trace
 * calls each chunk by its number.
 *
 *   random                     traces a few short programs
 *   random digest FIRST LAST   one checksum a seed, for long programs
 *   random trace SEED STEPS    the trace behind a checksum
 *   random limits FIRST LAST   as digest, with limits that nothing ever reaches:
 *                              the checksums are the same
 *   random threads FIRST LAST  each program alone, and then in one of four threads
 *                              that run at once: the checksums are the same
 */
#include "random_steps.h"

#include <pthread.h>

static bool in_threads;

/* A limit on some chunk, now and then; chance is not asked. */
static void limit_something(int n)
{
	int i = used == 0 ? 0 : n * 31 % used;

	if (n % 5 == 0 && chunks[i].ptr != NULL) {
		check(talloc_set_memlimit(chunks[i].ptr, (size_t)1 << 40) == 0);
	}
}

static void run(uint64_t seed, int steps)
{
	int n, alive;

	state = seed * 0x9e3779b97f4a7c15u + 1;
	used = link_count = deaths = 0;
	emptied = -1;
	if (seed % 3 == 0 && !in_threads) {
		talloc_enable_null_tracking();
	}
	refuge = node(NULL, "refuge");
	for (n = 0; n < steps; n++) {
		step();
		if (limiting) {
			limit_something(n);
		}
		if (n % 100 == 99) {
			int i;

			for (i = 0; i < used; i++) {
				if (chunks[i].ptr != NULL &&
				    talloc_parent(chunks[i].ptr) == NULL) {
					out_report(chunks[i].ptr);
				}
			}
			out_report(NULL);
		}
	}
	/* All goes: those that refuse or flee are asked again. */
	for (n = 0; n < used; n++) {
		chunks[n].manner = AGREES;
	}
	do {
		alive = 0;
		for (n = 0; n < used; n++) {
			if (chunks[n].ptr != NULL) {
				alive++;
				to_front(n);
				out("free %s\n", label(n));
				if (talloc_free(chunks[n].ptr) != 0) {
					talloc_unlink(talloc_parent(chunks[n].ptr),
						      chunks[n].ptr);
				}
			}
		}
	} while (alive > 0);
	out_report(refuge);
	talloc_free(refuge);
	out_report(NULL);
	if (!in_threads) {
		talloc_disable_null_tracking();
	}
}

enum { THREADS = 4, MAX_SEEDS = 1000 };

static uint64_t first_seed, last_seed, digests[MAX_SEEDS];

static uint64_t digest_of(uint64_t seed)
{
	digest = 0xcbf29ce484222325u;
	run(seed, 1500);
	return digest;
}

static void *every_fourth(void *argument)
{
	uint64_t seed;

	for (seed = first_seed + (long)argument; seed <= last_seed; seed += THREADS) {
		check(digest_of(seed) == digests[seed - first_seed]);
	}
	return NULL;
}

static void compare_in_threads(void)
{
	pthread_t threads[THREADS];
	uint64_t seed;
	long i;

	in_threads = true;
	check(last_seed - first_seed < MAX_SEEDS);
	for (seed = first_seed; seed <= last_seed; seed++) {
		digests[seed - first_seed] = digest_of(seed);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_create(&threads[i], NULL, every_fourth, (void *)i) == 0);
	}
	for (i = 0; i < THREADS; i++) {
		check(pthread_join(threads[i], NULL) == 0);
	}
	printf("%lu programs, the same in threads\n", last_seed - first_seed + 1);
}

int main(int argc, char **argv)
{
	uint64_t seed;

	talloc_set_log_fn(out_log);
	if (argc == 4 && strcmp(argv[1], "trace") != 0) {
		digesting = true;
		limiting = strcmp(argv[1], "limits") == 0;
		first_seed = strtoul(argv[2], NULL, 10);
		last_seed = strtoul(argv[3], NULL, 10);
		if (strcmp(argv[1], "threads") == 0) {
			compare_in_threads();
			return 0;
		}
		for (seed = first_seed; seed <= last_seed; seed++) {
			uint64_t sum = digest_of(seed);

			printf("%lu: %016lx, %d chunks\n", seed, sum, used);
		}
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "trace") == 0) {
		run(strtoul(argv[2], NULL, 10), atoi(argv[3]));
		return 0;
	}
	for (seed = 1; seed <= 3; seed++) {
		section("a random program");
		run(seed, 250);
	}
	return 0;
}
