/*
 * Arguments that make no sense: NULL wherever talloc crashes on it, elements of no
 * size, counts and sizes beyond all bounds. The answer is a refusal.
 */
#include "ours.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int keep(char *p)
{
	(void)p;
	return -1;
}

int main(void)
{
	char *root, *p, *s;
	size_t size;

	catch_faults();
	root = node(NULL, "root");

	puts("NULL, where it is an answer");
	check(talloc_increase_ref_count(NULL) == -1);
	check(talloc_find_parent_byname(root, NULL) == NULL);
	check(_talloc_move(root, NULL) == NULL);
	talloc_report_depth_cb(root, 0, -1, NULL, NULL);
	expect_no_fault();

	puts("NULL, where there must be a chunk");
	check(talloc_get_name(NULL) == NULL);
	expect_fault(UNKNOWN);
	check(talloc_reference_count(NULL) == 0);
	expect_fault(UNKNOWN);
	_talloc_set_destructor(NULL, NULL);
	expect_fault(UNKNOWN);
	talloc_set_name_const(NULL, "x");
	expect_fault(UNKNOWN);
	check(talloc_set_name(NULL, "%s", "x") == NULL);
	expect_fault(UNKNOWN);
	check(talloc_set_memlimit(NULL, 100) != 0);
	expect_fault(UNKNOWN);

	puts("nothing is named NULL");
	p = node(root, "below it");
	char *chunks[] = {
		talloc_named_const(p, 1, NULL),
		talloc_named_const(talloc_pool(p, 1000), 1, NULL),
		talloc_named_const(p, 1, NULL),
	};
	talloc_set_destructor(chunks[2], keep);
	for (size_t i = 0; i < 3; i++) {
		check(strcmp(talloc_get_name(chunks[i]), "UNNAMED") == 0);
		check(talloc_check_name(chunks[i], NULL) == NULL);
		check(talloc_check_name(chunks[i], "UNNAMED") == chunks[i]);
		expect_no_fault();
		check(_talloc_get_type_abort(chunks[i], NULL, "here") == NULL);
		expect_fault("here: Type mismatch: name[UNNAMED] expected[(null)]");
		check(talloc_check_name(chunks[i], "x") == NULL);
		talloc_set_name_const(chunks[i], "x");
		check(talloc_check_name(chunks[i], NULL) == NULL);
		check(talloc_check_name(chunks[i], "x") == chunks[i]);
		expect_no_fault();
		check(_talloc_get_type_abort(chunks[i], NULL, "here") == NULL);
		expect_fault("here: Type mismatch: name[x] expected[(null)]");
	}
	talloc_set_destructor(chunks[2], NULL);
	check(talloc_free(p) == 0);
	expect_no_fault();

	puts("elements of no size");
	check(_talloc_array(root, 0, 0, "x") == NULL);
	check(_talloc_array(root, 0, 10, "x") == NULL);
	check(_talloc_zero_array(root, 0, 10, "x") == NULL);
	check(_talloc_realloc_array(root, NULL, 0, 10, "x") == NULL);
	p = node(root, "p");
	check(_talloc_realloc_array(root, p, 0, 10, "x") == NULL);
	check(talloc_get_size(p) == 1);
	check(_talloc_realloc_array_zero(root, p, 0, 10, "x") == NULL);
	check(talloc_get_size(p) == 1);
	check(talloc_free(p) == 0);

	puts("too large, and errno");
	for (size = SIZE_MAX; size >= 0x10000000; size /= 2) {
		errno = 0;
		check(talloc_size(root, size) == NULL && errno == ENOMEM);
		errno = 0;
		check(talloc_zero_size(root, size) == NULL && errno == ENOMEM);
		errno = 0;
		check(talloc_pool(root, size) == NULL && errno == ENOMEM);
		errno = 0;
		check(_talloc_pooled_object(root, 8, "x", 1, size) == NULL && errno == ENOMEM);
		errno = 0;
		check(_talloc_pooled_object(root, size, "x", 1, 8) == NULL && errno == ENOMEM);
		errno = 0;
		check(_talloc_array(root, size, 2, "x") == NULL && errno == ENOMEM);
		p = node(root, "p");
		errno = 0;
		check(talloc_realloc_size(root, p, size) == NULL && errno == ENOMEM);
		check(talloc_get_size(p) == 1 && talloc_parent(p) == root);
		check(talloc_free(p) == 0);
	}
	errno = 0;
	check(talloc_array(root, int, UINT32_MAX) == NULL && errno == ENOMEM);
	errno = 0;
	check(_talloc_pooled_object(root, 8, "x", UINT32_MAX, 8) == NULL && errno == ENOMEM);
	errno = 0;
	check(talloc_memdup(root, "x", SIZE_MAX) == NULL && errno == ENOMEM);

	puts("strings of newer talloc");
	s = talloc_strdup(root, "one");
	talloc_asprintf_addsep(&s, ", ", "%s", "two");
	check(strcmp(s, "one, two") == 0);
	check(talloc_parent(s) == root && talloc_get_name(s) == s);
	talloc_free(s);
	s = talloc_strdup(root, "");
	talloc_asprintf_addsep(&s, ", ", "%d", 1);
	check(strcmp(s, "1") == 0);
	talloc_asprintf_addsep(&s, ", ", "%d", 2);
	check(strcmp(s, "1, 2") == 0);
	talloc_free(s);
	s = NULL;
	talloc_asprintf_addsep(&s, ", ", "%d", 1);
	check(s == NULL);

	puts("realloc that zeroes what is new");
	{
		int *n = talloc_array(root, int, 10);
		int i;

		memset(n, 0xff, 40);
		n = (int *)_talloc_realloc_array_zero(root, n, sizeof(int), 1000, "n");
		check(n[9] == -1 && talloc_get_size(n) == 4000);
		for (i = 10; i < 1000; i++) {
			check(n[i] == 0);
		}
		n = (int *)_talloc_realloc_array_zero(root, n, sizeof(int), 5, "n");
		check(n[4] == -1 && talloc_get_size(n) == 20);
		n = (int *)_talloc_realloc_array_zero(root, n, sizeof(int), 50, "n");
		check(n[4] == -1 && n[5] == 0 && n[49] == 0);
		check(_talloc_realloc_array_zero(root, n, sizeof(int), UINT32_MAX, "n") == NULL);
		check(talloc_get_size(n) == 200);
		talloc_free(n);
	}

	puts("a string that cannot grow is freed by addbuf");
	p = (char *)talloc_named_const(root, 0, "limited");
	check(talloc_set_memlimit(p, 1000) == 0);
	s = talloc_strdup(p, "text");
	talloc_asprintf_addbuf(&s, "%5000d", 1);
	check(s == NULL);
	check(talloc_total_blocks(p) == 1);
	s = talloc_strdup(p, "text");
	talloc_asprintf_addsep(&s, ",", "%5000d", 1);
	check(s == NULL);
	check(talloc_total_blocks(p) == 1);
	check(talloc_free(p) == 0);

	check(talloc_total_blocks(root) == 1);
	check(talloc_free(root) == 0);
	expect_no_fault();
	return 0;
}
