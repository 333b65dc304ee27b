/*
 * A forked child marks memory that it uses anew with a secret of its own, and knows
 * that of its parent in what it has inherited.
 */
#include "ours.h"

enum { CHILDREN = 8, GENERATIONS = 4096 };

/* The mark in the header of a chunk, without its flags. */
static unsigned mark_of(const char *p)
{
	unsigned tag;

	memcpy(&tag, p - 48, sizeof(tag));
	return tag >> 8;
}

/* Chunks too large for a slot have memory of their own, and so a mark of their own. */
static char *new_memory(void)
{
	char *p = (char *)talloc_size(NULL, 200000);

	check(p != NULL);
	return p;
}

static void child(int to_parent)
{
	unsigned mark = mark_of(new_memory());

	check((mark ^ mark_of(new_memory())) < GENERATIONS);
	check(write(to_parent, &mark, sizeof(mark)) == sizeof(mark));
	_exit(0);
}

/* What the parent had marked is known as freed by the child, however it was freed. */
static void inherit(char *pool, char *member, char *alone)
{
	check(talloc_get_size(member) == 20 && talloc_get_size(alone) == 30);
	check(talloc_free(pool) == 0);
	check(talloc_get_size(member) == 0);
	expect_fault(AFTER_FREE);
	check(talloc_free(alone) == 0);
	check(talloc_get_size(alone) == 0);
	expect_fault(AFTER_FREE);
	_exit(0);
}

int main(void)
{
	unsigned marks[CHILDREN], mine;
	char *pool, *member, *alone;
	int pipes[2], status, i, j, alike = 0;
	pid_t pid;

	catch_faults();
	mine = mark_of(new_memory());
	check((mine ^ mark_of(new_memory())) < GENERATIONS);
	check(pipe(pipes) == 0);
	for (i = 0; i < CHILDREN; i++) {
		pid = fork();
		if (pid == 0) {
			child(pipes[1]);
		}
		check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
		check(read(pipes[0], &marks[i], sizeof(marks[i])) == sizeof(marks[i]));
		alike += (marks[i] ^ mine) < GENERATIONS;
		for (j = 0; j < i; j++) {
			alike += (marks[i] ^ marks[j]) < GENERATIONS;
		}
	}
	/* By chance, two are alike once in some four thousand pairs. */
	check(alike <= 1);

	pool = (char *)talloc_pool(NULL, 1000);
	member = (char *)talloc_size(pool, 20);
	alone = (char *)talloc_size(NULL, 30);
	pid = fork();
	if (pid == 0) {
		inherit(pool, member, alone);
	}
	check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	check(talloc_get_size(member) == 20 && talloc_get_size(alone) == 30);
	expect_no_fault();
	return 0;
}
