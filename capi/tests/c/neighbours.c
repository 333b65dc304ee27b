/*
 * A program that shares its memory with libraries which were linked against libtalloc.so.2: libtevent
 * and libldb. It hands them its own contexts and takes theirs, which aborts unless there is one
 * allocator for all. Exits with 0, and prints the tree.
 */
#include <stdint.h>
#include <string.h>
#include <sys/time.h>

#include <talloc.h>

#include <ldb.h>
#include <tevent.h>

static int failures = 0;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
			++failures;                                                                \
		}                                                                                  \
	} while (0)

struct counter {
	int ticks;
	int freed;
};

static int count_free(struct tevent_timer **timer)
{
	struct counter *counter = talloc_get_type_abort(talloc_parent(timer), struct counter);

	++counter->freed;
	return 0;
}

static void tick(struct tevent_context *ev, struct tevent_timer *timer, struct timeval now,
		 void *private_data)
{
	struct counter *counter = talloc_get_type_abort(private_data, struct counter);

	(void)ev, (void)timer, (void)now;
	++counter->ticks;
}

int main(void)
{
	TALLOC_CTX *ctx = talloc_named_const(NULL, 0, "main");
	struct counter *counter = talloc_zero(ctx, struct counter);
	struct tevent_timer **kept = talloc_zero(counter, struct tevent_timer *);
	struct tevent_context *ev;
	struct ldb_context *ldb;
	struct ldb_message *message;
	char *name;

	CHECK(talloc_version_minor() == TALLOC_VERSION_MINOR);

	/* tevent allocates below our context, and its memory answers to our functions. */
	ev = tevent_context_init(ctx);
	CHECK(ev != NULL && talloc_parent(ev) == ctx);
	CHECK(strcmp(talloc_get_name(ev), "struct tevent_context") == 0);
	talloc_set_destructor(kept, count_free);
	*kept = tevent_add_timer(ev, kept, tevent_timeval_current(), tick, counter);
	CHECK(*kept != NULL);
	CHECK(tevent_loop_once(ev) == 0 && counter->ticks == 1);
	TALLOC_FREE(kept);
	CHECK(counter->freed == 1);

	/* ldb does, too; what it made is moved and freed by us. */
	ldb = ldb_init(ctx, ev);
	CHECK(ldb != NULL && talloc_parent(ldb) == ctx);
	message = ldb_msg_new(ldb);
	message->dn = ldb_dn_new(message, ldb, "cn=one,dc=allocator");
	CHECK(ldb_msg_add_fmt(message, "count", "%d", counter->ticks) == LDB_SUCCESS);
	name = talloc_strdup(ctx, ldb_dn_get_linearized(message->dn));
	CHECK(strcmp(name, "cn=one,dc=allocator") == 0);
	CHECK(talloc_steal(ctx, message) == message);
	talloc_report(ctx, stdout);
	CHECK(talloc_free(message) == 0);
	CHECK(talloc_free(ctx) == 0);
	return failures == 0 ? 0 : 1;
}
