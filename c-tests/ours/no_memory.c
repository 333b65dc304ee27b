/*
 * No more memory, at any call: NULL and ENOMEM, nothing lost, the tree valid, the
 * report working, and all of it can be freed and used again. The address space is
 * limited in a process of its own for each operation.
 */
#include "ours.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static char *root;
static size_t step_size;

static int destructor(char *p)
{
	(void)p;
	return 0;
}

/* Leaves about 24 MiB of address space. */
static void limit_memory(void)
{
	struct rlimit limit;

	limit.rlim_cur = limit.rlim_max = (kib_of("VmSize:") + 24 * 1024) * 1024;
	check(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Everything still holds together and can be given back; then memory is there. */
static void afterwards(long done)
{
	FILE *null = fopen("/dev/null", "w");
	size_t blocks;
	char *p;

	/* stdio needs a little of its own. */
	if (null != NULL) {
		talloc_report_depth_file(root, 0, 100, null);
		fclose(null);
	}
	blocks = talloc_total_blocks(root);
	check(blocks >= 1);
	check(talloc_total_size(root) >= 1);
	talloc_free_children(root);
	check(talloc_total_blocks(root) == 1);
	p = (char *)talloc_zero_size(root, 100000);
	check(p != NULL);
	check(talloc_free(root) == 0);
	expect_no_fault();
	check(done > 10);
}

/* Repeats an operation until it says no. */
#define until_null(setup, expression)                        \
	do {                                                 \
		long done;                                   \
		setup;                                       \
		limit_memory();                              \
		for (done = 0; done < 100000000; done++) {   \
			errno = 0;                           \
			if ((expression) == NULL) {          \
				break;                       \
			}                                    \
		}                                            \
		check(errno == ENOMEM);                      \
		afterwards(done);                            \
	} while (0)

static void small(void) { until_null(, talloc_size(root, 10)); }
static void medium(void) { until_null(, talloc_size(root, 3000)); }
static void large(void) { until_null(, talloc_size(root, 500000)); }
static void zeroed(void) { until_null(, talloc_zero_size(root, 1000)); }
static void pools(void) { until_null(, talloc_pool(root, 5000)); }
static void objects(void) { until_null(, talloc_pooled_object(root, int, 3, 500)); }
static void strings(void) { until_null(, talloc_strdup(root, "some text")); }
static void parts(void) { until_null(, talloc_strndup(root, "some text", 5)); }
static void formatted(void) { until_null(, talloc_asprintf(root, "%1000d", 1)); }
static void copies(void) { until_null(, talloc_memdup(root, "0123456789", 10)); }
static void arrays(void) { until_null(, talloc_array(root, long, 100)); }
static void named(void) { until_null(, talloc_named(root, 10, "%1000d", 1)); }
static void in_pool(void)
{
	void *pool;

	until_null(pool = talloc_pool(root, 100000), talloc_size(pool, 100));
}

static void names(void)
{
	char *p;

	until_null(p = node(root, "p"), talloc_set_name(p, "%1000d", 1));
}

static void references(void)
{
	char *p, *q;

	until_null((p = node(root, "p"), q = node(root, "q")), talloc_reference(p, q));
}

/* Contexts a level deeper each time. */
static void chains(void)
{
	char *p = root, *q = NULL;

	until_null(, (q = node(p, "link")) == NULL ? NULL : (p = q));
}

static void init(void)
{
	char *p;

	until_null(, (p = (char *)talloc_init("%d", 1)) == NULL
			     ? NULL
			     : talloc_steal(root, p));
}

/* Growing one chunk: the old one is whole when there is no more. */
static void grown(void)
{
	char *p = talloc_strdup(root, "x"), *q;
	long done = 0;

	limit_memory();
	for (step_size = 1000;; step_size += 100000, done++) {
		errno = 0;
		q = (char *)talloc_realloc_size(root, p, step_size);
		if (q == NULL) {
			break;
		}
		p = q;
		check(p[0] == 'x');
		p[step_size - 1] = 'y';
	}
	check(errno == ENOMEM);
	check(p[0] == 'x' && talloc_get_size(p) == step_size - 100000);
	check(talloc_parent(p) == root);
	afterwards(done);
}

static void appended(void)
{
	char *p = talloc_strdup(root, "x"), *q;
	long done = 0;

	limit_memory();
	for (;; done++) {
		errno = 0;
		q = talloc_asprintf_append_buffer(p, "%50000d", 1);
		if (q == NULL) {
			break;
		}
		p = q;
	}
	check(errno == ENOMEM);
	check(strlen(p) == (size_t)done * 50000 + 1);
	afterwards(done);
}

static void addbuf(void)
{
	char *p = talloc_strdup(root, "x");
	long done = 0;

	limit_memory();
	for (; p != NULL; done++) {
		errno = 0;
		talloc_asprintf_addbuf(&p, "%50000d", 1);
	}
	check(errno == ENOMEM);
	check(talloc_total_blocks(root) == 1);
	afterwards(done);
}

/* What needs a side record: all memory is taken first. */
static void records(void)
{
	char *chunks[64], *filler[3] = {NULL, NULL, NULL};
	static const size_t sizes[] = {100000, 1000, 1};
	long done = 0;
	int i;

	for (i = 0; i < 64; i++) {
		chunks[i] = node(root, "x");
	}
	limit_memory();
	for (i = 0; i < 3; i++) {
		while ((filler[0] = (char *)talloc_size(root, sizes[i])) != NULL) {
			done++;
		}
	}
	for (i = 0; i < 64; i++) {
		/* May succeed or not: each leaves the chunk as it was or done. */
		errno = 0;
		if (talloc_reference(chunks[i], chunks[(i + 1) % 64]) == NULL) {
			check(errno == ENOMEM);
			check(talloc_reference_count(chunks[(i + 1) % 64]) == 0);
		}
		(void)talloc_set_memlimit(chunks[i], 100000);
		check(talloc_get_name(chunks[i]) != NULL);
	}
	afterwards(done);
}

/* A destructor has no way to fail: there is always room for it. */
static void destructors(void)
{
	char *p;
	long done = 0;

	limit_memory();
	for (;; done++) {
		p = node(root, "x");
		if (p == NULL) {
			break;
		}
		talloc_set_destructor(p, destructor);
	}
	afterwards(done);
}

static void tracking(void)
{
	char *p;
	long done = 0;

	talloc_enable_null_tracking();
	limit_memory();
	for (;; done++) {
		errno = 0;
		p = node(NULL, "x");
		if (p == NULL) {
			break;
		}
		check(talloc_parent_name(p) != NULL);
		talloc_steal(root, p);
	}
	check(errno == ENOMEM);
	afterwards(done);
}

#define run(fn) must_pass(#fn, fn)

int main(void)
{
	catch_faults();
	root = node(NULL, "root");
	run(small);
	run(medium);
	run(large);
	run(zeroed);
	run(pools);
	run(objects);
	run(strings);
	run(parts);
	run(formatted);
	run(copies);
	run(arrays);
	run(named);
	run(in_pool);
	run(names);
	run(references);
	run(chains);
	run(init);
	run(grown);
	run(appended);
	run(addbuf);
	run(records);
	run(destructors);
	run(tracking);
	return 0;
}
