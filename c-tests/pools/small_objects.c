/*
 * Pooled objects: those that announce few and small descendants are pools in name only. They keep the promises of a
 * pool (they are not resized, what they announced counts against no limit that was there before), and are chunks like
 * any other in all else. Those that lie in pools: small_objects_in_pools.c.
 */
#include "small_objects.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Texts are made longer by a realloc. */
static void is_no_text(const void *parent)
{
	char *p = object(parent, 100, 2, 50, 0);

	memset(p, 'a', 10);
	p[10] = 0;
	check(talloc_strdup_append(p, "b") == NULL);
	check(talloc_strdup_append_buffer(p, "b") == NULL);
	check(talloc_asprintf_append(p, "%d", 1) == NULL);
	check(talloc_asprintf_append_buffer(p, "%d", 1) == NULL);
	check(talloc_strndup_append(p, "bcd", 2) == NULL);
	check(talloc_get_size(p) == 100 && strcmp(p, "aaaaaaaaaa") == 0);
	check(talloc_free(p) == 0);
}

static void never_resized(void)
{
	static const size_t sizes[] = { 2, 16, 48, 100, 1000, 5000, 50000, 200000, 1 << 20, 8 << 20 };
	void *root = talloc_new(NULL), *pool = talloc_pool(root, 64 * KIB);
	void *growable = tm_pool_growable(root, 1000, 0), *shared = tm_shared_context(root, "shared");
	void *shared_pool = tm_shared_pool(root, 100000);
	void *parents[] = { root, pool, growable, shared, shared_pool, talloc_new(pool), NULL };
	size_t i, j;

	for (j = 0; j < sizeof(parents) / sizeof(parents[0]); j++) {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			char *p = object(parents[j], sizes[i], 3, 100, (unsigned)i);

			is_fixed(parents[j], p, sizes[i], (unsigned)i);
			check(talloc_strdup(p, "below") != NULL);
			check(talloc_strdup(p, "below, too") != NULL);
			is_fixed(parents[j], p, sizes[i], (unsigned)i);
			talloc_free_children(p);
			is_fixed(parents[j], p, sizes[i], (unsigned)i);
			/* 0 bytes are a free, of a pool, too. */
			check(talloc_realloc_size(parents[j], p, 0) == NULL);
		}
		is_no_text(parents[j]);
		check(parents[j] == NULL || talloc_total_blocks(parents[j]) == (j == 0 ? 6 : j == 1 ? 2 : 1));
	}
	check(talloc_free(root) == 0);
	expect_no_fault();
}

/* Their place in the memory of one that is gone is taken by chunks that can be resized. */
static void what_comes_after(void)
{
	void *root = talloc_new(NULL), *pool = talloc_pool(root, 32 * KIB);
	void *parents[] = { root, pool };
	int i, j;

	for (j = 0; j < 2; j++) {
		for (i = 0; i < 3000; i++) {
			char *p = object(parents[j], 100, 2, 50, 1), *q;

			check(talloc_free(p) == 0);
			q = (char *)talloc_size(parents[j], 100);
			check(talloc_get_size(q) == 100);
			q = (char *)talloc_realloc_size(parents[j], q, 90 + (size_t)i % 200);
			check(q != NULL && talloc_get_size(q) == 90 + (size_t)i % 200);
			check(talloc_free(q) == 0);
		}
	}
	check(talloc_free(root) == 0);
}

static int destroyed;

static int destructor(char *p)
{
	(void)p;
	destroyed++;
	return 0;
}

