/*
 * A module that needs libtalloc.so.2 and is loaded and unloaded by a program that
 * does not, as PAM modules are.
 */
#include <talloc.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int *deaths;

static int count(char *p)
{
	(void)p;
	++*deaths;
	return 0;
}

/* Uses talloc like a module's session does. Returns 0 when all went well. */
int plugin_run(int number);

int plugin_run(int number)
{
	char *root = talloc_asprintf(NULL, "session %d", number);
	char *pool = (char *)talloc_pool(root, 4000);
	int i;

	for (i = 0; i < 100; i++) {
		char *p = talloc_asprintf(i % 2 ? root : pool, "%d", i);

		if (p == NULL || talloc_reference(root, p) != p) {
			return 1;
		}
	}
	if (talloc_total_blocks(root) != 202) {
		return 2;
	}
	return talloc_free(root) == 0 ? 0 : 3;
}

/* Leaves something that goes when the module does. */
int plugin_run_autofree(int *counter);

int plugin_run_autofree(int *counter)
{
	char *p = talloc_named_const(talloc_autofree_context(), 10, "of the module");

	deaths = counter;
	talloc_set_destructor(p, count);
	return 0;
}
