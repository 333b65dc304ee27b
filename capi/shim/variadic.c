/*
 * The functions of talloc.h with variable arguments, which stable Rust cannot define. They format;
 * chunks are made and changed by the Rust side alone.
 *
 * Text is formatted into a buffer on the stack. What fits there, nearly everything, is formatted
 * once; a longer text is formatted a second time, into its place. No chunk is touched before the
 * length of the text is known, so that a failure leaves all as it was.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "shim.h"

enum { STACK_TEXT = 1024 }; /* bytes, NUL included */

/*
 * Formats into the room that `room` makes for `owner`, and returns what it returned. A format that
 * cannot be carried out (errno is then from vsnprintf) returns `unchanged`, and so does an empty
 * text where that is not NULL.
 */
PRINTF_ATTRIBUTE(4, 0)
static inline char *format(room_function *room, void *owner, char *unchanged, const char *fmt,
			   va_list ap)
{
	char buffer[STACK_TEXT];
	char *result = unchanged;
	char *text;
	va_list again;
	int length;

	va_copy(again, ap);
	length = vsnprintf(buffer, sizeof(buffer), fmt, ap);
	if (length > 0 || (length == 0 && unchanged == NULL)) {
		text = (size_t)length < sizeof(buffer) ? buffer : NULL;
		result = room(owner, (size_t)length, &text);
		/* Where there is none, errno says why. */
		if (result != NULL && text != NULL) {
			vsnprintf(text, (size_t)length + 1, fmt, again);
		}
	}
	va_end(again);
	return result;
}

/* Strings */

char *talloc_vasprintf(const void *t, const char *fmt, va_list ap)
{
	return format(tmempool_shim_string, (void *)t, NULL, fmt, ap);
}

char *talloc_asprintf(const void *t, const char *fmt, ...)
{
	va_list ap;
	char *string;

	va_start(ap, fmt);
	string = format(tmempool_shim_string, (void *)t, NULL, fmt, ap);
	va_end(ap);
	return string;
}

char *talloc_vasprintf_append(char *s, const char *fmt, va_list ap)
{
	return s == NULL ? format(tmempool_shim_string, NULL, NULL, fmt, ap)
			 : format(tmempool_shim_append, s, s, fmt, ap);
}

char *talloc_asprintf_append(char *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s = talloc_vasprintf_append(s, fmt, ap);
	va_end(ap);
	return s;
}

char *talloc_vasprintf_append_buffer(char *s, const char *fmt, va_list ap)
{
	return s == NULL ? format(tmempool_shim_string, NULL, NULL, fmt, ap)
			 : format(tmempool_shim_append_buffer, s, s, fmt, ap);
}

char *talloc_asprintf_append_buffer(char *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s = talloc_vasprintf_append_buffer(s, fmt, ap);
	va_end(ap);
	return s;
}

/* Strings that are built up in a variable: one check at the end is enough. */

/* Puts `grown` in the place of `*ps`; where there was no memory for it, frees the string. */
static void replace(char **ps, char *grown)
{
	int error = errno;

	if (grown == NULL) {
		_talloc_free(*ps, "talloc_asprintf_addbuf");
		errno = error;
	}
	*ps = grown;
}

void talloc_asprintf_addbuf(char **ps, const char *fmt, ...)
{
	va_list ap;

	if (*ps == NULL) {
		return;
	}
	va_start(ap, fmt);
	replace(ps, format(tmempool_shim_append_buffer, *ps, *ps, fmt, ap));
	va_end(ap);
}

void talloc_asprintf_addsep(char **ps, const char *sep, const char *fmt, ...)
{
	va_list ap;

	if (*ps == NULL) {
		return;
	}
	if (talloc_get_size(*ps) > 0 && **ps != '\0') {
		replace(ps, talloc_strdup_append_buffer(*ps, sep));
		if (*ps == NULL) {
			return;
		}
	}
	va_start(ap, fmt);
	replace(ps, format(tmempool_shim_append_buffer, *ps, *ps, fmt, ap));
	va_end(ap);
}

/* Names */

const char *talloc_set_name(const void *ptr, const char *fmt, ...)
{
	va_list ap;
	const char *name;

	va_start(ap, fmt);
	name = format(tmempool_shim_name, (void *)ptr, NULL, fmt, ap);
	va_end(ap);
	return name;
}

PRINTF_ATTRIBUTE(3, 0)
static void *vnamed(const void *context, size_t size, const char *fmt, va_list ap)
{
	void *chunk = talloc_named_const(context, size, NULL);
	int error;

	if (chunk != NULL && format(tmempool_shim_name, chunk, NULL, fmt, ap) == NULL) {
		error = errno;
		_talloc_free(chunk, "talloc_named");
		errno = error;
		chunk = NULL;
	}
	return chunk;
}

void *talloc_named(const void *context, size_t size, const char *fmt, ...)
{
	va_list ap;
	void *chunk;

	va_start(ap, fmt);
	chunk = vnamed(context, size, fmt, ap);
	va_end(ap);
	return chunk;
}

void *talloc_init(const char *fmt, ...)
{
	va_list ap;
	void *chunk;

	va_start(ap, fmt);
	chunk = vnamed(NULL, 0, fmt, ap);
	va_end(ap);
	return chunk;
}
