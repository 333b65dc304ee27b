/*
 * Signal handlers that use a MemoryPool of many threads, at every instruction of a call that uses it: what the handler
 * does is either whole, and no element is lost or has two owners, or it ends the process with a reason. See steps.h.
 *
 * And what is left at every instruction to the child of a fork that another thread calls: it ends the pool, and no element is
 * freed twice.
 */
#include "pools.h"
#include "steps.h"

#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <tmempool.hpp>

namespace {

/* Of so large elements a thread has at most four at hand, and the cache below it few more. */
struct element {
	char bytes[8000];
};

using pool = tmempool::MemoryPool<element, 4096, false, tmempool::threads::many>;

enum verb { TAKE, GIVE, BOTH, VERBS, END };

const char *const names[] = {"allocate", "deallocate", "both", "", "the end of the pool"};

/* So many were taken and given back before; or the thread has not used the pool before, but another one that is no more. */
const int OTHERS = -1;
const int taken_before[] = {OTHERS, 0, 1, 3, 4, 5, 6, 7, 8, 12, 30};

std::optional<pool> all;

/* Elements of the program's, and of its handler's; the first is to be given back. */
struct side {
	std::vector<element *> elements;
	element *old;
	verb does;
};

side mine, theirs;

void do_as(side &who)
{
	if (who.does != TAKE) {
		all->deallocate(std::exchange(who.old, nullptr));
	}
	if (who.does != GIVE) {
		who.elements.push_back(all->allocate());
	}
}

void work()
{
	do_as(mine);
}

void intrude()
{
	if (theirs.does == END) {
		all.reset();
		check(strstr(ours_log, "tm_cache_free") == nullptr);
		_exit(0);
	}
	do_as(theirs);
}

/* All are distinct, those that are taken now as well; and when all have been given back, none is missing. */
void verify()
{
	std::set<element *> in_use;
	for (side *who : {&mine, &theirs}) {
		for (element *one : who->elements) {
			check(in_use.insert(one).second);
		}
		if (who->old != nullptr) {
			check(in_use.insert(who->old).second);
		}
	}
	for (int i = 0; i < 40; ++i) {
		check(in_use.insert(all->allocate()).second);
	}
	for (element *one : in_use) {
		all->deallocate(one);
	}
	all.reset();
	expect_silence();
}

void interrupt(const char *title)
{
	const struct steps steps = {title, work, intrude, verify};
	/* The next pool that wants the place of another one gets it. */
	tmempool::detail::own_magazines.refused = 255;
	const struct steps_outcome outcome = interrupt_each(&steps, 1);
	printf("%s: %u places, %u went well, %u refused\n", title, outcome.places, outcome.went_well, outcome.refused);
	check(outcome.places == outcome.went_well + outcome.refused);
	/* Short ways are never refused. */
	check(outcome.places > 120 || outcome.refused == 0 || theirs.does == END);
	verify();
}

void pair(verb my, verb their, int before)
{
	char title[200];
	all.emplace();
	std::vector<element *> some;
	const auto begin = [my, their] {
		mine = {{}, all->allocate(), my};
		theirs = {{}, all->allocate(), their};
	};
	if (before == OTHERS) {
		std::thread(begin).join();
	} else {
		begin();
	}
	mine.elements.reserve(10);
	theirs.elements.reserve(10);
	for (int i = 0; i < before; ++i) {
		some.push_back(all->allocate());
	}
	for (element *one : some) {
		all->deallocate(one);
	}
	snprintf(title, sizeof(title), "%s after %d, interrupted by %s", names[my], before, names[their]);
	interrupt(title);
}

/* The first two calls of all that a pool sees. */
void first_calls()
{
	all.emplace();
	mine = {{}, nullptr, TAKE};
	theirs = {{}, nullptr, TAKE};
	mine.elements.reserve(10);
	theirs.elements.reserve(10);
	interrupt("the first call");
}

} // namespace

int main()
{
	catch_faults();
	first_calls();
	for (int my = TAKE; my < VERBS; ++my) {
		for (int their = TAKE; their < VERBS; ++their) {
			for (int before : taken_before) {
				pair(static_cast<verb>(my), static_cast<verb>(their), before);
			}
		}
		for (int before : taken_before) {
			pair(static_cast<verb>(my), END, before);
		}
	}
	expect_no_fault();
	return 0;
}
