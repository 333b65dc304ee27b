/*
 * Programs that are compiled with more warnings than most. The C header comes before: its structures have functions of
 * their names, which g++ counts as shadows.
 */
#include <tmempool.h>

#pragma GCC diagnostic error "-Wshadow"
#pragma GCC diagnostic error "-Wconversion"
#pragma GCC diagnostic error "-Wsign-conversion"
#pragma GCC diagnostic error "-Wold-style-cast"

#include <tmempool.hpp>

#include <string>
#include <vector>

struct item {
	int number = 0;
	std::string text;
};

template class tmempool::MemoryPool<item>;
template class tmempool::MemoryPool<char, 64, false>;
template class tmempool::allocator<item>;

int main()
{
	tmempool::context root("root");
	std::vector<item, tmempool::allocator<item>> items(root.get_allocator<item>());
	items.emplace_back();
	tmempool::MemoryPool<item, 4096, true, tmempool::threads::many> shared(root);
	shared.deleteElement(shared.newElement());
	tmempool::cache<item> constructed;
	tmempool::mempool reserve(2, 100);
	tmempool::memory_resource resource(root);
	tmempool::monotonic_resource pieces(4096);
	resource.deallocate(resource.allocate(8), 8);
	return pieces.allocate(8) == root.get();
}
