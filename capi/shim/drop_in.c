/*
 * Tells the drop-in from the library of our own name: all libraries are made from one object, and the linker
 * defines this symbol, which nobody exports, in the drop-in alone (Makefile).
 */
#include <stddef.h>

#include "shim.h"

extern const char tmempool_drop_in[] __attribute__((weak, visibility("hidden")));

int tmempool_shim_is_drop_in(void)
{
	return tmempool_drop_in != NULL;
}
