/*
 * Object caches and general sizes: what a constructor made stays, every misuse, what can be seen of
 * them, and no memory.
 */
#include "cache.h"

enum { KIB = 1024, MANY = 3000 };

static void reuse(void)
{
	char *context = node(NULL, "context");
	tm_cache *c = objects(context);
	struct object *all[MANY];
	struct tm_cache_stats stats;
	size_t i, before;

	check(talloc_parent(c) == context);
	check(strcmp(talloc_get_name(c), "objects") == 0);
	for (i = 0; i < MANY; i++) {
		all[i] = (struct object *)tm_cache_alloc(c);
		check(all[i]->mark == MARK && all[i]->uses == 0);
		all[i]->uses = 1;
	}
	before = constructed;
	for (i = 0; i < MANY; i++) {
		tm_cache_free(c, all[i]);
	}
	for (i = 0; i < MANY; i++) {
		all[i] = (struct object *)tm_cache_alloc(c);
		check(all[i]->mark == MARK);
	}
	check(constructed - before < 1000);
	check(tm_cache_stats(c, &stats) == 0);
	check(stats.object_size == sizeof(struct object));
	check(stats.active == MANY && stats.allocations == 2 * MANY && stats.frees == MANY);
	check(stats.magazine_hits > MANY && stats.failures == 0);
	check(stats.slabs_partial + stats.slabs_full > 0);
	tm_cache_free_bulk(c, MANY, (void **)all);
	check(destructed == 0);
	check(tm_cache_shrink(c) > 0);
	check(destructed == constructed);
	check(tm_cache_shrink(c) == 0);
	check(tm_cache_destroy(c) == 0);
	check(talloc_total_blocks(context) == 1);
	talloc_free(context);
	expect_silence();
}

static void bulk(void)
{
	tm_cache *c = objects(NULL);
	void *all[500];
	size_t i;

	check(tm_cache_alloc_bulk(c, 500, all) == 500);
	for (i = 1; i < 500; i++) {
		check(all[i] != all[i - 1]);
		check(((struct object *)all[i])->mark == MARK);
	}
	all[7] = NULL;
	tm_cache_free_bulk(c, 500, all);
	expect_silence();
	check(tm_cache_alloc_bulk(c, 0, NULL) == 0);
	tm_cache_free_bulk(c, 0, NULL);
	expect_silence();
	expect_refused(tm_cache_alloc_bulk(c, 1, NULL) == 0, "tm_cache_alloc_bulk: ");
	/* More than there is an array for. */
	errno = 0;
	check(tm_cache_alloc_bulk(c, SIZE_MAX, all) == 0 && errno == ENOMEM);
	errno = 0;
	check(tm_cache_alloc_bulk(c, SIZE_MAX / sizeof(void *) + 1, all) == 0 && errno == ENOMEM);
	expect_refused((tm_cache_free_bulk(c, 1, NULL), 1), "tm_cache_free_bulk: ");
	talloc_free(c);
	check(strstr(ours_log, "WARNING: cache 'objects' was freed while 1 objects") != NULL);
	check(constructed == destructed);
}

static void flags(void)
{
	static const size_t aligns[] = { 1, 2, 4, 8, 16, 64, 512, 4096, 65536 };
	tm_cache *c;
	char *one, *other;
	size_t i, j;

	for (i = 0; i < sizeof(aligns) / sizeof(aligns[0]); i++) {
		c = tm_cache_create(NULL, "aligned", 24, aligns[i], TM_CACHE_COLOUR, NULL, NULL);
		for (j = 0; j < 50; j++) {
			check((uintptr_t)tm_cache_alloc(c) % aligns[i] == 0);
		}
		talloc_free(c);
	}
	ours_log[0] = '\0';
	c = tm_cache_create(NULL, "lines", 10, 0, TM_CACHE_HWALIGN, NULL, NULL);
	one = (char *)tm_cache_alloc(c);
	other = (char *)tm_cache_alloc(c);
	check((uintptr_t)one % 64 == 0 && (uintptr_t)other % 64 == 0);
	tm_cache_free(c, one);
	tm_cache_free(c, other);
	check(tm_cache_destroy(c) == 0);
	c = tm_cache_create(NULL, "clean", 100, 0, TM_CACHE_ZERO_ON_FREE, NULL, NULL);
	one = (char *)tm_cache_alloc(c);
	memset(one, 'x', 100);
	tm_cache_free(c, one);
	for (i = 0; i < 100; i++) {
		check(one[i] == 0);
	}
	check(tm_cache_destroy(c) == 0);
	c = tm_cache_create(NULL, "zeroed", 100, 0, TM_CACHE_ZERO_ON_ALLOC, NULL, NULL);
	for (i = 0; i < 300; i++) {
		one = (char *)tm_cache_alloc(c);
		for (j = 0; j < 100; j++) {
			check(one[j] == 0);
		}
		memset(one, 'x', 100);
		tm_cache_free(c, one);
	}
	check(tm_cache_destroy(c) == 0);
	expect_silence();
}

