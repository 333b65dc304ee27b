/*
 * Misuse that ends the process: which message, which reason. Each case runs in
 * a process of its own.
 */
#include "check.h"

static char *freed;

/* In a pool, where talloc too can still recognise it. */
static void make_freed(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);

	freed = node(pool, "freed");
	node(pool, "behind");
	talloc_free(freed);
}

static void double_free(void) { make_freed(); talloc_free(freed); }
static void name_of_freed(void) { make_freed(); talloc_get_name(freed); }
static void size_of_freed(void) { make_freed(); talloc_get_size(freed); }
static void parent_of_freed(void) { make_freed(); talloc_parent(freed); }
static void child_of_freed(void) { make_freed(); node(freed, "child"); }
static void pool_of_freed(void) { make_freed(); (void)!talloc_pool(freed, 100); }
static void steal_freed(void) { make_freed(); talloc_steal(NULL, freed); }
static void steal_to_freed(void)
{
	char *p = node(NULL, "p");

	make_freed();
	talloc_steal(freed, p);
}
static void reference_freed(void)
{
	char *p = node(NULL, "p");

	make_freed();
	(void)!talloc_reference(p, freed);
}
static void reference_from_freed(void)
{
	char *p = node(NULL, "p");

	make_freed();
	(void)!talloc_reference(freed, p);
}
static void realloc_freed(void)
{
	make_freed();
	(void)!talloc_realloc_size(NULL, freed, 100);
}
static void unlink_freed(void) { make_freed(); talloc_unlink(NULL, freed); }
static void total_of_freed(void) { make_freed(); talloc_total_size(freed); }
static void blocks_of_freed(void) { make_freed(); talloc_total_blocks(freed); }
static void report_freed(void) { make_freed(); talloc_report_full(freed, stdout); }
static void rename_freed(void) { make_freed(); talloc_set_name_const(freed, "x"); }
static void format_name_of_freed(void) { make_freed(); talloc_set_name(freed, "x"); }
static void check_name_of_freed(void) { make_freed(); talloc_check_name(freed, "x"); }
static void destructor_of_freed(void)
{
	make_freed();
	talloc_set_destructor(freed, (int (*)(char *))NULL);
}
static void children_of_freed(void) { make_freed(); talloc_free_children(freed); }
static void count_of_freed(void) { make_freed(); talloc_reference_count(freed); }
static void append_to_freed(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *s = talloc_strdup(pool, "text");

	node(pool, "behind");
	talloc_free(s);
	(void)!talloc_strdup_append(s, "more");
}

static void freed_with_parent(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *parent = node(pool, "parent");
	char *p = node(parent, "p");

	node(pool, "behind");
	talloc_free(parent);
	talloc_free(p);
}

static void freed_in_pool(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = node(pool, "p");

	node(pool, "behind");
	talloc_free(p);
	talloc_free(p);
}

static void freed_last_in_pool(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = node(pool, "p");

	node(pool, "before");
	talloc_free(p);
	talloc_free(p);
}

static void overflow_in_pool(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = (char *)talloc_size(pool, 4);
	char *q = (char *)talloc_size(pool, 4);

	memset(p, 0, 32);
	talloc_free(q);
}

static int not_reached(char *p)
{
	(void)p;
	puts("a destructor that must not run");
	return 0;
}

static void overflow_in_pool_destructor(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = (char *)talloc_size(pool, 4);
	char *q = (char *)talloc_size(pool, 4);

	talloc_set_destructor(q, not_reached);
	memset(p, 0, 32);
	talloc_free(q);
}

static char zeros[4096] __attribute__((aligned(4096)));

static void foreign(void) { talloc_free(zeros + 2048); }
static void foreign_parent(void) { node(zeros + 2048, "child"); }
static void foreign_name(void) { talloc_get_name(zeros + 2048); }
static void foreign_size(void) { talloc_get_size(zeros + 2048); }

static void print_reason(const char *reason)
{
	fputs("abort ", stdout);
	print_quoted(reason);
}

static void leave(const char *reason)
{
	print_reason(reason);
	fflush(stdout);
	_exit(3);
}

static void leaving_handler(void)
{
	talloc_set_abort_fn(leave);
	double_free();
}

static void handler_for_unknown(void)
{
	talloc_set_abort_fn(leave);
	foreign();
}

static void without_log(void)
{
	talloc_set_log_fn(NULL);
	double_free();
}

/* Where the two libraries differ: their messages are collected, and compared. */
static char messages[1000];
static const char *reason_to_differ, *talloc_says, *tmempool_says;

static void collect(const char *message)
{
	char *end = messages + strlen(messages);
	char *line;

	snprintf(end, sizeof(messages) - (end - messages), "%.*s;",
		 (int)strcspn(message, "\n"), message);
	line = strstr(end, "talloc.c:");
	if (line != NULL) {
		/* Upstream's line numbers are not the point. */
		line += strlen("talloc.c");
		memmove(line, line + 1 + strspn(line + 1, "0123456789"),
			strlen(line + 1 + strspn(line + 1, "0123456789")) + 1);
	}
}

