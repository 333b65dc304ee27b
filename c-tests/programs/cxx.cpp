/* The macro layer from C++: types come out right, nothing needs a cast. */
#include "check.h"

namespace {

struct shape {
	int x, y;
};

int gone(shape *s)
{
	printf("destructor of a shape at %d,%d\n", s->x, s->y);
	return 0;
}

template <typename T> struct holder {
	T *value;
};

} // namespace

int main()
{
	talloc_set_log_fn(log_line);

	section("typed allocation");
	void *root = talloc_new(NULL);
	shape *s = talloc(root, shape);
	s->x = 3;
	s->y = 4;
	talloc_set_destructor(s, gone);
	printf("%s\n", talloc_get_name(s));
	shape *zeroed = talloc_zero(root, shape);
	show(zeroed->x + zeroed->y);
	int *numbers = talloc_array(root, int, 10);
	show(talloc_array_length(numbers));
	numbers = talloc_realloc(root, numbers, int, 20);
	show(talloc_array_length(numbers));
	double *zeros = talloc_zero_array(root, double, 4);
	show(zeros[3] == 0.0);
	holder<shape> *h = talloc(root, holder<shape>);
	printf("%s\n", talloc_get_name(h));
	shape *same = talloc_ptrtype(root, same);
	show(talloc_get_size(same) == sizeof(shape));
	shape *many = talloc_array_ptrtype(root, many, 3);
	show(talloc_array_length(many));
	shape *object = talloc_pooled_object(root, shape, 2, 100);
	printf("%s\n", talloc_get_name(object));

	section("types");
	void *v = s;
	show(talloc_get_type(v, shape) == s);
	show(talloc_get_type_abort(v, shape) == s);
	show(talloc_get_type(v, int) == NULL);
	talloc_set_type(s, struct other);
	printf("%s\n", talloc_get_name(s));
	show(talloc_find_parent_bytype(s, struct other) != NULL);

	section("steal, move, reference");
	shape *stolen = talloc_steal(object, s);
	show(stolen == s);
	shape *moved = talloc_move(root, &stolen);
	show(stolen == NULL);
	show(moved == s);
	shape *referred = talloc_reference(object, s);
	show(referred == s);
	show(talloc_unlink(object, s));

	section("strings");
	char *text = talloc_asprintf(root, "%s %d", "text", 1);
	text = talloc_strdup_append(text, " more");
	puts(text);
	puts(static_cast<char *>(talloc_memdup(root, text, 10)));

	section("end");
	TALLOC_FREE(text);
	show(text == NULL);
	show(talloc_total_blocks(root));
	show(talloc_free(root));
	return 0;
}
