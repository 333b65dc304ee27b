/*
 * Contents that tell whose they are.
 */
#ifndef CONTENTS_H
#define CONTENTS_H

#include "ours.h"

MAYBE void fill(void *p, size_t size, unsigned of)
{
	size_t i;

	for (i = 0; i < size; i++) {
		((unsigned char *)p)[i] = (unsigned char)(of * 31 + i * 7);
	}
}

MAYBE bool holds(const void *p, size_t size, unsigned of)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (((const unsigned char *)p)[i] != (unsigned char)(of * 31 + i * 7)) {
			return false;
		}
	}
	return true;
}

#endif
