/*
 * A pool: memory taken at once, from which all that is allocated below it is served.
 *
 * `make run` builds and runs this program. It is plain talloc, and works with any libtalloc.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <talloc.h>

enum { POOL_SIZE = 1024 };

/* Whether `ptr` lies in the memory that belongs to `pool`. */
static int is_inside(const void *pool, const void *ptr)
{
	return (uintptr_t)ptr - (uintptr_t)pool < POOL_SIZE;
}

/* Allocates below `parent`, in the tree of `pool`, and says where the memory came from. */
static char *take(void *pool, void *parent, size_t size, const char *name)
{
	char *block = talloc_named_const(parent, size, name);

	if (block == NULL) {
		perror("talloc");
		exit(EXIT_FAILURE);
	}
	if (is_inside(pool, block)) {
		printf("%4zu bytes for '%s': inside the pool, %td bytes from its start\n", size,
		       name, block - (char *)pool);
	} else {
		printf("%4zu bytes for '%s': not inside the pool, which has no room for them; "
		       "from the heap\n",
		       size, name);
	}
	return block;
}

static void give_back(char *block)
{
	printf("%4zu bytes of '%s' are given back\n", talloc_get_size(block),
	       talloc_get_name(block));
	talloc_free(block);
}

int main(void)
{
	void *pool;
	char *table, *rest;

	/* From here on, all that has no parent is counted under the null context. */
	talloc_enable_null_tracking();

	pool = talloc_pool(NULL, POOL_SIZE);
	if (pool == NULL) {
		perror("talloc_pool");
		return EXIT_FAILURE;
	}
	talloc_set_name_const(pool, "pool");
	printf("a pool of %d bytes\n", POOL_SIZE);

	table = take(pool, pool, 512, "table");
	take(pool, pool, 1024, "buffer");
	rest = take(pool, pool, 200, "line");

	give_back(rest);
	take(pool, table, 200, "another line, of the table");

	printf("\nWhat is there, and who owns it:\n");
	talloc_report_full(pool, stdout);

	talloc_free(pool);
	printf("\nThe pool is freed, and all below it, in the pool and in the heap, is gone:\n");
	talloc_report_full(NULL, stdout);

	talloc_disable_null_tracking();
	return EXIT_SUCCESS;
}
