/*
 * Strings: every builder of talloc beside what a C programmer writes without it.
 *
 * The makers copy or format a new string and free it. The appenders build one
 * string of 40 pieces; `_append` finds the end itself, `_append_buffer` knows it.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>

enum { OPS = 20000, PIECES = 40 };

static const char text[] = "the quick brown fox jumps over the lazy dog";
static const char piece[] = "key=value; ";
#define FORMAT "item %d: %s; "
#define WORD "value"

/* --- makers: a new string, and its free --- */

#define MAKER(name, make_talloc, make_bare, expected)                                    \
	ALWAYS_INLINE char *name##_one(enum via via, void *parent, size_t i)                 \
	{                                                                                    \
		char *made = NULL;                                                               \
		(void)i;                                                                         \
		if (via == TALLOC) {                                                             \
			make_talloc;                                                                 \
		} else {                                                                         \
			make_bare;                                                                   \
		}                                                                                \
		return made;                                                                     \
	}                                                                                    \
	ALWAYS_INLINE void name##_many(struct pass *pass, enum via via)                      \
	{                                                                                    \
		void *parent = via == TALLOC ? talloc_new(NULL) : NULL;                          \
		clock_start(pass);                                                               \
		for (size_t i = 0; i < OPS; i++) {                                               \
			char *made = name##_one(via, parent, i);                                     \
			check(made != NULL && made[5] == (expected)[5], #name ": contents");         \
			check(!pass->verify || strcmp(made, expected) == 0, #name ": contents");     \
			object_free(via, made);                                                      \
		}                                                                                \
		clock_stop(pass, OPS);                                                           \
		check(via == BARE || talloc_total_blocks(parent) == 1, #name ": blocks left");   \
		talloc_free(parent);                                                             \
	}                                                                                    \
	BOTH(name, name##_many)

static char *via_vasprintf(void *parent, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *made = talloc_vasprintf(parent, format, args);
	va_end(args);
	return made;
}

static char *via_bare_vasprintf(const char *format, ...)
{
	va_list args;
	char *made = NULL;
	va_start(args, format);
	int length = vasprintf(&made, format, args);
	va_end(args);
	return length < 0 ? NULL : made;
}

static char *bare_memdup(const char *from, size_t size)
{
	char *made = malloc(size);
	return made == NULL ? NULL : memcpy(made, from, size);
}

MAKER(dup, made = talloc_strdup(parent, text), made = strdup(text), text)
MAKER(ndup, made = talloc_strndup(parent, text, 30), made = strndup(text, 30),
      "the quick brown fox jumps over")
MAKER(memory, made = talloc_memdup(parent, text, sizeof(text)),
      made = bare_memdup(text, sizeof(text)), text)
MAKER(format, made = talloc_asprintf(parent, "%s, %d times", "the same words", 42),
      made = via_bare_vasprintf("%s, %d times", "the same words", 42),
      "the same words, 42 times")
MAKER(vformat, made = via_vasprintf(parent, "%s, %d times", "the same words", 42),
      made = via_bare_vasprintf("%s, %d times", "the same words", 42),
      "the same words, 42 times")

/* --- appenders: 40 pieces to one string --- */

/* What the bare side knows about its string. */
struct text {
	char *start;
	size_t length;
};

static void bare_append(struct text *s, const char *more, size_t length, bool find_end)
{
	size_t end = find_end ? strlen(s->start) : s->length;
	char *grown = realloc(s->start, end + length + 1);

	check(grown != NULL, "append: out of memory");
	memcpy(grown + end, more, length);
	grown[end + length] = '\0';
	s->start = grown;
	s->length = end + length;
}

static void bare_append_format(struct text *s, bool find_end, const char *format, ...)
{
	size_t end = find_end ? strlen(s->start) : s->length;
	va_list args;

	va_start(args, format);
	int length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *grown = realloc(s->start, end + (size_t)length + 1);
	check(grown != NULL, "append: out of memory");
	va_start(args, format);
	vsnprintf(grown + end, (size_t)length + 1, format, args);
	va_end(args);
	s->start = grown;
	s->length = end + (size_t)length;
}

static char *via_vappend(char *s, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *made = talloc_vasprintf_append(s, format, args);
	va_end(args);
	return made;
}

static char *via_vappend_buffer(char *s, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *made = talloc_vasprintf_append_buffer(s, format, args);
	va_end(args);
	return made;
}

static char expected_copied[1024], expected_formatted[1024];

static void expect_strings(void)
{
	for (int i = 0; i < PIECES; i++) {
		strcat(expected_copied, piece);
		sprintf(expected_formatted + strlen(expected_formatted), FORMAT, i, WORD);
	}
}

#define APPENDER(name, append_talloc, append_bare, expected)                             \
	ALWAYS_INLINE void name##_many(struct pass *pass, enum via via)                      \
	{                                                                                    \
		void *parent = via == TALLOC ? talloc_new(NULL) : NULL;                          \
		if (expected_copied[0] == '\0') {                                                \
			expect_strings();                                                            \
		}                                                                                \
		clock_start(pass);                                                               \
		for (size_t n = 0; n < OPS / PIECES; n++) {                                      \
			char *s = via == TALLOC ? talloc_strdup(parent, "") : NULL;                  \
			struct text t = { via == BARE ? strdup("") : NULL, 0 };                      \
			for (int i = 0; i < PIECES; i++) {                                           \
				if (via == TALLOC) {                                                     \
					append_talloc;                                                       \
				} else {                                                                 \
					append_bare;                                                         \
				}                                                                        \
			}                                                                            \
			char *made = via == TALLOC ? s : t.start;                                    \
			check(made != NULL && strcmp(made, expected) == 0, #name ": contents");      \
			object_free(via, made);                                                      \
		}                                                                                \
		clock_stop(pass, OPS);                                                           \
		check(via == BARE || talloc_total_blocks(parent) == 1, #name ": blocks left");   \
		talloc_free(parent);                                                             \
	}                                                                                    \
	BOTH(name, name##_many)

APPENDER(append, s = talloc_strdup_append(s, piece),
	 bare_append(&t, piece, strlen(piece), true), expected_copied)
APPENDER(append_buffer, s = talloc_strdup_append_buffer(s, piece),
	 bare_append(&t, piece, strlen(piece), false), expected_copied)
APPENDER(nappend, s = talloc_strndup_append(s, piece, 100),
	 bare_append(&t, piece, strnlen(piece, 100), true), expected_copied)
APPENDER(nappend_buffer, s = talloc_strndup_append_buffer(s, piece, 100),
	 bare_append(&t, piece, strnlen(piece, 100), false), expected_copied)
APPENDER(fappend, s = talloc_asprintf_append(s, FORMAT, i, WORD),
	 bare_append_format(&t, true, FORMAT, i, WORD), expected_formatted)
APPENDER(fappend_buffer, s = talloc_asprintf_append_buffer(s, FORMAT, i, WORD),
	 bare_append_format(&t, false, FORMAT, i, WORD), expected_formatted)
APPENDER(vappend, s = via_vappend(s, FORMAT, i, WORD),
	 bare_append_format(&t, true, FORMAT, i, WORD), expected_formatted)
APPENDER(vappend_buffer, s = via_vappend_buffer(s, FORMAT, i, WORD),
	 bare_append_format(&t, false, FORMAT, i, WORD), expected_formatted)
APPENDER(addbuf, talloc_asprintf_addbuf(&s, FORMAT, i, WORD),
	 bare_append_format(&t, false, FORMAT, i, WORD), expected_formatted)

const struct workload string_workloads[] = {
	{ "strings/strdup", "make+free", 1, WARM, dup_talloc, dup_bare },
	{ "strings/strndup", "make+free", 1, WARM, ndup_talloc, ndup_bare },
	{ "strings/memdup", "make+free", 1, WARM, memory_talloc, memory_bare },
	{ "strings/asprintf", "make+free", 1, WARM, format_talloc, format_bare },
	{ "strings/vasprintf", "make+free", 1, WARM, vformat_talloc, vformat_bare },
	{ "strings/strdup_append", "piece", 1, WARM, append_talloc, append_bare },
	{ "strings/strdup_append_buffer", "piece", 1, WARM, append_buffer_talloc, append_buffer_bare },
	{ "strings/strndup_append", "piece", 1, WARM, nappend_talloc, nappend_bare },
	{ "strings/strndup_append_buffer", "piece", 1, WARM, nappend_buffer_talloc, nappend_buffer_bare },
	{ "strings/asprintf_append", "piece", 1, WARM, fappend_talloc, fappend_bare },
	{ "strings/asprintf_append_buffer", "piece", 1, WARM, fappend_buffer_talloc, fappend_buffer_bare },
	{ "strings/vasprintf_append", "piece", 1, WARM, vappend_talloc, vappend_bare },
	{ "strings/vasprintf_append_buffer", "piece", 1, WARM, vappend_buffer_talloc, vappend_buffer_bare },
	{ "strings/asprintf_addbuf", "piece", 1, WARM, addbuf_talloc, addbuf_bare },
	{ NULL, NULL, 0, 0, NULL, NULL },
};
