/*
 * Growth: arrays that grow by one element or by doubling, alone and with a
 * second array in the way. Each new page is written, and the contents are read back after each pass.
 */
#include "bench.h"

enum growth { BY_ONE, DOUBLING };

ALWAYS_INLINE uint32_t *resize(enum via via, void *parent, uint32_t *array, size_t count)
{
	array = via == TALLOC ? talloc_realloc(parent, array, uint32_t, count)
			      : realloc(array, count * sizeof(*array));
	check(array != NULL, "realloc: out of memory");
	return array;
}

/* Grows `arrays` arrays, turn by turn, to `pass->size` elements each. */
ALWAYS_INLINE void grow(struct pass *pass, enum via via, enum growth growth, size_t arrays)
{
	enum { PAGE = 4096 / sizeof(uint32_t), START = 16 };
	void *parent = via == TALLOC ? talloc_new(NULL) : NULL;
	uint32_t *array[2] = { NULL, NULL };
	size_t limit = pass->size, ops = 0;

	clock_start(pass);
	for (size_t count = START; count <= limit; count = growth == BY_ONE ? count + 1 : count * 2) {
		for (size_t a = 0; a < arrays; a++) {
			array[a] = resize(via, parent, array[a], count);
			array[a][count - 1] = (uint32_t)count;
			for (size_t i = count / 2 + PAGE; growth == DOUBLING && i < count; i += PAGE) {
				array[a][i - 1] = (uint32_t)i;
			}
			ops++;
		}
	}
	clock_stop(pass, ops);
	for (size_t a = 0; a < arrays; a++) {
		for (size_t i = growth == BY_ONE ? START : PAGE; i <= limit; i += growth == BY_ONE ? 1 : PAGE) {
			check(array[a][i - 1] == i, "realloc: contents");
		}
	}
	clock_start(pass);
	for (size_t a = 0; a < arrays; a++) {
		object_free(via, array[a]);
	}
	clock_stop(pass, 0);
	if (via == TALLOC) {
		check(talloc_total_blocks(parent) == 1, "realloc: blocks left");
		talloc_free(parent);
	}
}

BOTH(one, grow, BY_ONE, 1)
BOTH(one_two, grow, BY_ONE, 2)
BOTH(doubling, grow, DOUBLING, 1)
BOTH(doubling_two, grow, DOUBLING, 2)

const struct workload realloc_workloads[] = {
	{ "realloc/by-one", "realloc", 20000, WARM, one_talloc, one_bare },
	{ "realloc/by-one-two", "realloc", 20000, WARM, one_two_talloc, one_two_bare },
	{ "realloc/doubling", "realloc", 1 << 20, WARM, doubling_talloc, doubling_bare },
	{ "realloc/doubling-two", "realloc", 1 << 20, WARM, doubling_two_talloc, doubling_two_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
