/*
 * Pools. How much fits into one depends on the size of a header, so these
 * programs show what must hold whatever that size is.
 */
#include "check.h"

static char *root;

/* Does p lie inside the pool's own size bytes? */
static bool inside(const void *pool, const void *p, size_t size)
{
	return (const char *)p >= (const char *)pool &&
	       (const char *)p + talloc_get_size(p) <=
		       (const char *)pool + size;
}

static void where(const char *title, const void *pool, const void *p,
		  size_t size)
{
	printf("%s: %s\n", title, inside(pool, p, size) ? "inside" : "outside");
}

static int say(char *p)
{
	printf("destructor of %s, parent %s\n", who(p), who(talloc_parent(p)));
	return 0;
}

static int veto(char *p)
{
	say(p);
	return -1;
}

struct object { char *name; int *numbers; };

int main(void)
{
	char *pool, *inner, *p, *q, *first;
	struct object *object;
	int i, served;

	talloc_set_log_fn(log_line);
	root = node(NULL, "root");

	section("an empty pool");
	pool = (char *)talloc_pool(root, 4096);
	printf("%s\n", who(pool));
	show(talloc_get_size(pool));
	show(talloc_total_size(pool));
	show(talloc_total_blocks(pool));
	show((uintptr_t)pool % 16);
	show(talloc_free(pool));

	section("a pool of no bytes");
	pool = (char *)talloc_pool(root, 0);
	p = node(pool, "p");
	where("p", pool, p, 0);
	show(talloc_free(pool));

	section("members, their children, and what is too large");
	pool = (char *)talloc_pool(root, 4096);
	p = node(pool, "p");
	q = node(p, "q");
	where("p", pool, p, 4096);
	where("q", pool, q, 4096);
	where("8192 bytes", pool, talloc_size(pool, 8192), 4096);
	where("below it, 1 byte", pool, node(p, "r"), 4096);
	talloc_set_name_const(pool, "pool");
	show(talloc_get_size(pool));
	report(pool);
	show((uintptr_t)p % 16);
	show(talloc_free(pool));

	section("a child of a chunk that found no room");
	pool = (char *)talloc_pool(root, 4096);
	p = (char *)talloc_size(pool, 8192);
	where("large", pool, p, 4096);
	differs("all that is below a pool is served from it while it has room",
		"outside", "inside",
		inside(pool, node(p, "q"), 4096) ? "inside" : "outside");
	show(talloc_free(pool));

	section("full, then heap; the members remain usable");
	pool = (char *)talloc_pool(root, 4096);
	for (i = 0, served = 0; i < 200; i++) {
		p = (char *)talloc_zero_size(pool, 64);
		memset(p, i, 64);
		served += inside(pool, p, 4096);
	}
	printf("some inside: %d, all inside: %d\n", served > 10, served == 200);
	show(talloc_total_size(pool));
	show(talloc_total_blocks(pool));
	show(talloc_free(pool));

	section("the last one's room comes back");
	pool = (char *)talloc_pool(root, 4096);
	p = (char *)talloc_size(pool, 100);
	q = (char *)talloc_size(pool, 100);
	talloc_free(q);
	show(talloc_size(pool, 100) == q);
	show(talloc_free(pool));

	section("all room comes back when only the pool is left");
	pool = (char *)talloc_pool(root, 4096);
	first = (char *)talloc_size(pool, 2000);
	p = (char *)talloc_size(pool, 100);
	talloc_free(first);
	talloc_free(p);
	p = (char *)talloc_size(pool, 3000);
	where("3000 bytes", pool, p, 4096);
	show(p == first);
	show(talloc_free(pool));

	section("filled again and again");
	pool = (char *)talloc_pool(root, 4096);
	for (i = 0; i < 1000; i++) {
		p = (char *)talloc_size(pool, 3500);
		check(inside(pool, p, 4096));
		memset(p, i, 3500);
		talloc_free(p);
	}
	for (i = 0; i < 1000; i++) {
		p = node(pool, "p");
		q = node(p, "q");
		check(inside(pool, talloc_size(q, 3000), 4096));
		talloc_free_children(pool);
	}
	show(talloc_total_blocks(pool));
	show(talloc_free(pool));

	section("zeroed, when the room was used before");
	pool = (char *)talloc_pool(root, 4096);
	p = (char *)talloc_size(pool, 2000);
	memset(p, 0xff, 2000);
	talloc_free(p);
	p = (char *)talloc_zero_size(pool, 2000);
	for (i = 0; i < 2000; i++) {
		check(p[i] == 0);
	}
	show(talloc_free(pool));

	section("pools nest");
	pool = (char *)talloc_pool(root, 8192);
	talloc_set_name_const(pool, "pool");
	inner = (char *)talloc_pool(pool, 2048);
	talloc_set_name_const(inner, "inner");
	differs("a pool below a pool has memory of its own",
		"inside", "outside",
		inside(pool, inner, 8192) ? "inside" : "outside");
	p = node(inner, "p");
	where("p, by the inner pool", inner, p, 2048);
	q = (char *)talloc_named_const(inner, 3000, "too large for the inner");
	where("q, by the inner pool", inner, q, 2048);
	report(pool);
	talloc_free(inner);
	where("after it is freed", pool, node(pool, "x"), 8192);
	report(pool);
	show(talloc_free(pool));

	section("a pool within a pool that has no room for it");
	pool = (char *)talloc_pool(root, 1024);
	inner = (char *)talloc_pool(pool, 4096);
	where("the inner pool", pool, inner, 1024);
	p = (char *)talloc_size(inner, 2000);
	where("its member", inner, p, 4096);
	show(talloc_total_blocks(pool));
	show(talloc_free(pool));

	section("a member stolen out outlives the pool");
	pool = (char *)talloc_pool(root, 4096);
	p = (char *)talloc_named_const(pool, 100, "p");
	q = node(p, "q");
	memset(p, 'x', 100);
	node(pool, "left behind");
	talloc_steal(root, p);
	show(talloc_total_blocks(pool));
	show(talloc_free(pool));
	for (i = 0; i < 100; i++) {
		check(p[i] == 'x');
	}
	report(root);
	printf("parent of q: %s\n", who(talloc_parent(q)));
	show(talloc_free(p));

	section("a survivor of a pool goes on allocating");
	pool = (char *)talloc_pool(root, 4096);
	p = node(pool, "p");
	talloc_steal(root, p);
	talloc_free(pool);
	for (i = 0; i < 100; i++) {
		q = (char *)talloc_zero_size(p, 100);
		check(q != NULL);
		memset(q, i, 100);
	}
	p = (char *)_talloc_realloc(root, p, 5000, "p grown");
	memset(p, 1, 5000);
	show(talloc_total_blocks(root));
	show(talloc_total_size(root));
	show(talloc_free(p));

	section("several survivors, freed in another order");
	{
		char *survivors[5];

		pool = (char *)talloc_pool(root, 4096);
		for (i = 0; i < 5; i++) {
			survivors[i] = talloc_asprintf(pool, "survivor %d", i);
		}
		for (i = 0; i < 5; i++) {
			talloc_steal(i % 2 ? root : NULL, survivors[i]);
		}
		talloc_free(pool);
		for (i = 2; i < 7; i++) {
			printf("%s\n", survivors[i % 5]);
			show(talloc_free(survivors[i % 5]));
		}
		show(talloc_total_blocks(root));
	}

	section("a stranger stolen into a pool");
	pool = (char *)talloc_pool(root, 4096);
	p = node(root, "p");
	talloc_steal(pool, p);
	where("p", pool, p, 4096);
	where("below p", pool, node(p, "q"), 4096);
	show(talloc_total_blocks(pool));
	show(talloc_free(pool));
	show(talloc_total_blocks(root));

	section("a pool stolen below another pool, and moved by its parent's end");
	pool = (char *)talloc_pool(NULL, 4096);
	inner = (char *)talloc_pool(root, 2048);
	p = node(inner, "p");
	talloc_steal(pool, inner);
	talloc_steal(root, p);
	show(talloc_free(pool));
	printf("%s below %s\n", who(p), who(talloc_parent(p)));
	show(talloc_free(p));

	section("destructors of members and of the pool");
	pool = (char *)talloc_pool(root, 4096);
	talloc_set_name_const(pool, "pool");
	talloc_set_destructor(pool, say);
	for (i = 0; i < 3; i++) {
		p = talloc_asprintf(pool, "member %d", i);
		talloc_set_destructor(p, say);
	}
	show(talloc_free(pool));

	section("a member that refuses to die");
	pool = (char *)talloc_pool(root, 4096);
	talloc_set_name_const(pool, "pool");
	p = node(pool, "p");
	talloc_set_destructor(p, veto);
	show(talloc_free(pool));
	printf("parent of p: %s\n", who(talloc_parent(p)));
	talloc_set_destructor(p, say);
	show(talloc_free(p));

	section("a pool that refuses to die");
	pool = (char *)talloc_pool(root, 4096);
	talloc_set_name_const(pool, "pool");
	p = node(pool, "p");
	talloc_set_destructor(pool, veto);
	show(talloc_free(pool));
	where("goes on serving", pool, node(pool, "q"), 4096);
	report(pool);
	talloc_set_destructor(pool, NULL);
	show(talloc_free(pool));

	section("references to a member");
	pool = (char *)talloc_pool(root, 4096);
	p = node(pool, "p");
	q = node(root, "q");
	talloc_reference(q, p);
	show(talloc_free(pool));
	printf("parent of p: %s\n", who(talloc_parent(p)));
	show(talloc_free(q));
	show(talloc_total_blocks(root));

	section("realloc of the sole member slides to the start");
	pool = (char *)talloc_pool(root, 4096);
	first = (char *)talloc_named_const(pool, 2000, "first");
	p = (char *)talloc_named_const(pool, 1000, "p");
	memset(p, 'y', 1000);
	talloc_free(first);
	p = (char *)_talloc_realloc(pool, p, 3000, "p slid");
	where("p", pool, p, 4096);
	show(p == first);
	for (i = 0; i < 1000; i++) {
		check(p[i] == 'y');
	}
	show(talloc_free(pool));

	section("realloc in a pool that nests");
	pool = (char *)talloc_pool(root, 8192);
	inner = (char *)talloc_pool(pool, 1024);
	p = (char *)talloc_size(inner, 500);
	memset(p, 'z', 500);
	p = (char *)talloc_realloc_size(inner, p, 2000);
	for (i = 0; i < 500; i++) {
		check(p[i] == 'z');
	}
	p = (char *)talloc_realloc_size(inner, p, 20000);
	for (i = 0; i < 500; i++) {
		check(p[i] == 'z');
	}
	show(talloc_total_size(pool));
	show(talloc_free(pool));

	section("shrinking a member that is not the last");
	pool = (char *)talloc_pool(root, 8192);
	p = (char *)talloc_named_const(pool, 3000, "p");
	node(pool, "behind");
	q = (char *)_talloc_realloc(pool, p, 2500, "a little");
	show(p == q);
	printf("%s\n", who(q));
	q = (char *)_talloc_realloc(pool, q, 100, "much");
	show(p == q);
	printf("%s\n", who(q));
	show(talloc_get_size(q));
	show(talloc_free(pool));

	section("a pooled object has room for all it announced");
	object = talloc_pooled_object(root, struct object, 3,
				      100000 + 20000 * sizeof(int));
	printf("%s, size %zu\n", who(object), talloc_get_size(object));
	object->name = talloc_array(object, char, 100000);
	where("name", object, object->name, 181000);
	object->numbers = talloc_array(object, int, 10000);
	where("numbers", object, object->numbers, 181000);
	where("numbers 2", object, talloc_array(object, int, 10000), 181000);
	report(object);
	show(talloc_free(object));

	section("a pooled object of many small ones");
	object = talloc_pooled_object(root, struct object, 1000, 1000);
	for (i = 0, served = 0; i < 1000; i++) {
		served += inside(object, talloc_array(object, char, 1),
				 1000 * 128);
	}
	show(served);
	show(talloc_total_blocks(object));
	show(talloc_free(object));

	section("a pooled object without children");
	object = talloc_pooled_object(root, struct object, 0, 0);
	printf("%s, size %zu\n", who(object), talloc_get_size(object));
	show(talloc_free(object));

	section("a pooled object is a pool: realloc refused, children stolen");
	object = talloc_pooled_object(root, struct object, 1, 100);
	show(talloc_realloc_size(root, object, 500) == NULL);
	p = talloc_strdup(object, "a string");
	talloc_steal(root, p);
	talloc_free(object);
	printf("%s\n", p);
	show(talloc_free(p));

	section("a pooled object in a pool");
	pool = (char *)talloc_pool(root, 8192);
	object = talloc_pooled_object(pool, struct object, 2, 100);
	where("the object", pool, object, 8192);
	p = talloc_strdup(object, "a string");
	where("string, by the object", object, p, 300);
	report(pool);
	show(talloc_free(pool));

	section("a name in a pool");
	pool = (char *)talloc_pool(root, 4096);
	talloc_set_name(pool, "pool %d", 1);
	p = talloc_named(pool, 10, "member %d", 1);
	report(pool);
	talloc_free_children(pool);
	report(pool);
	show(talloc_free(pool));

	show(talloc_total_blocks(root));
	talloc_free(root);
	return 0;
}