/* All that is done with chunks. */
static void used_like_any(void)
{
	void *root = talloc_new(NULL), *other = talloc_new(NULL), *pool = talloc_pool(root, 20 * KIB);
	struct object *o;
	char *p, *q;
	int i;

	for (i = 0; i < 2; i++) {
		void *home = i == 0 ? root : pool;

		o = talloc_pooled_object(home, struct object, 3, 200);
		check(talloc_get_type(o, struct object) == o && talloc_get_size(o) == sizeof(*o));
		fill(o->numbers, sizeof(o->numbers), 5);
		o->name = talloc_strdup(o, "the name");
		check(talloc_parent(o->name) == o && talloc_total_blocks(o) == 2);
		check(talloc_total_size(o) == sizeof(*o) + 9);

		/* More than was announced, and larger. */
		for (p = (char *)o; talloc_total_blocks(o) < 100; ) {
			p = (char *)talloc_zero_size(p, 1000);
			check(p != NULL && p[999] == 0);
		}
		check(talloc_size(o, 1000000) != NULL);
		check(strcmp(o->name, "the name") == 0 && holds(o->numbers, sizeof(o->numbers), 5));

		/* Elsewhere and back, alone and with its children; into a pool, out of one. */
		check(talloc_steal(other, o) == o && talloc_parent(o) == other);
		check(talloc_total_blocks(other) == 102);
		check(talloc_steal(pool, o) == o);
		check(talloc_steal(root, o->name) == o->name);
		check(talloc_steal(o, o->name) == o->name);
		p = (char *)talloc_pool(other, 1000);
		check(talloc_steal(p, o) == o);
		check(talloc_realloc_size(p, o, 500) == NULL);
		check(talloc_steal(home, o) == o && talloc_free(p) == 0);
		check(talloc_total_blocks(o) == 101 && strcmp(o->name, "the name") == 0);
		check(holds(o->numbers, sizeof(o->numbers), 5));

		/* References, names, destructors. */
		check(talloc_reference(other, o) == o && talloc_reference_count(o) == 1);
		check(talloc_realloc_size(home, o, 500) == NULL);
		check(talloc_unlink(other, o) == 0);
		check(talloc_set_name((void *)o, "%s %d", "object", 7) != NULL);
		check(strcmp(talloc_get_name(o), "object 7") == 0);
		check(talloc_realloc_size(home, o, 500) == NULL);
		destroyed = 0;
		talloc_set_destructor((char *)o, destructor);
		check(talloc_realloc_size(home, o, 500) == NULL);
		check(talloc_set_memlimit(o, 1000) == 0);
		check(talloc_size(o, 2000) == NULL);
		q = o->name;
		check(talloc_free(o) == 0 && destroyed == 1);
		if (has_pools) {
			check(talloc_get_name(o) == NULL);
			expect_fault(AFTER_FREE);
			check(talloc_get_name(q) == NULL);
			expect_fault(AFTER_FREE);
		}

		/* Its children go with it, and with its parent, and with the pool. */
		p = object(object(home, 10, 1, 10, 1), 20, 8, 100, 2);
		talloc_set_destructor((char *)talloc_size(p, 30), destructor);
		check(talloc_free(talloc_parent(p)) == 0 && destroyed == 2);
		p = object(talloc_new(home), 20, 2, 100, 2);
		talloc_set_destructor((char *)talloc_size(p, 30), destructor);
		talloc_free_children(home);
		check(destroyed == 3);
		if (i == 0) {
			pool = talloc_pool(root, 20 * KIB);
		}
	}
	check(talloc_total_blocks(other) == 1 && talloc_total_blocks(pool) == 1);
	p = object(pool, 20, 2, 100, 2);
	q = object(p, 30, 2, 100, 3);
	talloc_set_destructor((char *)talloc_size(p, 30), destructor);
	check(talloc_steal(other, q) == q);
	check(talloc_free(pool) == 0 && destroyed == 4);
	check(holds(q, 30, 3) && talloc_realloc_size(other, q, 40) == NULL);
	check(talloc_strdup(q, "below") != NULL);
	check(talloc_free(other) == 0 && talloc_free(root) == 0);
	expect_no_fault();
}

