/*
 * What a class in Python cannot say for itself before Python 3.12: that its objects are buffers.
 *
 * Two functions for the type that tmempool/_exporter.py makes. They ask an object for its view(), a
 * memoryview, and hand on what that exports; so whoever has the bytes has the memoryview, and whether anybody
 * has is known as it is for every other view.
 *
 * No header of Python's is needed, and any Python 3 will do: of Py_buffer only the beginning is touched,
 * which is the same in all of them. The interpreter that loads this has the functions.
 */
struct object;

struct buffer {
	void *bytes;
	/* Whom to tell when it is released; NULL where nothing was exported. */
	struct object *owner;
};

extern struct object PyMemoryView_Type;
extern struct object *PyExc_TypeError;
extern struct object *PyObject_CallMethod(struct object *self, const char *name, const char *format, ...);
extern struct object *PyObject_Type(struct object *self);
extern int PyObject_GetBuffer(struct object *self, struct buffer *buffer, int flags);
extern void PyErr_SetString(struct object *kind, const char *message);
extern void Py_DecRef(struct object *self);

static int is_memoryview(struct object *self)
{
	struct object *type = PyObject_Type(self);

	Py_DecRef(type);
	return type == &PyMemoryView_Type;
}

/* bf_getbuffer: 0, or -1 with an exception set. Called with the GIL. */
int exporter_get_buffer(struct object *self, struct buffer *buffer, int flags)
{
	struct object *view = PyObject_CallMethod(self, "view", (const char *)0);
	int result = -1;

	buffer->owner = (struct object *)0;
	if (view == (struct object *)0) {
		return -1;
	}
	/* A subclass may give anything, its own object too. */
	if (is_memoryview(view)) {
		result = PyObject_GetBuffer(view, buffer, flags);
	} else {
		PyErr_SetString(PyExc_TypeError, "view() does not give a memoryview");
	}
	Py_DecRef(view);
	return result;
}

/*
 * bf_releasebuffer: never called, as the memoryview is the owner. A type without one says that its bytes stay as
 * long as its objects, and numpy then keeps the object alone.
 */
void exporter_release_buffer(struct object *self, struct buffer *buffer)
{
	(void)self;
	(void)buffer;
}
