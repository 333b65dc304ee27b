/*
 * Frees after a thread's own thread-local objects are gone: C++ destroys them in
 * an order that no library chooses.
 */
#include "ours.h"

#include <thread>
#include <vector>

namespace {

int destroyed;

/* Holds a tree, and frees it when the thread ends. */
struct holder {
	char *root;

	holder() : root(node(NULL, "root"))
	{
		for (int i = 0; i < 100; i++) {
			node(root, "child");
		}
	}

	~holder()
	{
		check(talloc_total_blocks(root) == 101);
		check(talloc_free(root) == 0);
		/* And needs memory itself. */
		char *p = talloc_asprintf(NULL, "%d", 1);
		check(talloc_free(p) == 0);
		__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	}
};

thread_local holder first;
thread_local holder second;

/* One that is destroyed after the thread's last use of the library. */
thread_local std::vector<holder> many;

/* A static one: freed at exit, after main. */
holder at_exit;

void use(int number)
{
	if (number % 2 == 0) {
		check(talloc_total_blocks(first.root) == 101);
		check(talloc_total_blocks(second.root) == 101);
	} else {
		check(talloc_total_blocks(second.root) == 101);
		check(talloc_total_blocks(first.root) == 101);
	}
	if (number % 10 == 0) {
		many.resize(3);
	}
}

} // namespace

int main()
{
	catch_faults();
	for (int round = 0; round < 10; round++) {
		std::vector<std::thread> threads;

		for (int i = 0; i < 20; i++) {
			threads.emplace_back(use, i);
		}
		for (std::thread &thread : threads) {
			thread.join();
		}
	}
	/* Two in each of 200 threads, three more in each tenth. */
	show(destroyed);
	check(destroyed == 200 * 2 + 20 * 3);
	expect_no_fault();
	return 0;
}
