/*
 * A thread looks at a chunk that another gives a destructor, a name, children and a reference at that moment. Job queues
 * do so: the worker asks for the type of what it was given while the owner still sets it up. The name is there
 * all the time, and so is the rest.
 */
#include "check.h"

#include <pthread.h>
#include <sched.h>

struct job {
	int number;
};

enum { ROUNDS = 30000 };

/* What is looked at; NULL when there is nothing. Only the looker takes it away. */
static struct job *shown;
static bool is_over;

static struct job *get(void)
{
	return __atomic_load_n(&shown, __ATOMIC_ACQUIRE);
}

static void show_to_looker(struct job *job)
{
	__atomic_store_n(&shown, job, __ATOMIC_RELEASE);
}

static void *look(void *looks)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		struct job *job = get();
		int i;

		if (job == NULL) {
			sched_yield();
			continue;
		}
		for (i = 0; i < 20; i++) {
			check(talloc_get_type_abort(job, struct job) == job);
			check(talloc_get_type(job, struct job) == job);
			check(talloc_get_type(job, struct jobs) == NULL);
			check(strcmp(talloc_get_name(job), "struct job") == 0);
			check(talloc_check_name(job, "struct job") == job);
			check(talloc_get_size(job) == sizeof(struct job));
		}
		++*(long *)looks;
		show_to_looker(NULL);
	}
	return NULL;
}

static int agree(struct job *job)
{
	return job->number >= 0 ? 0 : -1;
}

/* One chunk after the other below `parent`, set up while it is looked at. */
static long set_up(const void *parent)
{
	pthread_t looker;
	long looks = 0;
	int i;

	__atomic_store_n(&is_over, false, __ATOMIC_RELAXED);
	check(pthread_create(&looker, NULL, look, &looks) == 0);
	for (i = 0; i < ROUNDS; i++) {
		struct job *job = talloc(parent, struct job);
		void *owner = talloc_new(parent);
		int wait;

		job->number = i;
		show_to_looker(job);
		for (wait = 0; wait < i % 50; wait++) {
			__asm__ volatile("" ::: "memory");
		}
		talloc_set_destructor(job, agree);
		talloc_set_name_const(job, "struct job");
		check(talloc_reference(owner, job) == job);
		node(job, "child");
		check(talloc_unlink(owner, job) == 0);
		while (get() != NULL) {
			sched_yield();
		}
		check(talloc_free(job) == 0);
		check(talloc_free(owner) == 0);
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELAXED);
	check(pthread_join(looker, NULL) == 0);
	return looks;
}

int main(void)
{
	void *plain = talloc_new(NULL);
	void *pool = talloc_pool(NULL, 10000);

	section("plain chunks");
	show(set_up(plain));
	section("members of a pool");
	show(set_up(pool));
	check(talloc_free(plain) == 0);
	check(talloc_free(pool) == 0);
	return 0;
}
