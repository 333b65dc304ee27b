/* Every macro of talloc.h, used once, in the dialects of C and C++. */
#include <talloc.h>

struct item {
	int a;
	char b[10];
};

int use_macros(void *context);
int use_formats(char *s, const char *format, ...) PRINTF_ATTRIBUTE(2, 3);

static int destroy(struct item *i)
{
	return i->a == 0 ? 0 : -1;
}

int use_formats(char *s, const char *format, ...)
{
	char *t;
	va_list ap;

	va_start(ap, format);
	t = talloc_vasprintf(s, format, ap);
	va_end(ap);
	va_start(ap, format);
	t = talloc_vasprintf_append(t, format, ap);
	va_end(ap);
	va_start(ap, format);
	t = talloc_vasprintf_append_buffer(t, format, ap);
	va_end(ap);
	t = talloc_asprintf(s, "%d %s", 1, "x");
	t = talloc_asprintf_append(t, "%d", 1);
	t = talloc_asprintf_append_buffer(t, "%d", 1);
	talloc_asprintf_addbuf(&t, "%d", 1);
#if TALLOC_VERSION_MINOR >= 5
	talloc_asprintf_addsep(&t, ", ", "%d", 1);
#endif
	talloc_set_name(t, "%s", "name");
	return talloc_free(t);
}

int use_macros(void *context)
{
	struct item *i = talloc(context, struct item);
	struct item *j = talloc_zero(context, struct item);
	struct item *k = talloc_ptrtype(context, k);
	struct item *l = talloc_array(context, struct item, 3);
	struct item *m = talloc_zero_array(context, struct item, 3);
	struct item *n = talloc_array_ptrtype(context, n, 3);
	struct item *o = talloc_pooled_object(context, struct item, 2, 100);
	struct item *p = talloc_get_type(i, struct item);
	struct item *q = talloc_get_type_abort(i, struct item);
	struct item *r = talloc_find_parent_bytype(i, struct item);
	struct item *s, *t, *u;
	void *v = talloc_new(context);
	void *w = talloc_size(context, 10);
	void *x = talloc_zero_size(context, 10);
	void *y = talloc_array_size(context, 4, 10);
	char *z = (char *)talloc_memdup(context, "x", 2);
	int freed = 0;

	l = talloc_realloc(context, l, struct item, 4);
	w = talloc_realloc_size(context, w, 20);
	talloc_set_destructor(i, destroy);
	talloc_set_type(j, struct item);
	s = talloc_steal(v, i);
	t = talloc_move(context, &s);
	u = talloc_reference(v, t);
	freed += talloc_unlink(v, u);
	freed += (int)talloc_array_length(l);
	freed += (int)talloc_total_size(context);
	TALLOC_FREE(z);
	TALLOC_FREE(y);
	TALLOC_FREE(x);
	freed += talloc_free(w);
	freed += talloc_free(v);
	if (TALLOC_MAX_DEPTH < 10 || TALLOC_VERSION_MAJOR != 2) {
		freed = -1;
	}
	return freed + (p == q) + (r == NULL) + (k == m) + (n == o) +
	       talloc_version_major() + (TALLOC_VERSION_MINOR > 0) +
	       (__location__[0] == 'x');
}
