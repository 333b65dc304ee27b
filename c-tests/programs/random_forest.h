/*
 * The forest that a random program works on: its chunks, known by their numbers, the chance that picks
 * them, what their payloads must hold, and the trace, which never shows an address.
 */
#ifndef RANDOM_FOREST_H
#define RANDOM_FOREST_H

#include "check.h"

enum { MAX_CHUNKS = 20000 };

/* What a chunk does when it is to die. */
enum manner { AGREES, REFUSES_ONCE, FLEES, ALLOCATES, FREES_ANOTHER, MANNERS };

struct chunk {
	char *ptr;	     /* NULL when it is gone */
	char *last;	     /* where it was when it went */
	int died;	     /* its place in the order of deaths */
	char name[16];
	size_t size;
	bool is_string;
	bool is_pool;
	enum manner manner;
};

/* One program's state; each thread runs one of its own. */
static __thread struct chunk chunks[MAX_CHUNKS];
static __thread int used, deaths;
static __thread char *refuge;

/* ---- the trace: printed, or only summed up */

static bool digesting, limiting;
static __thread uint64_t digest;

static void out(const char *format, ...) PRINTF_ATTRIBUTE(1, 2);

static void out(const char *format, ...)
{
	char line[500];
	va_list ap;
	const char *p;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (!digesting) {
		fputs(line, stdout);
		return;
	}
	for (p = line; *p != '\0'; p++) {
		digest = (digest ^ (unsigned char)*p) * 0x100000001b3u;
	}
}

static void out_log(const char *message)
{
	out("log %s", message);
}

static void out_report(const void *ptr)
{
	char *text = NULL, *line, *end;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);

	talloc_report_full(ptr, f);
	fclose(f);
	for (line = text; *line != '\0'; line = end) {
		char *address = strstr(line, "0x");

		end = strchr(line, '\n') + 1;
		if (limiting && memmem(line, end - line, " is a memlimit context ", 23) != NULL) {
			continue;
		}
		if (address != NULL && address < end) {
			out("%.*s\n", (int)(address - line), line);
		} else {
			out("%.*s", (int)(end - line), line);
		}
	}
	free(text);
}

/* ---- chance */

static __thread uint64_t state;

static unsigned chance(unsigned below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

/* A living chunk's index, or -1. */
static int any_chunk(void)
{
	int tries;

	for (tries = 0; tries < 30 && used > 0; tries++) {
		/* Mostly young ones. */
		int span = used < 60 || chance(4) == 0 ? used : 60;
		int i = used - 1 - (int)chance(span);

		if (chunks[i].ptr != NULL) {
			return i;
		}
	}
	return -1;
}

static int index_of(const char *ptr)
{
	int i;

	for (i = used - 1; i >= 0; i--) {
		if (chunks[i].ptr == ptr) {
			return i;
		}
	}
	return -1;
}

static const char *label(int i)
{
	return i < 0 ? "NULL" : chunks[i].name;
}

static char *pointer(int i)
{
	return i < 0 ? NULL : chunks[i].ptr;
}

/*
 * A parent that is dying too is known by its number: its formatted name may be
 * gone already.
 */
static const char *label_of(const void *ptr)
{
	int i, latest = -1;

	if (ptr == NULL) {
		return "NULL";
	}
	i = index_of((const char *)ptr);
	if (i >= 0) {
		return chunks[i].name;
	}
	if (ptr == refuge) {
		return "refuge";
	}
	for (i = 0; i < used; i++) {
		if (chunks[i].last == ptr &&
		    (latest < 0 || chunks[i].died > chunks[latest].died)) {
			latest = i;
		}
	}
	return latest < 0 ? talloc_get_name(ptr) : chunks[latest].name;
}

/* ---- payloads carry their chunk's number */

static void fill(int i)
{
	if (chunks[i].ptr != NULL && !chunks[i].is_string) {
		memset(chunks[i].ptr, i, chunks[i].size);
	}
}

static void check_payload(int i, size_t size)
{
	size_t n;

	check(talloc_get_size(chunks[i].ptr) ==
	      (chunks[i].is_pool ? 0 : chunks[i].size));
	if (chunks[i].is_string) {
		check(strlen(chunks[i].ptr) + 1 == chunks[i].size);
		return;
	}
	for (n = 0; n < size; n++) {
		check(chunks[i].ptr[n] == (char)i);
	}
}

#endif
