/*
 * What the tests of destructors share: a tree of which something is to die, a context outside of it,
 * and destructors that only say so, or refuse.
 */
#ifndef DESTRUCTORS_H
#define DESTRUCTORS_H

#include "check.h"

static char *root, *outside;

static int say(char *p)
{
	printf("destructor of %s, parent %s\n", who(p), who(talloc_parent(p)));
	return 0;
}

MAYBE int veto(char *p)
{
	say(p);
	return -1;
}

static void begin(const char *title)
{
	section(title);
	root = node(NULL, "root");
	outside = node(NULL, "outside");
}

static void end(void)
{
	puts("outside:");
	report(outside);
	talloc_free_children(outside);
	talloc_free(outside);
}

#endif
