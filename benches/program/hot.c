/*
 * The ten hottest calls, each repeated COUNT times with nothing around it, for
 * counting instructions: two runs with different counts, the difference divided
 * by the difference of counts, is what one call costs.
 */
#include "bench.h"

#include <stdio.h>

struct stage {
	void *parent;
	void *other;
	void *pool;
	void *child;
	char *string;
};

static int nothing(void *object)
{
	(void)object;
	return 0;
}

static void child(struct stage *s)
{
	talloc_free(talloc_named_const(s->parent, 32, "child"));
}

static void top_level(struct stage *s)
{
	(void)s;
	talloc_free(talloc_named_const(NULL, 32, "top"));
}

static void copy(struct stage *s)
{
	talloc_free(talloc_strdup(s->parent, "the quick brown fox"));
}

static void format(struct stage *s)
{
	talloc_free(talloc_asprintf(s->parent, "%s=%s", "key", "value"));
}

static void member(struct stage *s)
{
	talloc_free(talloc_named_const(s->pool, 32, "member"));
}

static void steal(struct stage *s)
{
	KEEP(talloc_steal(s->other, s->child));
	KEEP(talloc_steal(s->parent, s->child));
}

static void destructor(struct stage *s)
{
	void *object = talloc_named_const(s->parent, 32, "guarded");
	talloc_set_destructor(object, nothing);
	talloc_free(object);
}

static void type(struct stage *s)
{
	KEEP(talloc_check_name(s->child, "the child"));
}

static void parent(struct stage *s)
{
	KEEP(talloc_parent(s->child));
}

static void resize(struct stage *s)
{
	s->string = talloc_realloc(s->parent, s->string, char, 40);
	s->string = talloc_realloc(s->parent, s->string, char, 4000);
}

static const struct {
	const char *name;
	void (*call)(struct stage *);
} calls[] = {
	{ "child_and_free", child },
	{ "top_level_and_free", top_level },
	{ "strdup_and_free", copy },
	{ "asprintf_and_free", format },
	{ "pool_member_and_free", member },
	{ "steal_there_and_back", steal },
	{ "destructor_and_free", destructor },
	{ "get_type", type },
	{ "parent", parent },
	{ "realloc_down_and_up", resize },
};

void list_hot(void)
{
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		puts(calls[i].name);
	}
}

int run_hot(const char *name, uint64_t count)
{
	struct stage stage = { .parent = talloc_new(NULL), .other = talloc_new(NULL) };

	stage.pool = talloc_pool(stage.parent, 4096);
	stage.child = talloc_named_const(stage.parent, 32, "the child");
	stage.string = talloc_array(stage.parent, char, 40);
	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		if (strcmp(calls[i].name, name) == 0) {
			for (uint64_t n = 0; n < count; n++) {
				calls[i].call(&stage);
			}
			/* parent, pool, child, array: nothing was left, nothing lost */
			check(talloc_total_blocks(stage.parent) == 4, "hot: blocks left");
			talloc_free(stage.parent);
			talloc_free(stage.other);
			return 0;
		}
	}
	check(false, "no such call (see `talloc-bench hot`)");
	return 2;
}
