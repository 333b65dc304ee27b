/*
 * Looking at a large tree: totals, and a full report to nowhere.
 *
 * `size` is the number of chunks below the root, eight to a node.
 */
#include "bench.h"

#include <stdio.h>

enum { FANOUT = 8, SIZE = 32 };

static void *tree_new(size_t below)
{
	void *root = talloc_new(NULL);
	void **all = calloc(below + 1, sizeof(*all));

	all[0] = root;
	for (size_t i = 1; i <= below; i++) {
		all[i] = object_new(TALLOC, all[(i - 1) / FANOUT], SIZE);
	}
	free(all);
	return root;
}

#define TOTAL(name, function, wanted)                                        \
	static void name(struct pass *pass)                                      \
	{                                                                        \
		void *root = tree_new(pass->size);                                   \
		do {                                                                 \
			clock_start(pass);                                               \
			check(function(root) == (wanted), #name ": a wrong total");      \
		} while (clock_wants_more(pass, pass->size));                        \
		talloc_free(root);                                                   \
	}

TOTAL(total_size, talloc_total_size, pass->size * SIZE)
TOTAL(total_blocks, talloc_total_blocks, pass->size + 1)

static ssize_t count_lines(void *cookie, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		*(size_t *)cookie += text[i] == '\n';
	}
	return (ssize_t)length;
}

static void full(struct pass *pass)
{
	void *root = tree_new(pass->size);
	size_t lines = 0;
	FILE *out = pass->verify
		? fopencookie(&lines, "w", (cookie_io_functions_t){ .write = count_lines })
		: fopen("/dev/null", "w");

	check(out != NULL, "report: cannot open a stream");
	clock_start(pass);
	talloc_report_full(root, out);
	fflush(out);
	clock_stop(pass, pass->size);
	fclose(out);
	check(!pass->verify || lines == pass->size + 1, "report: lines");
	talloc_free(root);
}

const struct workload report_workloads[] = {
	{ "report/total-size", "chunk", 300000, WARM, total_size, NULL },
	{ "report/total-blocks", "chunk", 300000, WARM, total_blocks, NULL },
	{ "report/full", "chunk", 300000, WARM, full, NULL },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
