/* Included twice, after and before the headers it needs. */
#include <talloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <talloc.h>

TALLOC_CTX *a_context(void);

TALLOC_CTX *a_context(void)
{
	return talloc_new(NULL);
}
