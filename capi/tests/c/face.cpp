/* The C++ face: ownership, destructors, exceptions, containers. Exits with 0 or says what failed. */
#include <cstring>
#include <list>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <tmempool.hpp>

static int failures = 0;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
			++failures;                                                                \
		}                                                                                  \
	} while (0)

namespace {

/* Counts the objects that are alive. */
struct Counted {
	static inline int alive = 0;
	int value;

	explicit Counted(int v) : value(v)
	{
		if (v < 0)
			throw std::invalid_argument("negative");
		++alive;
	}

	Counted(const Counted &other) : value(other.value)
	{
		++alive;
	}

	~Counted()
	{
		--alive;
	}
};

template <class T> using vector = std::vector<T, tmempool::allocator<T>>;
using string = std::basic_string<char, std::char_traits<char>, tmempool::allocator<char>>;

void objects_live_as_long_as_their_context()
{
	{
		tmempool::context root("root");
		CHECK(std::strcmp(root.name(), "root") == 0);
		CHECK(root.make<Counted>(7)->value == 7);
		root.child("below").make<Counted>(8);
		CHECK(Counted::alive == 2);
	}
	CHECK(Counted::alive == 0);
}

void an_exception_leaves_nothing_behind()
{
	tmempool::context root;
	std::size_t before = root.total_blocks();
	bool thrown = false;

	try {
		root.make<Counted>(-1);
	} catch (const std::invalid_argument &) {
		thrown = true;
	}
	CHECK(thrown);
	CHECK(root.total_blocks() == before);
	CHECK(Counted::alive == 0);
}

void refused_memory_is_bad_alloc()
{
	tmempool::context root;
	bool thrown = false;

	try {
		root.get_allocator<int>().allocate(std::size_t(1) << 40);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	CHECK(thrown);
}

void a_context_moves()
{
	tmempool::context a("a");
	a.make<Counted>(1);
	tmempool::context b = std::move(a);
	CHECK(!a && b);
	a = std::move(b);
	CHECK(a && !b);
	CHECK(Counted::alive == 1);
	tmempool::context c = tmempool::context::adopt(a.release());
	c.reset();
	CHECK(Counted::alive == 0);
}

void names_are_types()
{
	tmempool::context root;
	int *number = root.make<int>(5);
	CHECK(talloc_get_type(number, int) == number);
	CHECK(talloc_get_type(number, long) == nullptr);
	CHECK(std::strstr(talloc_get_name(root.make<Counted>(1)), "Counted") != nullptr);
}

void containers_take_their_memory_from_the_context()
{
	tmempool::context root;
	{
		vector<int> numbers(root.get_allocator<int>());
		for (int i = 0; i < 1000; ++i)
			numbers.push_back(i);
		CHECK(root.total_size() >= 1000 * sizeof(int));

		vector<int> copy = numbers;
		vector<int> moved = std::move(numbers);
		CHECK(copy == moved && copy.get_allocator() == moved.get_allocator());

		tmempool::context other;
		vector<int> far(other.get_allocator<int>());
		far = std::move(moved);
		CHECK(far.size() == 1000 && far.get_allocator().context() == root.get());
		std::swap(far, copy);
		CHECK(far[999] == 999);

		std::list<int, tmempool::allocator<int>> list(root.get_allocator<int>());
		list.assign({ 3, 1, 2 });
		list.sort();
		CHECK(list.front() == 1);

		using pair = std::pair<const int, int>;
		std::map<int, int, std::less<int>, tmempool::allocator<pair>> map(
			root.get_allocator<pair>());
		map[4] = 2;
		CHECK(map.at(4) == 2);
	}
	CHECK(root.total_size() == std::strlen(root.name()) + 1);
}

void a_container_in_the_tree_owns_its_memory()
{
	tmempool::context root;
	auto *numbers = root.make<vector<int>>();
	auto *text = root.make<string>("a text that is too long for the string object itself");

	numbers->assign(100, 7);
	CHECK(talloc_parent(numbers->data()) == numbers);
	CHECK(talloc_parent(text->data()) == text);
	root.make<std::vector<Counted>>(10, Counted(1));
	CHECK(Counted::alive == 10);
	root.free_children();
	CHECK(Counted::alive == 0);
}

void pools_serve_what_is_made_below_them()
{
	tmempool::context pool = tmempool::context::pool_of(4096);
	char *text = pool.string("hello");
	CHECK(std::strcmp(text, "hello") == 0);
	CHECK(text > pool.get() && text < static_cast<char *>(pool.get()) + 4096);
}

} /* namespace */

int main()
{
	objects_live_as_long_as_their_context();
	an_exception_leaves_nothing_behind();
	refused_memory_is_bad_alloc();
	a_context_moves();
	names_are_types();
	containers_take_their_memory_from_the_context();
	a_container_in_the_tree_owns_its_memory();
	pools_serve_what_is_made_below_them();
	CHECK(std::strcmp(tm_version(), "") != 0);
	return failures == 0 ? 0 : 1;
}
