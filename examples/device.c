/*
 * A device that answers reads, and never fails while its allocator does.
 *
 * Each read needs a buffer. The buffers come from malloc(), which fails here for long times
 * on purpose, as it would when memory is short. A mempool holds a few buffers back: with these
 * the device goes on, slower, since a read may have to wait for a buffer that another one
 * uses, but none fails.
 *
 *     cc device.c $(pkg-config --cflags --libs tmempool) -lpthread
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tmempool.h>

enum { CLIENTS = 8, READS = 2000, BLOCK = 4096, RESERVE = 3 };

struct request {
	uint32_t block;
	uint32_t size;
};

/* What the device has at an offset. */
static unsigned char content(uint64_t offset)
{
	return (unsigned char)(offset * 2654435761u >> 13);
}

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* An allocator in bad weather: it fails in two of three thousand calls, one after the other. */
struct allocator {
	unsigned long calls, failures;
};

static void *buffer_alloc(void *data)
{
	struct allocator *allocator = data;
	unsigned long call = __atomic_fetch_add(&allocator->calls, 1, __ATOMIC_RELAXED);

	if (call >= RESERVE && call / 1000 % 3 != 0) {
		__atomic_fetch_add(&allocator->failures, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	return malloc(BLOCK);
}

static void buffer_free(void *buffer, void *data)
{
	(void)data;
	free(buffer);
}

static tm_mempool *buffers;
static unsigned long answered;

static void transfer(int fd, void *data, size_t size, int out)
{
	char *at = data;

	while (size > 0) {
		ssize_t done = out ? write(fd, at, size) : read(fd, at, size);

		if (done <= 0) {
			die(out ? "write" : "read");
		}
		at += done;
		size -= (size_t)done;
	}
}

/* The device's side of a connection. */
static void *serve(void *argument)
{
	int fd = *(int *)argument;
	int i;

	for (i = 0; i < READS; i++) {
		struct request request;
		unsigned char *buffer;
		uint32_t j;

		transfer(fd, &request, sizeof(request), 0);
		/* Waits, perhaps; never NULL. */
		buffer = tm_mempool_alloc(buffers, 0);
		if (buffer == NULL) {
			die("tm_mempool_alloc");
		}
		for (j = 0; j < request.size; j++) {
			buffer[j] = content((uint64_t)request.block * BLOCK + j);
		}
		transfer(fd, buffer, request.size, 1);
		tm_mempool_free(buffers, buffer);
		__atomic_fetch_add(&answered, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* A program that reads, and looks at what it got. */
static void *consume(void *argument)
{
	int fd = *(int *)argument;
	unsigned seed = (unsigned)fd;
	int i;

	for (i = 0; i < READS; i++) {
		struct request request;
		unsigned char answer[BLOCK];
		uint32_t j;

		request.block = (uint32_t)rand_r(&seed) % 10000;
		request.size = 1 + (uint32_t)rand_r(&seed) % BLOCK;
		transfer(fd, &request, sizeof(request), 1);
		transfer(fd, answer, request.size, 0);
		for (j = 0; j < request.size; j++) {
			if (answer[j] != content((uint64_t)request.block * BLOCK + j)) {
				fprintf(stderr, "block %u is wrong at %u\n", request.block, j);
				exit(EXIT_FAILURE);
			}
		}
	}
	return NULL;
}

int main(void)
{
	struct allocator allocator = { 0, 0 };
	void *device = talloc_named_const(NULL, 0, "device");
	int sockets[CLIENTS][2];
	pthread_t threads[CLIENTS][2];
	int i;

	talloc_set_log_stderr();
	buffers = tm_mempool_create(device, RESERVE, buffer_alloc, buffer_free, &allocator);
	if (buffers == NULL) {
		die("tm_mempool_create");
	}
	for (i = 0; i < CLIENTS; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets[i]) != 0 ||
		    pthread_create(&threads[i][0], NULL, serve, &sockets[i][0]) != 0 ||
		    pthread_create(&threads[i][1], NULL, consume, &sockets[i][1]) != 0) {
			die("a connection");
		}
	}
	for (i = 0; i < CLIENTS; i++) {
		pthread_join(threads[i][0], NULL);
		pthread_join(threads[i][1], NULL);
	}
	printf("%d clients, %lu reads answered, a reserve of %d buffers\n", CLIENTS, answered, RESERVE);
	printf("the allocator was called %lu times and failed %lu times; no read did\n",
	       allocator.calls, allocator.failures);
	/* The reserve goes with what it belongs to. */
	talloc_free(device);
	return answered == CLIENTS * READS && allocator.failures > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