static void compare(const char *reason)
{
	(void)reason;
	differs(reason_to_differ, talloc_says, tmempool_says, messages);
	fflush(stdout);
	_exit(0);
}

#define UNKNOWN "Bad talloc magic value - unknown value;"
#define AFTER_FREE(location)                                              \
	"talloc: access after free error - first free may be at " location \
	";Bad talloc magic value - access after free;"

static void expect(const char *why, const char *talloc, const char *tmempool)
{
	reason_to_differ = why;
	talloc_says = talloc;
	tmempool_says = tmempool;
	talloc_set_log_fn(collect);
	talloc_set_abort_fn(compare);
}

#define OVERWRITTEN "glibc's free() overwrites talloc's header"

static void heap_double_free(void)
{
	char *p = node(NULL, "p");

	expect(OVERWRITTEN, UNKNOWN, AFTER_FREE("here"));
	_talloc_free(p, "here");
	talloc_free(p);
}

static void heap_freed_with_parent(void)
{
	char *root = node(NULL, "root");
	char *p = node(root, "p");

	expect(OVERWRITTEN, UNKNOWN, AFTER_FREE("there"));
	_talloc_free(root, "there");
	talloc_get_name(p);
}

static void heap_freed_as_parent(void)
{
	char *root = node(NULL, "root");

	expect(OVERWRITTEN, UNKNOWN, AFTER_FREE("there"));
	_talloc_free(root, "there");
	node(root, "p");
}

static void heap_moved(void)
{
	char *p = node(NULL, "p");

	node(NULL, "behind");
	expect(OVERWRITTEN, UNKNOWN, AFTER_FREE("_talloc_realloc"));
	(void)!talloc_realloc_size(NULL, p, 5000);
	talloc_free(p);
}

#define OWN_SOURCE "the location is in the library's own source"

static void freed_by_leaving_pool(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = (char *)talloc_size(pool, 100);

	expect(OWN_SOURCE, AFTER_FREE("../../talloc.c_talloc_realloc"),
	       AFTER_FREE("_talloc_realloc"));
	node(pool, "behind");
	(void)!talloc_realloc_size(pool, p, 5000);
	talloc_free(p);
}

static void freed_by_unlink(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = (char *)talloc_size(pool, 100);

	expect(OWN_SOURCE, AFTER_FREE("../../talloc.c"), AFTER_FREE("talloc_unlink"));
	node(pool, "behind");
	talloc_unlink(pool, p);
	talloc_free(p);
}

static void freed_by_realloc(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *p = (char *)talloc_size(pool, 100);

	expect(OWN_SOURCE, AFTER_FREE("../../talloc.c"), AFTER_FREE("talloc_unlink"));
	node(pool, "behind");
	(void)!talloc_realloc_size(pool, p, 0);
	talloc_free(p);
}

static void freed_by_free_children(void)
{
	char *pool = (char *)talloc_pool(NULL, 1000);
	char *parent = node(pool, "parent");
	char *p = node(parent, "p");

	expect(OWN_SOURCE, AFTER_FREE("../../talloc.c"), AFTER_FREE("talloc_free_children"));
	node(pool, "behind");
	talloc_free_children(parent);
	talloc_free(p);
}

#define run(fn) in_child(#fn, fn)

int main(void)
{
	talloc_set_log_fn(log_line);
	section("after free");
	run(double_free);
	run(name_of_freed);
	run(size_of_freed);
	run(parent_of_freed);
	run(child_of_freed);
	run(pool_of_freed);
	run(steal_freed);
	run(steal_to_freed);
	run(reference_freed);
	run(reference_from_freed);
	run(realloc_freed);
	run(unlink_freed);
	run(total_of_freed);
	run(blocks_of_freed);
	run(report_freed);
	run(rename_freed);
	run(format_name_of_freed);
	run(check_name_of_freed);
	run(destructor_of_freed);
	run(children_of_freed);
	run(count_of_freed);
	run(append_to_freed);
	section("ways to be freed");
	run(freed_with_parent);
	run(freed_in_pool);
	run(freed_last_in_pool);
	section("ways to be freed that the library names in its own words");
	run(heap_double_free);
	run(heap_freed_with_parent);
	run(heap_freed_as_parent);
	run(heap_moved);
	run(freed_by_leaving_pool);
	run(freed_by_unlink);
	run(freed_by_realloc);
	run(freed_by_free_children);
	section("not a chunk");
	run(overflow_in_pool);
	run(overflow_in_pool_destructor);
	run(foreign);
	run(foreign_parent);
	run(foreign_name);
	run(foreign_size);
	section("handlers");
	run(without_log);
	run(leaving_handler);
	run(handler_for_unknown);
	return 0;
}
