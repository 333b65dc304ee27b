/*
 * A use after free inside a pool, on purpose, when it is asked for one: `freed_member read`. What a
 * program does by itself is fine.
 */
#include "ours.h"

int main(int argc, char **argv)
{
	void *pool = talloc_pool(NULL, 4096);
	char *member = talloc_strdup(pool, "member");
	char *other = talloc_strdup(pool, "other");
	volatile const char *stale = member;
	int sum;

	check(talloc_free(member) == 0);
	sum = argc > 1 && strcmp(argv[1], "read") == 0 ? stale[0] : 0;
	check(strcmp(other, "other") == 0);
	check(talloc_free(pool) == 0);
	/* What was read counts for something, or the compiler would not read it. */
	return sum == 1;
}
