/*
 * Memory that two processes share, managed by one of them.
 *
 * A genpool allocates addresses in memory that the program brings, here a shared mapping.
 * It never touches it: its books lie in the process that allocates. So the other process
 * needs nothing but the place of each block, which it gets through a pipe, and what lies in
 * the mapping is the two processes' own, from the first byte to the last.
 *
 *     cc genalloc.c $(pkg-config --cflags --libs tmempool)
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tmempool.h>

enum { MAPPING = 1 << 20, ORDER = 6, MESSAGES = 5000, IN_FLIGHT = 64 };

/* Where a message lies in the mapping. */
struct message {
	size_t offset;
	size_t size;
};

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* The other process: each message is answered where it lies. */
static void answer(char *mapping, int requests, int answers)
{
	struct message message;

	while (read(requests, &message, sizeof(message)) == (ssize_t)sizeof(message)) {
		size_t i;

		for (i = 0; i < message.size; i++) {
			char *c = &mapping[message.offset + i];

			*c = (char)toupper((unsigned char)*c);
		}
		if (write(answers, &message, sizeof(message)) != (ssize_t)sizeof(message)) {
			die("write");
		}
	}
}

static void show(void *start, size_t size, size_t avail, void *mapping)
{
	printf("  %4zu KiB from %4zu KiB of the mapping on, %4zu KiB of them free\n", size / 1024,
	       (size_t)((char *)start - (char *)mapping) / 1024, avail / 1024);
}

int main(void)
{
	char *mapping = mmap(NULL, MAPPING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int requests[2], answers[2], status, sent = 0, received = 0;
	size_t least = MAPPING;
	tm_genpool *pool;
	pid_t other;

	talloc_set_log_stderr();
	if (mapping == MAP_FAILED || pipe(requests) != 0 || pipe(answers) != 0) {
		die("setup");
	}
	other = fork();
	if (other < 0) {
		die("fork");
	}
	if (other == 0) {
		close(requests[1]);
		close(answers[0]);
		answer(mapping, requests[0], answers[1]);
		_exit(EXIT_SUCCESS);
	}
	close(requests[0]);
	close(answers[1]);

	/* The first 64 KiB and the last are for other things; the pool manages the rest, in two pieces. */
	pool = tm_genpool_create(NULL, ORDER);
	if (pool == NULL || tm_genpool_add(pool, mapping + MAPPING / 16, MAPPING / 4) != 0 ||
	    tm_genpool_add(pool, mapping + MAPPING / 2, MAPPING / 2 - MAPPING / 16) != 0) {
		die("tm_genpool_create");
	}
	tm_genpool_set_algo(pool, TM_BEST_FIT);
	printf("managed:\n");
	tm_genpool_for_each_chunk(pool, show, mapping);

	while (received < MESSAGES) {
		struct message message;
		char expected[64];
		char *text;

		if (sent < MESSAGES && sent - received < IN_FLIGHT) {
			int length;

			message.size = (size_t)(100 + sent * 37 % 4000);
			text = tm_genpool_alloc(pool, message.size);
			if (text == NULL) {
				die("tm_genpool_alloc");
			}
			memset(text, 'x', message.size);
			length = snprintf(expected, sizeof(expected), "message %d", sent);
			memcpy(text, expected, (size_t)length);
			message.offset = (size_t)(text - mapping);
			if (write(requests[1], &message, sizeof(message)) != (ssize_t)sizeof(message)) {
				die("write");
			}
			sent++;
			if (tm_genpool_avail(pool) < least) {
				least = tm_genpool_avail(pool);
			}
			continue;
		}
		if (read(answers[0], &message, sizeof(message)) != (ssize_t)sizeof(message)) {
			die("read");
		}
		text = mapping + message.offset;
		snprintf(expected, sizeof(expected), "MESSAGE %d", received);
		if (memcmp(text, expected, strlen(expected)) != 0 || text[message.size - 1] != 'X' ||
		    tm_genpool_free(pool, text, message.size) != 0) {
			fprintf(stderr, "%s was not answered\n", expected);
			return EXIT_FAILURE;
		}
		received++;
	}
	close(requests[1]);
	if (waitpid(other, &status, 0) != other || status != 0) {
		return EXIT_FAILURE;
	}
	printf("%d messages answered where they lay, up to %zu KiB at a time\n", received,
	       (tm_genpool_size(pool) - least) / 1024);
	printf("after that:\n");
	tm_genpool_for_each_chunk(pool, show, mapping);
	if (tm_genpool_destroy(pool) != 0) {
		return EXIT_FAILURE;
	}
	munmap(mapping, MAPPING);
	return EXIT_SUCCESS;
}