/* Where the line is: what is announced beyond it is a pool. */
static void where_the_line_is(void)
{
	static const struct {
		unsigned count;
		size_t bytes;
		bool is_pool;
	} of[] = {
		{ 0, 0, false },
		{ 1, 0, false },
		{ 1, LITTLE, false },
		{ 1, LITTLE + 1, true },
		{ FEW, 0, false },
		{ FEW, LITTLE, false },
		{ FEW, LITTLE + 1, true },
		{ FEW + 1, 0, true },
		{ FEW + 1, 100, true },
		{ 0, LITTLE, false },
		{ 0, LITTLE + 1, true },
	};
	void *root = talloc_new(NULL), *spoiled;
	size_t i, j, served;
	char *p;

	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		size_t room = of[i].count * FOR_EACH + of[i].bytes;

		/* Not so large that the heap has the children next to it. */
		spoiled = talloc_size(root, 40);
		p = object(root, 3000, of[i].count, of[i].bytes, 3);
		for (j = 0, served = 0; j < of[i].count || j == 0; j++) {
			char *q = (char *)talloc_size(p, of[i].count ? of[i].bytes / of[i].count : 16);

			check(q != NULL);
			served += inside(p, q, 3000 + 16 + room);
		}
		if (has_pools && served != (of[i].is_pool ? j : 0)) {
			printf("%u with %zu bytes: %zu inside\n", of[i].count, of[i].bytes, served);
			check(false);
		}
		is_fixed(root, p, 3000, 3);
		check(talloc_free(p) == 0 && talloc_free(spoiled) == 0);
	}
	check(talloc_total_blocks(root) == 1);
	errno = 0;
	check(_talloc_pooled_object(root, 0x10000000, "large", 1, 10) == NULL && errno == ENOMEM);
	check(_talloc_pooled_object(root, 10, "large", 1, 0x10000000) == NULL);
	check(_talloc_pooled_object(root, 10, "large", 0xffffffff, 10) == NULL);
	check(_talloc_pooled_object(root, 10, "large", 1, (size_t)-1) == NULL);
	/* The largest that there are: the size says so, and nothing else. */
	p = (char *)_talloc_pooled_object(root, 0x0fffffff, "largest", 1, 10);
	if (p != NULL) {
		check(talloc_get_size(p) == 0x0fffffff && talloc_total_size(root) == 0x0fffffff);
		check(talloc_realloc_size(root, p, 100) == NULL);
		check(talloc_realloc_size(root, p, 0x0ffffffe) == NULL);
	}
	check(talloc_free(root) == 0);
}

/* What an object announces below a limit counts with it, and is there when the limit is reached. */
static void below_limits(void)
{
	static const struct {
		unsigned count;
		size_t each;
	} of[] = { { 1, 100 }, { 3, 100 }, { 8, 100 }, { 8, 400 }, { 9, 400 } };
	void *root = talloc_new(NULL), *limited, *below;
	size_t i, j, k, parts;
	char *p;

	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		for (k = 0; k < 2; k++) {
			limited = talloc_new(root);
			check(talloc_set_memlimit(limited, 20000) == 0);
			below = k ? talloc_new(talloc_new(limited)) : limited;
			p = object(below, 200, of[i].count, of[i].count * of[i].each, 9);
			/* All that is left goes to others. */
			for (parts = 8192; parts > 0; parts /= 2) {
				while (talloc_size(below, parts) != NULL) {
				}
			}
			check(talloc_size(below, 0) == NULL && errno == ENOMEM);
			for (j = 0; has_pools && j < of[i].count; j++) {
				char *q = (char *)talloc_size(p, of[i].each);

				check(q != NULL);
				fill(q, of[i].each, 1);
			}
			check(!has_pools || talloc_size(p, 4000) == NULL);
			is_fixed(below, p, 200, 9);
			/* Moved out, it takes along what it had. */
			talloc_steal(root, p);
			check(talloc_size(limited, 200 + (has_pools ? of[i].count * of[i].each : 0)) != NULL);
			check(talloc_size(p, 30000) != NULL);
			check(talloc_free(p) == 0);
			check(talloc_free(limited) == 0);
		}
	}
	/* A limit that comes later counts what is there, and gets it back. */
	limited = talloc_new(root);
	p = object(limited, 200, 3, 300, 9);
	check(talloc_size(p, 100) && talloc_size(p, 100));
	check(talloc_set_memlimit(limited, 2000) == 0);
	check(talloc_size(limited, 1500) == NULL);
	check(talloc_size(p, 1500) == NULL);
	check(talloc_free(p) == 0);
	check(talloc_size(limited, 1500) != NULL);
	check(talloc_free(limited) == 0);
	/* And one that is moved below one. */
	limited = talloc_new(root);
	check(talloc_set_memlimit(limited, 2000) == 0);
	p = object(root, 1500, 3, 300, 9);
	talloc_steal(limited, p);
	check(talloc_size(limited, 400) == NULL);
	is_fixed(limited, p, 1500, 9);
	talloc_steal(root, p);
	check(talloc_size(limited, 1500) != NULL);
	check(talloc_free(root) == 0);
	expect_no_fault();
}