static void misuse(void)
{
	tm_cache *c = objects(NULL), *other = tm_cache_create(NULL, NULL, 32, 0, 0, NULL, NULL);
	struct tm_cache_stats stats;
	char *context = node(NULL, "context");
	char *object = (char *)tm_cache_alloc(c), *foreign = (char *)tm_cache_alloc(other);
	char local[64], *own = (char *)tm_kmalloc(24);

	check(strcmp(talloc_get_name(other), "tm_cache") == 0);
	/* What cannot be made. */
	expect_refused(tm_cache_create(NULL, "bad", 0, 0, 0, NULL, NULL) == NULL, "0 bytes");
	expect_refused(tm_cache_create(NULL, "bad", (size_t)-1, 0, 0, NULL, NULL) == NULL, "too large");
	expect_refused(tm_cache_create(NULL, "bad", 8, 24, 0, NULL, NULL) == NULL, "alignment");
	expect_refused(tm_cache_create(NULL, "bad", 8, 131072, 0, NULL, NULL) == NULL, "alignment");
	expect_refused(tm_cache_create(NULL, "bad", 8, 0, 0x4000, NULL, NULL) == NULL, "flags");
	expect_refused(tm_cache_create(NULL, "bad", 8, 0, 0x80000000, NULL, NULL) == NULL, "flags");
	expect_refused(tm_cache_create(NULL, "bad", 8, 0, TM_CACHE_ZERO_ON_FREE, construct, NULL) == NULL, "zeroed");
	expect_refused(tm_cache_create(NULL, "bad", 8, 0, 0, NULL, destruct) == NULL, "without a constructor");
	/* What is no object of the cache in use. */
	expect_refused((tm_cache_free(c, foreign), 1), "is no object in use of cache 'objects'");
	expect_refused((tm_cache_free(c, local), 1), "is no object in use of cache 'objects'");
	expect_refused((tm_cache_free(c, context), 1), "is no object in use of cache 'objects'");
	expect_refused((tm_cache_free(c, own), 1), "is no object in use of cache 'objects'");
	expect_refused((tm_cache_free(c, (void *)c), 1), "is no object in use of cache 'objects'");
	expect_refused((tm_cache_free(c, object + 4), 1), "lies inside an object of cache 'objects'");
	expect_refused((tm_cache_free_bulk(c, 1, (void **)&foreign), 1), "tm_cache_free_bulk: ");
	tm_cache_free(c, NULL);
	expect_silence();
	/* An object in use. */
	ours_log[0] = '\0';
	errno = 0;
	check(tm_cache_destroy(c) == -1 && errno == EBUSY);
	check(strcmp(ours_log, "tm_cache_destroy: cache 'objects' has objects in use: 1\n") == 0);
	tm_cache_free(c, object);
	expect_refused((tm_cache_free(c, object), 1), "is free already, in cache 'objects'");
	expect_refused(tm_cache_stats(c, NULL) == -1, "tm_cache_stats: ");
	/* A veto, and an owner more. */
	check(talloc_reference(context, c) == c);
	expect_busy(tm_cache_destroy(c) == -1, "tm_cache_destroy: 'objects' has references");
	talloc_unlink(context, c);
	check(talloc_realloc_size(NULL, c, 10000) == NULL);
	check(tm_cache_destroy(c) == 0);
	/* What is no cache. */
	expect_refused(tm_cache_alloc(c) == NULL, "is no cache that is alive: it was freed at tm_cache_destroy");
	expect_refused((tm_cache_free(c, object), 1), "is no cache that is alive");
	expect_refused(tm_cache_alloc_bulk(c, 1, (void **)&object) == 0, "is no cache");
	expect_refused((tm_cache_free_bulk(c, 1, (void **)&object), 1), "is no cache");
	expect_refused(tm_cache_shrink(c) == 0, "is no cache");
	expect_refused(tm_cache_destroy(c) == -1, "is no cache");
	expect_refused(tm_cache_stats(c, &stats) == -1, "is no cache");
	expect_refused(tm_cache_alloc(NULL) == NULL, "is no cache");
	expect_refused(tm_cache_alloc((tm_cache *)context) == NULL, "is no cache");
	expect_refused(tm_cache_alloc((tm_cache *)local) == NULL, "is no cache");
	expect_refused(tm_cache_alloc((tm_cache *)own) == NULL, "is no cache");
	/* General sizes. */
	expect_refused((tm_kfree(foreign), 1), "tm_kfree: ");
	expect_refused((tm_kfree(local), 1), "is no memory of tm_kmalloc() in use");
	expect_refused((tm_kfree(context), 1), "is no memory of tm_kmalloc() in use");
	expect_refused((tm_kfree(own + 8), 1), "lies inside memory of tm_kmalloc()");
	expect_refused(tm_ksize(own + 8) == 0, "tm_ksize: ");
	expect_refused(tm_ksize(context) == 0, "tm_ksize: ");
	tm_kfree(own);
	expect_refused((tm_kfree(own), 1), "is free already");
	expect_refused(tm_ksize(own) == 0, "tm_ksize: ");
	tm_kfree(NULL);
	check(tm_ksize(NULL) == 0);
	tm_slabinfo(NULL);
	expect_silence();
	tm_cache_free(other, foreign);
	check(tm_cache_destroy(other) == 0);
	talloc_free(context);
	expect_no_fault();
}

