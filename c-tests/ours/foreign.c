/*
 * Pointers that never were a chunk: every function says so and aborts with the
 * exact text; none ever touches memory that is not there.
 */
#include "ours.h"

#include <sys/mman.h>

static char in_data[256] __attribute__((aligned(64)));

static int destructor(void *p)
{
	(void)p;
	return 0;
}

static void callback(const void *p, int depth, int max_depth, int is_ref, void *data)
{
	(void)p;
	(void)depth;
	(void)max_depth;
	(void)is_ref;
	(void)data;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* Each function on a bad pointer: one fault, and the result that means failure. */
static void every_function(const char *title, void *bad)
{
	void *good = talloc_named_const(NULL, 10, "good");
	FILE *null = fopen("/dev/null", "w");
	void *moved = bad;

	check(good != NULL && null != NULL);
#define bad_result(expression)                          \
	do {                                            \
		check(expression);                      \
		expect_fault(UNKNOWN);                  \
	} while (0)
#define bad_call(statement)                             \
	do {                                            \
		statement;                              \
		expect_fault(UNKNOWN);                  \
	} while (0)
	bad_result(talloc_free(bad) == -1);
	bad_call(talloc_free_children(bad));
	bad_result(talloc_get_name(bad) == NULL);
	bad_result(talloc_get_size(bad) == 0);
	bad_result(talloc_parent(bad) == NULL);
	bad_result(talloc_parent_name(bad) == NULL);
	bad_result(talloc_total_size(bad) == 0);
	bad_result(talloc_total_blocks(bad) == 0);
	bad_result(talloc_reference_count(bad) == 0);
	bad_result(talloc_increase_ref_count(bad) == -1);
	bad_result(talloc_check_name(bad, "x") == NULL);
	bad_result(talloc_set_name(bad, "%s", "x") == NULL);
	bad_call(talloc_set_name_const(bad, "x"));
	bad_call(_talloc_set_destructor(bad, destructor));
	bad_result(talloc_named_const(bad, 1, "x") == NULL);
	bad_result(_talloc(bad, 1) == NULL);
	bad_result(talloc_named(bad, 1, "%s", "x") == NULL);
	bad_result(talloc_zero_size(bad, 1) == NULL);
	bad_result(talloc_memdup(bad, "x", 1) == NULL);
	bad_result(talloc_pool(bad, 100) == NULL);
	bad_result(talloc_pooled_object(bad, int, 1, 1) == NULL);
	bad_result(talloc_array(bad, int, 3) == NULL);
	bad_result(talloc_zero_array(bad, int, 3) == NULL);
	bad_result(talloc_realloc_size(NULL, bad, 10) == NULL);
	bad_result(talloc_realloc_size(NULL, bad, 0) == NULL);
	bad_result(_talloc_realloc_array(NULL, bad, 4, 10, "x") == NULL);
	bad_result(_talloc_steal_loc(NULL, bad, "here") == NULL);
	bad_result(_talloc_steal_loc(bad, good, "here") == NULL);
	bad_result(_talloc_move(good, &moved) == NULL);
	bad_result(_talloc_reference_loc(good, bad, "here") == NULL);
	bad_result(_talloc_reference_loc(bad, good, "here") == NULL);
	bad_result(talloc_unlink(NULL, bad) == -1);
	bad_result(talloc_unlink(bad, good) == -1);
	bad_result(talloc_reparent(NULL, good, bad) == NULL);
	bad_result(talloc_reparent(bad, NULL, good) == NULL);
	bad_result(talloc_is_parent(bad, good) == 0);
	bad_result(talloc_find_parent_byname(bad, "x") == NULL);
	bad_result(talloc_strdup(bad, "x") == NULL);
	bad_result(talloc_strndup(bad, "x", 1) == NULL);
	bad_result(talloc_asprintf(bad, "x") == NULL);
	bad_result(talloc_set_memlimit(bad, 1000) != 0);
	bad_call(talloc_show_parents(bad, null));
	bad_call(talloc_report_full(bad, null));
	bad_call(talloc_report(bad, null));
	bad_call(talloc_report_depth_cb(bad, 0, -1, callback, NULL));
	bad_result(_talloc_get_type_abort(bad, "x", "here") == NULL);

	/* Nothing happened to what was good. */
	check(talloc_total_blocks(good) == 1);
	check(talloc_parent(good) == NULL);
	check(talloc_free(good) == 0);
	expect_no_fault();
	fclose(null);
	printf("%s: every function\n", title);
}

/* Appending reads the text first, so only where there is one. */
static void appending(const char *title, char *bad)
{
	bad_result(talloc_strdup_append(bad, "x") == NULL);
	bad_result(talloc_strndup_append(bad, "x", 1) == NULL);
	bad_result(talloc_asprintf_append(bad, "x") == NULL);
	bad_result(talloc_strdup_append_buffer(bad, "x") == NULL);
	bad_result(talloc_asprintf_append_buffer(bad, "x") == NULL);
	printf("%s: appending\n", title);
}

static void free_in_data(void) { talloc_free(in_data + 128); }

int main(void)
{
	char on_stack[256] __attribute__((aligned(16))) = "text";
	char *heap, *page, *chunk, *pool, *member;
	size_t i;
	static const uintptr_t numbers[] = {
		1, 8, 15, 16, 17, 47, 48, 49, 64, 96, 112, 4096, 65535, 65536,
		65552, 0x7fffffff, 0x80000000, 0x7ffffffff000, 0x800000000000,
		0x8000000000000000, 0xffff800000000000, 0xffffffff80000000,
		UINTPTR_MAX - 4095, UINTPTR_MAX - 64, UINTPTR_MAX - 15, UINTPTR_MAX,
	};

	catch_faults();
	every_function("static data", in_data + 128);
	every_function("static data, odd address", in_data + 129);
	every_function("code", (void *)(uintptr_t)&main);
	every_function("a literal", (void *)(uintptr_t)"0123456789");
	every_function("the stack", on_stack + 128);
	appending("the stack", on_stack);
	appending("static data", in_data + 128);

	heap = (char *)malloc(10000);
	every_function("malloc", heap);
	every_function("malloc, inside", heap + 4096);
	free(heap);
	heap = (char *)malloc(10000000);
	every_function("malloc of much", heap);
	free(heap);

	page = (char *)mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(page != MAP_FAILED);
	check(mprotect(page + 4096, 4096, PROT_READ | PROT_WRITE) == 0);
	every_function("the first byte of a page, nothing before it", page + 4096);
	every_function("16 bytes into a page, nothing before it", page + 4112);
	every_function("the end of a page, nothing behind it", page + 8192);
	every_function("a page that cannot be read", page + 100);
	munmap(page, 3 * 4096);
	every_function("a page that is gone", page + 4096);
	page = (char *)mmap(NULL, 1 << 22, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(page != MAP_FAILED);
	for (i = 0; i < 1 << 22; i += 1 << 16) {
		check(talloc_free((char *)(((uintptr_t)page + 0xffff) & ~(uintptr_t)0xffff) + i) == -1);
		expect_fault(UNKNOWN);
	}
	munmap(page, 1 << 22);
	puts("every 64 KiB of 4 MiB");

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char title[40];

		snprintf(title, sizeof(title), "%#lx", (unsigned long)numbers[i]);
		every_function(title, (void *)numbers[i]);
	}

	chunk = (char *)talloc_zero_size(NULL, 1000);
	for (i = 1; i < 1000; i++) {
		check(talloc_free(chunk + i) == -1);
		expect_fault(UNKNOWN);
	}
	puts("each byte inside a chunk of zeros");
	memset(chunk, 0xff, 1000);
	for (i = 1; i < 1000; i++) {
		check(talloc_get_name(chunk + i) == NULL);
		expect_fault(UNKNOWN);
	}
	puts("each byte inside a chunk of ones");
	check(talloc_get_size(chunk) == 1000);
	every_function("inside a chunk", chunk + 512);
	check(talloc_free(chunk) == 0);
	chunk = (char *)talloc_zero_size(NULL, 10000000);
	every_function("inside a large chunk", chunk + 5000000);
	every_function("inside a large chunk, at 64 KiB",
		       (void *)(((uintptr_t)chunk + 0x10000) & ~(uintptr_t)0xffff));
	check(talloc_free(chunk) == 0);

	pool = (char *)talloc_pool(NULL, 100000);
	member = (char *)talloc_zero_size(pool, 1000);
	every_function("inside a member of a pool", member + 512);
	every_function("a pool's room that was never used", pool + 50000);
	every_function("the place where a pool's next member will be",
		       member + 1008 + 48);
	check(talloc_free(pool) == 0);
	expect_no_fault();

	talloc_set_abort_fn(NULL);
	talloc_set_log_fn(log_line);
	in_child("without a handler", free_in_data);
	return 0;
}
