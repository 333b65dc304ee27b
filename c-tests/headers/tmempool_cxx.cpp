/* The C++ face: contexts that own, references that do not, containers inside. */
#include <tmempool.hpp>

#include <string>
#include <vector>

struct item {
	int value;
	explicit item(int v) : value(v) {}
};

int use_cxx();

int use_cxx()
{
	tmempool::context root("root");
	item *i = root.make<item>(7);
	tmempool::ref child = root.child("child");
	std::vector<int, tmempool::allocator<int>> numbers(root.get_allocator<int>());

	numbers.push_back(i->value);
	(void)child;
	return numbers.front() - 7;
}