static void sizes(void)
{
	size_t size;

	for (size = 0; size < 300 * KIB; size += size / 9 + 1) {
		char *p = (char *)tm_kmalloc(size);

		check(p != NULL && tm_ksize(p) >= size && tm_ksize(p) > 0);
		check((uintptr_t)p % (size > 8 ? 16 : 8) == 0);
		memset(p, 'x', tm_ksize(p));
		tm_kfree(p);
	}
	for (size = 8; size <= 64 * KIB; size *= 2) {
		char *one = (char *)tm_kmalloc(size), *other = (char *)tm_kmalloc(size);

		check((uintptr_t)one % size == 0 && (uintptr_t)other % size == 0);
		check(tm_ksize(one) == size);
		tm_kfree(one);
		tm_kfree(other);
	}
	errno = 0;
	check(tm_kmalloc((size_t)-1) == NULL && errno == ENOMEM);
	expect_silence();
}

static void table(void)
{
	char *text = NULL, *line, *rest;
	size_t length = 0, rows = 0;
	FILE *f = open_memstream(&text, &length);
	tm_cache *c = tm_cache_create(NULL, "two words\n", 100, 0, 0, NULL, NULL);
	void *object = tm_cache_alloc(c), *p = tm_kmalloc(1000);

	tm_slabinfo(f);
	fclose(f);
	check(strncmp(text, "slabinfo - version: 2.1\n# name            <active_objs>", 50) == 0);
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char name[100];
		size_t active, total, size, per_slab, pages, limit, batch, shared, in_use, slabs, avail;
		int fields = sscanf(line,
				    "%99s %zu %zu %zu %zu %zu : tunables %zu %zu %zu : slabdata %zu %zu %zu",
				    name, &active, &total, &size, &per_slab, &pages, &limit, &batch, &shared,
				    &in_use, &slabs, &avail);

		if (fields != 12) {
			check(rows == 0);
			continue;
		}
		rows++;
		check(active <= total && total == slabs * per_slab && in_use <= slabs);
		check(per_slab * size <= pages * 4096 && batch <= limit);
		if (strcmp(name, "two_words_") == 0) {
			check(active == 1 && size == 104 && in_use == 1);
			rows += 100;
		}
		if (strcmp(name, "kmalloc-1008") == 0) {
			check(active == 1 && size == 1008);
			rows += 1000;
		}
	}
	check(rows > 1100);
	free(text);
	tm_kfree(p);
	tm_cache_free(c, object);
	check(tm_cache_destroy(c) == 0);
}

/* No address space: NULL and ENOMEM, and all that there is can be freed and used again. */
static void no_memory(void)
{
	tm_cache *c = objects(NULL), *large = tm_cache_create(NULL, "large", 100000, 0, 0, NULL, NULL);
	struct rlimit limit;
	struct tm_cache_stats stats;
	void **last = NULL, **next;
	size_t n = 0, i, again;
	void *all[100];

	limit.rlim_cur = limit.rlim_max = (kib_of("VmSize:") + 24 * 1024) * 1024;
	check(setrlimit(RLIMIT_AS, &limit) == 0);
	errno = 0;
	while ((next = (void **)tm_cache_alloc(large)) != NULL) {
		*next = last;
		last = next;
		n++;
	}
	check(errno == ENOMEM && n > 50);
	check(tm_cache_stats(large, &stats) == 0 && stats.failures == 1 && stats.active == n);
	errno = 0;
	check(tm_cache_alloc_bulk(large, 100, all) == 0 && errno == ENOMEM);
	check(tm_cache_stats(large, &stats) == 0 && stats.active == n);
	errno = 0;
	check(tm_kmalloc(40 * KIB * KIB) == NULL && errno == ENOMEM);
	/* Small ones may still fit; they end, too. */
	for (i = 0; tm_cache_alloc(c) != NULL; i++) {
		check(i < 10000000);
	}
	errno = 0;
	check(tm_cache_create(NULL, "last", 24, 0, 0, NULL, NULL) == NULL || errno == 0);
	for (again = 0; last != NULL; last = next, again++) {
		next = (void **)*last;
		tm_cache_free(large, last);
	}
	check(again == n);
	check(tm_cache_shrink(large) > 0);
	for (i = 0; i < 100; i++) {
		check(tm_cache_alloc(c) != NULL);
	}
	check(tm_cache_destroy(large) == 0);
	talloc_free(c);
	check(constructed == destructed);
	expect_no_fault();
}

int main(void)
{
	catch_faults();
	must_pass("reuse", reuse);
	must_pass("bulk", bulk);
	must_pass("flags", flags);
	must_pass("misuse", misuse);
	must_pass("sizes", sizes);
	must_pass("table", table);
	/* Valgrind itself would not live with the limit. */
	if (getenv("NO_LIMITS") == NULL) {
		must_pass("no memory", no_memory);
	}
	return 0;
}
