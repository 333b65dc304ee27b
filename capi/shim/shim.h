/*
 * What the C shim asks of the Rust side (src/shim.rs).
 *
 * A room function is given the bytes of a text, and in *text the text itself if it is ready. It
 * puts that in its place and sets *text to NULL; or, where *text was NULL, sets it to the place,
 * with a NUL behind it already. It returns what the caller is to get: a string or a name; or NULL,
 * with nothing changed, where there is no memory.
 */
#ifndef TMEMPOOL_SHIM_H
#define TMEMPOOL_SHIM_H

#include <stddef.h>

/* The interface is visible outside the library; everything else in the shim is not. */
#pragma GCC visibility push(default)
#include "talloc.h"
#pragma GCC visibility pop

typedef char *room_function(void *owner, size_t length, char **text);

room_function tmempool_shim_string;        /* owner: the parent of a new string */
room_function tmempool_shim_append;        /* owner: a string, appended to at its NUL */
room_function tmempool_shim_append_buffer; /* owner: a string, appended to at its last byte */
room_function tmempool_shim_name;          /* owner: the chunk to be named */

/* Whether this is the drop-in. */
int tmempool_shim_is_drop_in(void);

#endif