/* What is counted is what was asked for. */
static void counted(void)
{
	void *root = talloc_new(NULL), *pool;
	struct tm_stats stats;
	char *p;

	check(tm_stats_enable(root) == 0);
	p = object(root, 300, 2, 100, 1);
	check(talloc_size(p, 70) != NULL);
	check(tm_stats(root, &stats) == 0 && stats.current_allocated == 370);
	pool = talloc_pool(root, 4000);
	object(pool, 300, 2, 100, 1);
	check(tm_stats(root, &stats) == 0 && stats.current_allocated == 670);
	check(talloc_free(p) == 0);
	check(tm_stats(root, &stats) == 0 && stats.current_allocated == 300);
	check(talloc_free(pool) == 0);
	check(tm_stats(root, &stats) == 0 && stats.current_allocated == 0);
	check(talloc_free(root) == 0);
}

/* Whether the report below root has each of these lines. */
static void reports(const void *root, const char *const *lines, size_t count)
{
	char *text = NULL;
	size_t length = 0, i;
	FILE *f = open_memstream(&text, &length);

	talloc_report_full(root, f);
	fclose(f);
	for (i = 0; i < count; i++) {
		if (strstr(text, lines[i]) == NULL) {
			printf("'%s' is not in\n%s", lines[i], text);
			check(false);
		}
	}
	free(text);
}

static void reported(void)
{
	static const char *const lines[] = {
		"full talloc report on 'root' (total   3130 bytes in   9 blocks)\n",
		"    an object                      contains   1111 bytes in   2 blocks (ref 0) ",
		"        below                          contains    111 bytes in   1 blocks (ref 0) ",
		"    pool                           contains   2019 bytes in   6 blocks (ref 0) ",
		"        an object                      contains   2017 bytes in   4 blocks (ref 0) ",
		"            an object                      contains     17 bytes in   2 blocks (ref 0) ",
		"                empty                          contains      0 bytes in   1 blocks (ref 0) ",
		"        an object                      contains      2 bytes in   1 blocks (ref 0) ",
	};
	void *root = talloc_named_const(NULL, 0, "root"), *pool;
	char *p;

	check(talloc_named_const(object(root, 1000, 3, 100, 1), 111, "below") != NULL);
	pool = talloc_pool(root, 10 * KIB);
	talloc_set_name_const(pool, "pool");
	p = object(pool, 500, 1, 10, 1);
	object(pool, 2, 1, 10, 1);
	check(talloc_named_const(object(p, 17, 8, 10, 1), 0, "empty") != NULL);
	check(talloc_size(p, 1500) != NULL);
	reports(root, lines, sizeof(lines) / sizeof(lines[0]));
	check(talloc_total_size(root) == 3130 && talloc_total_blocks(root) == 9);
	check(talloc_free(root) == 0);
}

int main(void)
{
	look_for_pools();
	catch_faults();
	must_pass("never resized", never_resized);
	must_pass("what comes after", what_comes_after);
	must_pass("used like any chunk", used_like_any);
	must_pass("where the line is", where_the_line_is);
	must_pass("below limits", below_limits);
	must_pass("counted", counted);
	must_pass("reported", reported);
	return 0;
}
