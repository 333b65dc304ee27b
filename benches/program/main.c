/*
 * The clock, the checks and the command line.
 *
 *   talloc-bench list
 *   talloc-bench run WORKLOAD talloc|bare SIZE ROUNDS ENOUGH_MS
 *   talloc-bench hot CALL COUNT        (for callgrind: no clock)
 *   talloc-bench memory WHAT SIZE COUNT
 *   talloc-bench settle MIB            (before a process whose page faults count)
 *
 * BENCH_EXPECT_TALLOC and BENCH_EXPECT_MALLOC name the files that talloc_free
 * and malloc must come from; anything else ends the process before it measures
 * the wrong thing. SIZE 0 is the workload's own.
 */
#include "bench.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

static const struct workload *const families[] = {
	churn_workloads, wide_workloads, tree_workloads, request_workloads,
	pool_workloads, moving_workloads, string_workloads, realloc_workloads,
	lookup_workloads, report_workloads, small_workloads, thread_workloads,
};

/* A pass ends a round no later than this, however little it put on the clock. */
static const uint64_t ROUND_WALL_NS = 400 * 1000 * 1000;

/* Passes free what they make; an allocator may keep a little more of it each time. */
static const long ROOM_TO_GROW_KIB = 16 * 1024;

static uint64_t now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void clock_start(struct pass *pass)
{
	pass->started = now(pass->wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID);
}

/* What an empty stretch on the clock takes: not the workload's to pay. */
static uint64_t clock_cost;

void clock_stop(struct pass *pass, uint64_t ops)
{
	uint64_t ns = now(pass->wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID) - pass->started;
	pass->ns += ns > clock_cost ? ns - clock_cost : 0;
	pass->ops += ops;
}

static void measure_clock(bool wall)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 200; i++) {
		struct pass pass = { .wall = wall };
		clock_start(&pass);
		clock_stop(&pass, 0);
		least = pass.ns < least ? pass.ns : least;
	}
	clock_cost = least;
}

bool clock_wants_more(struct pass *pass, uint64_t ops)
{
	clock_stop(pass, ops);
	return !pass->verify && pass->ns < pass->enough_ns;
}

void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "talloc-bench: check failed: %s\n", what);
		exit(3);
	}
}

static _Atomic unsigned long deaths_expected, deaths_seen;

static int die(void *witness)
{
	(void)witness;
	deaths_seen++;
	return 0;
}

void add_witness(const void *context)
{
	void *witness = talloc_named_const(context, 1, "witness");

	check(witness != NULL, "out of memory");
	_talloc_set_destructor(witness, die);
	deaths_expected++;
}

long status_kib(const char *file, const char *key)
{
	char line[256];
	long kib = -1;
	FILE *status = fopen(file, "r");

	check(status != NULL, "cannot read what the kernel says about this process");
	while (kib < 0 && fgets(line, sizeof(line), status) != NULL) {
		if (strncmp(line, key, strlen(key)) == 0) {
			kib = strtol(line + strlen(key), NULL, 10);
		}
	}
	fclose(status);
	check(kib >= 0, "the kernel does not say how much memory is in use");
	return kib;
}

/* The file that the code at `address` was loaded from. */
static void file_of(const void *address, char path[PATH_MAX])
{
	char line[PATH_MAX + 128];
	FILE *maps = fopen("/proc/self/maps", "r");

	check(maps != NULL, "cannot read /proc/self/maps");
	path[0] = '\0';
	while (fgets(line, sizeof(line), maps) != NULL) {
		unsigned long from, to;
		int name = 0;
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &from, &to, &name) == 2 &&
		    (unsigned long)address >= from && (unsigned long)address < to) {
			snprintf(path, PATH_MAX, "%s", line + name);
			path[strcspn(path, "\n")] = '\0';
		}
	}
	fclose(maps);
}

static void expect_library(const char *variable, const void *address)
{
	const char *expected = getenv(variable);
	char wanted[PATH_MAX], loaded[PATH_MAX];

	if (expected == NULL) {
		return;
	}
	check(realpath(expected, wanted) != NULL, "an expected library does not exist");
	file_of(address, loaded);
	if (strcmp(wanted, loaded) != 0) {
		fprintf(stderr, "talloc-bench: %s is %s, but %s was loaded\n", variable, wanted, loaded);
		exit(4);
	}
}

/* Runs `body(argument)` on a stack of 4 GiB, of which only what is touched exists. */
static void on_huge_stack(void (*body)(void))
{
	static ucontext_t back, there;
	const size_t size = (size_t)4 << 30;
	void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	check(stack != MAP_FAILED, "cannot reserve a huge stack");
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = size;
	there.uc_link = &back;
	makecontext(&there, body, 0);
	swapcontext(&back, &there);
	munmap(stack, size);
}

static const struct workload *find_workload(const char *name)
{
	for (size_t f = 0; f < COUNT_OF(families); f++) {
		for (const struct workload *w = families[f]; w->name != NULL; w++) {
			if (strcmp(w->name, name) == 0) {
				return w;
			}
		}
	}
	check(false, "no such workload (see `talloc-bench list`)");
	return NULL;
}

