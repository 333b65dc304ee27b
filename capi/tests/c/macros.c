/* Every macro of talloc.h, in C and in C++: what it allocates, how it is named. Exits with 0. */
#include <string.h>

#define TALLOC_DEPRECATED 1
#include <talloc.h>

static int failures = 0;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
			++failures;                                                                \
		}                                                                                  \
	} while (0)

struct point {
	int x, y;
};

static int is_named(const void *ptr, const char *name)
{
	return strcmp(talloc_get_name(ptr), name) == 0;
}

static int destroyed = 0;

static int destroy_point(struct point *point)
{
	destroyed += point->x;
	return 0;
}

static void allocate(TALLOC_CTX *ctx)
{
	struct point *a = talloc(ctx, struct point);
	struct point *b = talloc_zero(ctx, struct point);
	struct point *c = talloc_ptrtype(ctx, c);
	struct point *d = (struct point *)talloc_memdup(ctx, b, sizeof(*b));
	unsigned char *zeros = (unsigned char *)talloc_zero_size(ctx, 10);

	CHECK(is_named(a, "struct point"));
	CHECK(is_named(b, "struct point") && b->x == 0 && b->y == 0);
	CHECK(talloc_get_size(c) == sizeof(struct point));
	CHECK(d->x == 0 && talloc_get_size(d) == sizeof(struct point));
	CHECK(zeros[9] == 0);
	CHECK(talloc_get_size(talloc_size(ctx, 10)) == 10);
	CHECK(is_named(talloc_size(ctx, 10), __location__));
	CHECK(is_named(talloc_new(ctx), "talloc_new: " __location__));
}

static void arrays(TALLOC_CTX *ctx)
{
	int *a = talloc_array(ctx, int, 3);
	int *b = talloc_zero_array(ctx, int, 5);
	int *c = talloc_array_ptrtype(ctx, c, 7);
	int *d = (int *)talloc_array_size(ctx, sizeof(int), 2);

	CHECK(talloc_array_length(a) == 3 && is_named(a, "int"));
	CHECK(talloc_array_length(b) == 5 && b[4] == 0);
	CHECK(talloc_array_length(c) == 7);
	CHECK(talloc_array_length(d) == 2);
	b[4] = 1;
	b = talloc_realloc_zero(ctx, b, int, 5000);
	CHECK(talloc_array_length(b) == 5000 && b[4] == 1 && b[5] == 0 && b[4999] == 0);
	a = talloc_realloc(ctx, a, int, 10000);
	CHECK(talloc_array_length(a) == 10000);
	d = (int *)talloc_realloc_size(ctx, d, 100000);
	CHECK(talloc_get_size(d) == 100000);
}

static void owners(TALLOC_CTX *ctx)
{
	struct point *a = talloc_zero(ctx, struct point);
	struct point *kept = a;
	void *other = talloc_new(ctx);

	a->x = 1;
	talloc_set_destructor(a, destroy_point);
	CHECK(talloc_steal(other, a) == a && talloc_parent(a) == other);
	CHECK(talloc_move(ctx, &a) == kept && a == NULL && talloc_parent(kept) == ctx);
	CHECK(talloc_reference(other, kept) == kept && talloc_reference_count(kept) == 1);
	CHECK(talloc_unlink(other, kept) == 0);
	CHECK(talloc_free(kept) == 0 && destroyed == 1);
	TALLOC_FREE(other);
	CHECK(other == NULL);
	if (other == NULL)
		TALLOC_FREE(other);
	else
		CHECK(0);
}

static void types(TALLOC_CTX *ctx)
{
	void *ptr = talloc(ctx, struct point);
	const void *below = talloc_new(ptr);

	CHECK(talloc_get_type(ptr, struct point) == ptr);
	CHECK(talloc_get_type(ptr, int) == NULL);
	CHECK(talloc_get_type_abort(ptr, struct point) == ptr);
	CHECK(talloc_find_parent_bytype(below, struct point) == ptr);
	talloc_set_type(ptr, int);
	CHECK(talloc_get_type(ptr, int) == ptr);
}

static void pools(TALLOC_CTX *ctx)
{
	struct point *p = talloc_pooled_object(ctx, struct point, 2, 40);
	char *inside = talloc_strdup(p, "inside");

	CHECK(is_named(p, "struct point") && strcmp(inside, "inside") == 0);
}

static void strings(TALLOC_CTX *ctx)
{
	char *s = talloc_asprintf(ctx, "%d", 1);

	s = talloc_asprintf_append(s, "-%s", "two");
	s = talloc_asprintf_append_buffer(s, "-%c", '3');
	talloc_asprintf_addbuf(&s, "-%u", 4u);
	talloc_asprintf_addsep(&s, ", ", "%ld", 5L);
	CHECK(strcmp(s, "1-two-3-4, 5") == 0);
	CHECK(is_named(s, "1-two-3-4, 5"));
	CHECK(strcmp(talloc_set_name(s, "name %d", 6), "name 6") == 0 && is_named(s, "name 6"));
	CHECK(is_named(talloc_named(ctx, 3, "[%s]", "x"), "[x]"));
}

static void oldest_names(TALLOC_CTX *ctx)
{
	struct point *a = talloc_p(ctx, struct point);
	struct point *b = talloc_zero_p(ctx, struct point);
	int *c = talloc_array_p(ctx, int, 2);
	char *s = talloc_append_string(ctx, NULL, "new");

	c = talloc_realloc_p(ctx, c, int, 3);
	CHECK(b->y == 0 && talloc_array_length(c) == 3);
	CHECK(strcmp(talloc_append_string(ctx, s, "er"), "newer") == 0);
	CHECK(talloc_destroy(a) == 0);
}

int main(void)
{
	void *ctx = talloc_init("test %s", "context");

	CHECK(TALLOC_VERSION_MAJOR == talloc_version_major());
	CHECK(TALLOC_VERSION_MINOR == talloc_version_minor());
	CHECK(TALLOC_MAX_DEPTH == 10000);
	CHECK(is_named(ctx, "test context"));
	allocate(ctx);
	arrays(ctx);
	owners(ctx);
	types(ctx);
	pools(ctx);
	strings(ctx);
	oldest_names(ctx);
	CHECK(talloc_free(ctx) == 0);
	return failures == 0 ? 0 : 1;
}
