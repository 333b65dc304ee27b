/* Arrays and sizes: limits, overflow, zeroing, alignment, lengths. */
#include "check.h"

struct pair { long left, right; };
struct large { char bytes[0x1000]; };

static bool all_zero(const void *p, size_t n)
{
	const char *c = (const char *)p;
	size_t i;

	for (i = 0; i < n; i++) {
		if (c[i] != 0) {
			return false;
		}
	}
	return true;
}

static void outcome(const char *title, void *p)
{
	if (p == NULL) {
		printf("%s: NULL\n", title);
		return;
	}
	printf("%s: size %zu\n", title, talloc_get_size(p));
	talloc_free(p);
}

int main(void)
{
	static const size_t sizes[] = {
		0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64,
		65, 100, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000,
		1023, 1024, 1025, 2048, 4000, 4095, 4096, 4097, 8192, 16384,
		32767, 32768, 32769, 65535, 65536, 65537, 131072, 1000000,
		0x200000, 0xfffffff,
	};
	char *root, *p;
	struct pair *pairs;
	size_t i;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("sizes around their bounds");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		p = (char *)talloc_size(root, sizes[i]);
		check(p != NULL);
		check((uintptr_t)p % 16 == 0);
		printf("%zu: %zu, total %zu\n", sizes[i], talloc_get_size(p),
		       talloc_total_size(root));
		memset(p, 0x5a, sizes[i] < 100000 ? sizes[i] : 100000);
		talloc_free(p);
		p = (char *)talloc_zero_size(root, sizes[i]);
		check(p != NULL && all_zero(p, sizes[i]));
		talloc_free(p);
	}

	section("too large");
	outcome("0x0fffffff", talloc_size(root, 0x0fffffff));
	outcome("0x10000000", talloc_size(root, 0x10000000));
	outcome("0x10000001", talloc_size(root, 0x10000001));
	outcome("SIZE_MAX", talloc_size(root, SIZE_MAX));
	outcome("SIZE_MAX - 16", talloc_size(root, SIZE_MAX - 16));
	outcome("SIZE_MAX - 96", talloc_size(root, SIZE_MAX - 96));
	outcome("SIZE_MAX / 2", talloc_size(root, SIZE_MAX / 2));
	outcome("zeroed", talloc_zero_size(root, 0x10000000));
	outcome("pool", talloc_pool(root, 0x10000000));
	outcome("pool of SIZE_MAX", talloc_pool(root, SIZE_MAX));
	outcome("pooled object", talloc_pooled_object(root, struct pair, 1, 0x10000000));
	outcome("pooled objects", talloc_pooled_object(root, struct pair, UINT32_MAX, 10));
	outcome("pooled total", talloc_pooled_object(root, struct pair, 1, SIZE_MAX));
	outcome("no parent", talloc_size(NULL, 0x10000000));
	outcome("memdup", talloc_memdup(root, "x", 0x10000000));
	show(talloc_total_blocks(root));

	section("array counts");
	outcome("0 chars", talloc_array(root, char, 0));
	outcome("0xfffffff chars", talloc_array(root, char, 0xfffffff));
	outcome("0x10000000 chars", talloc_array(root, char, 0x10000000));
	outcome("UINT32_MAX chars", talloc_array(root, char, UINT32_MAX));
	outcome("0x3ffffff ints", talloc_array(root, int, 0x3ffffff));
	outcome("0x4000000 ints", talloc_array(root, int, 0x4000000));
	outcome("UINT32_MAX ints", talloc_array(root, int, UINT32_MAX));
	outcome("0xffff large", talloc_array(root, struct large, 0xffff));
	outcome("0x10000 large", talloc_array(root, struct large, 0x10000));
	outcome("0 of 0x10000000", _talloc_array(root, 0x10000000, 0, "n"));
	outcome("1 of 0xfffffff", _talloc_array(root, 0xfffffff, 1, "n"));
	outcome("0 of 0xfffffff", _talloc_array(root, 0xfffffff, 0, "n"));
	outcome("1 of 0x8000001", _talloc_array(root, 0x8000001, 1, "n"));
	outcome("0 of 0x20000000", _talloc_array(root, 0x20000000, 0, "n"));
	outcome("1 of SIZE_MAX", _talloc_array(root, SIZE_MAX, 1, "n"));
	outcome("2 of SIZE_MAX / 2", _talloc_array(root, SIZE_MAX / 2, 2, "n"));
	outcome("0 of 3", _talloc_array(root, 3, 0, "n"));
	outcome("0x5555554 of 3", _talloc_array(root, 3, 0x5555554, "n"));
	outcome("0x5555555 of 3", _talloc_array(root, 3, 0x5555555, "n"));
	outcome("0x5555556 of 3", _talloc_array(root, 3, 0x5555556, "n"));
	outcome("zero array", talloc_zero_array(root, int, 0x4000000));
	outcome("realloc array", _talloc_realloc_array(root, NULL, 4, 0x4000000, "n"));
	outcome("realloc array below", _talloc_realloc_array(root, NULL, 4, 0x3ffffff, "n"));
	outcome("realloc array of none", _talloc_realloc_array(root, NULL, 4, 0, "n"));
	show(talloc_total_blocks(root));

	section("lengths");
	pairs = talloc_array(root, struct pair, 7);
	show(talloc_array_length(pairs));
	pairs = talloc_realloc(root, pairs, struct pair, 20);
	show(talloc_array_length(pairs));
	printf("%s\n", who(pairs));
	p = talloc_array(root, char, 0);
	show(talloc_array_length(p));
	show(talloc_get_size(NULL));

	section("zeroed after use");
	for (i = 0; i < 200; i++) {
		p = talloc_array(root, char, 300);
		memset(p, 0xff, 300);
		talloc_free(p);
		p = talloc_zero_array(root, char, 300);
		check(all_zero(p, 300));
		talloc_free(p);
	}
	pairs = talloc_zero(root, struct pair);
	show(pairs->left + pairs->right);

	section("memory is its own");
	{
		char *many[300];
		size_t j;

		for (i = 0; i < 300; i++) {
			many[i] = talloc_array(root, char, i);
			memset(many[i], (int)i, i);
		}
		for (i = 0; i < 300; i++) {
			for (j = 0; j < i; j++) {
				check(many[i][j] == (char)i);
			}
		}
		puts("300 arrays keep their bytes");
	}
	talloc_free(root);
	return 0;
}