/*
 * Touches and frees `mib` MiB, so that the pages which the next process gets
 * are ones that the machine really has: a virtual machine takes free memory
 * away and gives it back, page by page, when it is next touched, which costs
 * many times what the kernel's own work does.
 */
static int settle(size_t mib)
{
	size_t available = (size_t)status_kib("/proc/meminfo", "MemAvailable:") / 1024;
	size_t bytes = (mib < available / 2 ? mib : available / 2) << 20;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	check(memory != MAP_FAILED, "cannot map memory to settle");
	madvise(memory, bytes, MADV_HUGEPAGE);
	for (size_t at = 0; at < bytes; at += 4096) {
		memory[at] = 1;
	}
	return 0;
}

static void list(void)
{
	for (size_t f = 0; f < COUNT_OF(families); f++) {
		for (const struct workload *w = families[f]; w->name != NULL; w++) {
			printf("{\"name\":\"%s\",\"op\":\"%s\",\"size\":%zu,\"bare\":%s,\"cold\":%s}\n",
			       w->name, w->op, w->size, w->bare != NULL ? "true" : "false",
			       w->kind & COLD ? "true" : "false");
		}
	}
}

/* What `run` was asked for; global because a context switch takes no arguments. */
static struct {
	const struct workload *workload;
	void (*pass)(struct pass *);
	size_t size;
	unsigned rounds;
	uint64_t enough_ns;
} job;

/*
 * The untimed pass that checks at any price: on a full stage, or before a cold
 * pass on one so small that it warms nothing.
 */
static void verify(struct pass pass, bool cold)
{
	pass.verify = true;
	pass.size = cold ? 1000 : pass.size;
	job.pass(&pass);
	check(deaths_seen == deaths_expected, "something that was freed lives on");
}

static void run_rounds(void)
{
	struct pass pass = {
		.size = job.size, .wall = job.workload->kind & WALL, .enough_ns = job.enough_ns
	};
	long one_pass = 0, peak;
	bool grows;

	measure_clock(pass.wall);
	verify(pass, job.workload->kind & COLD);
	one_pass = status_kib("/proc/self/status", "VmHWM:");
	printf("{\"rounds\":[");
	for (unsigned round = 0; round < job.rounds; round++) {
		uint64_t deadline = now(CLOCK_MONOTONIC) + ROUND_WALL_NS;
		pass.ns = pass.ops = 0;
		do {
			job.pass(&pass);
		} while (!(job.workload->kind & COLD) && pass.ns < job.enough_ns &&
			 now(CLOCK_MONOTONIC) < deadline);
		printf("%s{\"ns\":%llu,\"ops\":%llu}", round ? "," : "",
		       (unsigned long long)pass.ns, (unsigned long long)pass.ops);
	}
	peak = status_kib("/proc/self/status", "VmHWM:");
	grows = !(job.workload->kind & COLD) && peak >= one_pass + one_pass / 2 + ROOM_TO_GROW_KIB;
	printf("],\"peak_rss_kib\":%ld,\"grows\":%s}\n", peak, grows ? "true" : "false");
}

static int run(char **args)
{
	bool bare = strcmp(args[1], "bare") == 0;

	job.workload = find_workload(args[0]);
	check(bare || strcmp(args[1], "talloc") == 0, "the variant is talloc or bare");
	job.pass = bare ? job.workload->bare : job.workload->talloc;
	check(job.pass != NULL, "this workload has no bare variant");
	job.size = strtoull(args[2], NULL, 10);
	if (job.size == 0) {
		job.size = job.workload->size;
	}
	job.rounds = job.workload->kind & COLD ? 1 : (unsigned)strtoul(args[3], NULL, 10);
	job.enough_ns = strtoull(args[4], NULL, 10) * 1000000u;
	if (job.workload->kind & DEEP) {
		on_huge_stack(run_rounds);
	} else {
		run_rounds();
	}
	return 0;
}

int main(int argc, char **argv)
{
	expect_library("BENCH_EXPECT_TALLOC", (const void *)(uintptr_t)_talloc_free);
	expect_library("BENCH_EXPECT_MALLOC", (const void *)(uintptr_t)malloc);
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		list();
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "hot") == 0) {
		list_hot();
		return 0;
	}
	if (argc == 7 && strcmp(argv[1], "run") == 0) {
		return run(argv + 2);
	}
	if (argc == 3 && strcmp(argv[1], "settle") == 0) {
		return settle(strtoull(argv[2], NULL, 10));
	}
	if (argc == 4 && strcmp(argv[1], "hot") == 0) {
		return run_hot(argv[2], strtoull(argv[3], NULL, 10));
	}
	if (argc == 5 && strcmp(argv[1], "memory") == 0) {
		return run_memory(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	}
	fputs("usage: talloc-bench list | run WORKLOAD talloc|bare SIZE ROUNDS ENOUGH_MS\n"
	      "       talloc-bench hot [CALL COUNT] | memory WHAT SIZE COUNT | settle MIB\n", stderr);
	return 2;
}
