/* The pools' C++ face: MemoryPool against a model, alone and with threads; std::pmr; growable pools; owners of what the
 * kernel-style pools are. Exits with 0 or says what failed. */
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory_resource>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <tmempool.hpp>

static std::atomic<int> failures{0};

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
			++failures;                                                                \
		}                                                                                  \
	} while (0)

namespace {

using tmempool::MemoryPool;
using tmempool::threads;

struct Element {
	static inline std::atomic<long> alive{0};
	std::uint64_t id;
	std::string text;
	std::array<std::uint64_t, 5> rest;

	explicit Element(std::uint64_t i) : id(i), text(std::to_string(i)), rest{i, i, i, i, i}
	{
		if (i == 13)
			throw std::invalid_argument("unlucky");
		++alive;
	}

	~Element()
	{
		--alive;
	}

	bool is_whole(std::uint64_t i) const
	{
		for (std::uint64_t r : rest)
			if (r != i)
				return false;
		return id == i && text == std::to_string(i);
	}
};

/* Random news and deletes: no two elements share a byte, none changes, memory is used again. */
template <class Pool> void agrees_with_a_model(Pool &pool, unsigned seed, std::size_t steps)
{
	std::mt19937 random(seed);
	std::vector<std::pair<Element *, std::uint64_t>> model;
	for (std::size_t step = 0; step < steps; ++step) {
		if (model.size() < 300 && random() % 5 < 3) {
			std::uint64_t id = 100 + step;
			model.emplace_back(pool.newElement(id), id);
		} else if (!model.empty()) {
			std::size_t at = random() % model.size();
			CHECK(model[at].first->is_whole(model[at].second));
			pool.deleteElement(model[at].first);
			model[at] = model.back();
			model.pop_back();
		}
	}
	for (auto [element, id] : model) {
		CHECK(element->is_whole(id));
		pool.deleteElement(element);
	}
}

template <threads Threads> void a_pool_of_elements()
{
	{
		MemoryPool<Element, 4096, true, Threads> pool;
		agrees_with_a_model(pool, 1, 100000);
		CHECK(Element::alive == 0);

		/* The last that was given back is the next to be taken, and was zeroed. */
		Element *first = pool.newElement(1u);
		pool.deleteElement(first);
		Element *again = pool.allocate();
		CHECK(again == first);
		const char *bytes = reinterpret_cast<const char *>(again);
		bool zeros = true;
		for (std::size_t i = sizeof(void *); i < sizeof(Element); ++i)
			zeros = zeros && bytes[i] == 0;
		CHECK(zeros);
		pool.construct(again, 2u);
		pool.destroy(again);
		pool.deallocate(again, 1);

		/* A constructor that throws leaves nothing behind. */
		for (int i = 0; i < 1000; ++i) {
			try {
				pool.newElement(13u);
				CHECK(!"thrown");
			} catch (const std::invalid_argument &) {
			}
		}
		CHECK(Element::alive == 0);
		Element *after = pool.allocate();
		CHECK(after == first);
		pool.deallocate(after);

		/* More than one at a time is refused; null is nothing. */
		try {
			pool.allocate(2);
			CHECK(!"thrown");
		} catch (const std::bad_array_new_length &) {
		}
		pool.deleteElement(nullptr);
		pool.deallocate(nullptr);
	}
	{
		/* A pool below a context: its memory is the context's. */
		tmempool::context root("root");
		MemoryPool<Element, 1024, false, Threads> pool(root);
		agrees_with_a_model(pool, 2, 10000);
		CHECK(root.total_blocks() > 1);
	}
}

struct alignas(64) Line {
	char bytes[65];
};

void elements_of_any_size_and_alignment()
{
	MemoryPool<char, 64> bytes;
	MemoryPool<Line, 1024> lines;
	MemoryPool<Line, 1024, true, threads::many> shared;
	std::set<void *> seen;
	for (int i = 0; i < 1000; ++i) {
		char *byte = bytes.newElement('x');
		CHECK(seen.insert(byte).second && *byte == 'x');
		Line *line = i % 2 ? lines.allocate() : shared.allocate();
		std::memset(line->bytes, i, sizeof(line->bytes));
		CHECK(reinterpret_cast<std::uintptr_t>(line) % 64 == 0);
		CHECK(seen.insert(line).second);
	}
}

void a_reserve_is_taken_at_once()
{
	tmempool::context root;
	MemoryPool<Line, 4096> pool(root);
	pool.reserve(1000);
	std::size_t taken = root.total_size();
	CHECK(taken >= 1000 * sizeof(Line));
	std::set<void *> seen;
	for (int i = 0; i < 1000; ++i)
		CHECK(seen.insert(pool.allocate()).second);
	CHECK(root.total_size() == taken);
}

/* Each thread makes, and hands to the others what they delete. */
void many_threads_share_a_pool()
{
	constexpr int count = 8;
	MemoryPool<Element, 4096, true, threads::many> pool;
	std::array<std::atomic<Element *>, 64> mailbox{};
	std::vector<std::thread> running;
	for (int t = 0; t < count; ++t) {
		running.emplace_back([&, t] {
			std::mt19937 random(static_cast<unsigned>(t));
			for (std::uint64_t i = 0; i < 20000; ++i) {
				std::uint64_t id = i * count + static_cast<std::uint64_t>(t) + 100;
				Element *old = mailbox[random() % mailbox.size()].exchange(
					pool.newElement(id), std::memory_order_acq_rel);
				if (old != nullptr) {
					CHECK(old->is_whole(old->id));
					pool.deleteElement(old);
				}
			}
			agrees_with_a_model(pool, static_cast<unsigned>(t), 5000);
		});
	}
	for (std::thread &thread : running)
		thread.join();
	for (auto &slot : mailbox)
		pool.deleteElement(slot.load());
	CHECK(Element::alive == 0);
}

void containers_of_std_pmr()
{
	tmempool::context root;
	const std::size_t before = root.total_blocks();
	{
		tmempool::memory_resource resource(root), same(root.get());
		tmempool::context elsewhere;
		tmempool::memory_resource other(elsewhere);
		CHECK(resource == same && !(resource == other));
		CHECK(!(resource == *std::pmr::new_delete_resource()));
		std::pmr::map<int, std::pmr::string> map(&resource);
		for (int i = 0; i < 1000; ++i)
			map.emplace(i, std::string(static_cast<std::size_t>(i), 'x'));
		for (int i = 0; i < 1000; i += 2)
			map.erase(i);
		CHECK(std::string_view(map.at(501)) == std::string(501, 'x'));
		CHECK(root.total_blocks() > 500);
		for (std::size_t align = 1; align <= 1 << 16; align *= 2) {
			void *at = resource.allocate(align + 3, align);
			CHECK(reinterpret_cast<std::uintptr_t>(at) % align == 0);
			std::memset(at, 1, align + 3);
			resource.deallocate(at, align + 3, align);
		}
		try {
			(void)resource.allocate(std::size_t{1} << 40);
			CHECK(!"thrown");
		} catch (const std::bad_alloc &) {
		}
		volatile std::size_t huge = static_cast<std::size_t>(-8);
		try {
			(void)resource.allocate(huge, 64);
			CHECK(!"thrown");
		} catch (const std::bad_alloc &) {
		}
		/* Above it, std's own pools. */
		std::pmr::unsynchronized_pool_resource pools(&resource);
		std::pmr::vector<std::pmr::string> strings(&pools);
		for (int i = 0; i < 1000; ++i)
			strings.emplace_back(100, 'y');
	}
	CHECK(root.total_blocks() == before);
}

/* What is allocated stays as it was until release(), whatever is given back meanwhile. */
void a_monotonic_resource_takes_all_back_at_once()
{
	tmempool::context root;
	const std::size_t before = root.total_blocks();
	{
		tmempool::monotonic_resource resource(1000, root.get()), other;
		CHECK(resource == resource && !(resource == other));
		CHECK(talloc_parent(resource.pool()) == root.get());
		for (int round = 0; round < 3; ++round) {
			std::vector<std::pair<unsigned char *, std::size_t>> all;
			std::mt19937 random(static_cast<unsigned>(round));
			for (unsigned i = 0; i < 5000; ++i) {
				std::size_t size = random() % (i % 100 == 0 ? 100000 : 300);
				std::size_t align = std::size_t{1} << random() % 13;
				void *at = resource.allocate(size, align);
				CHECK(reinterpret_cast<std::uintptr_t>(at) % align == 0);
				std::memset(at, static_cast<unsigned char>(i), size);
				if (i % 3 == 0)
					resource.deallocate(at, size, align);
				else
					all.emplace_back(static_cast<unsigned char *>(at), size);
			}
			std::size_t wrong = 0, i = 0;
			for (auto [at, size] : all) {
				i += i % 3 == 0;
				for (std::size_t j = 0; j < size; ++j)
					wrong += at[j] != static_cast<unsigned char>(i);
				++i;
			}
			CHECK(wrong == 0);
			resource.release();
			struct tm_stats stats = {};
			CHECK(tm_stats(resource.pool(), &stats) == 0 && stats.current_allocated == 0);
		}
		/* Nothing has a place of its own, at first and after a release. */
		for (int round = 0; round < 2; ++round) {
			void *nothing = other.allocate(0);
			CHECK(nothing != nullptr && nothing != other.allocate(0, 1));
			CHECK(nothing != other.allocate(1, 1));
			other.deallocate(nothing, 0);
			other.release();
		}
		for (std::size_t huge : {std::size_t{1} << 40, static_cast<std::size_t>(-8)}) {
			volatile std::size_t size = huge;
			try {
				(void)resource.allocate(size, 64);
				CHECK(!"thrown");
			} catch (const std::bad_alloc &) {
			}
		}
		std::pmr::map<int, std::pmr::string> map(&resource);
		for (int i = 0; i < 1000; ++i)
			map.emplace(i, std::string(static_cast<std::size_t>(i), 'x'));
		CHECK(std::string_view(map.at(501)) == std::string(501, 'x'));
	}
	CHECK(root.total_blocks() == before);

	auto pool = tmempool::context::growable_pool_of(1000);
	std::memset(pool.bytes(100), 1, 100);
	CHECK(pool.stats().current_allocated == 100 && pool.total_blocks() == 1);
	pool.clear();
	CHECK(pool.stats().current_allocated == 0);
	try {
		(void)root.bytes(1);
		CHECK(!"thrown");
	} catch (const std::bad_alloc &) {
	}
}

/* Gives as many as there are to be. */
void *give(void *left)
{
	std::size_t &n = *static_cast<std::size_t *>(left);
	return n == 0 ? nullptr : (--n, std::malloc(16));
}

void take_back(void *element, void *)
{
	std::free(element);
}

/* More than there are nanoseconds for is for ever, less than nothing not at all. */
void waits_as_long_as_it_is_told()
{
	std::size_t left = 1;
	tmempool::mempool reserve(1, give, take_back, &left);
	void *element = reserve.allocate();
	CHECK(reserve.try_allocate_for(std::chrono::hours::min()) == nullptr);
	CHECK(reserve.try_allocate_for(std::chrono::seconds(-1)) == nullptr);
	CHECK(reserve.try_allocate_for(std::chrono::microseconds(1)) == nullptr);
	for (int unit = 0; unit < 3; ++unit) {
		std::thread gives_back([&] {
			std::this_thread::sleep_for(std::chrono::milliseconds(20));
			reserve.free(element);
		});
		void *waited = unit == 0   ? reserve.try_allocate_for(std::chrono::hours::max())
			       : unit == 1 ? reserve.try_allocate_for(std::chrono::nanoseconds::max())
					   : reserve.try_allocate_for(std::chrono::duration<float>(1e30F));
		gives_back.join();
		CHECK(waited != nullptr);
		element = waited;
	}
	reserve.free(element);
}

void a_growable_pool_is_cleared_and_used_again()
{
	auto pool = tmempool::context::growable_pool_of(1024, 64 << 10);
	tmempool::ref inner = pool.growable_pool(512);
	for (int round = 0; round < 3; ++round) {
		for (unsigned i = 0; i < 1000; ++i)
			inner.make<Element>(100 + i);
		CHECK(Element::alive == 1000);
		inner.clear();
		CHECK(Element::alive == 0 && inner.total_blocks() == 1);
	}
	CHECK(inner.stats().allocation_count >= 3000);
	pool.clear();
	CHECK(pool.total_blocks() == 1);

	tmempool::context counted;
	counted.count();
	const struct tm_stats before = counted.stats();
	counted.string("hello");
	const struct tm_stats after = counted.stats();
	CHECK(after.allocation_count == before.allocation_count + 1);
	CHECK(after.current_allocated == before.current_allocated + 6);
}

/* Objects of a cache: constructed once. */
struct Session {
	static inline std::atomic<int> made{0};
	int uses = 0;
	Session() noexcept
	{
		++made;
	}
};

void owners_of_the_kernel_s_pools()
{
	tmempool::cache<Session> sessions;
	for (int i = 0; i < 1000; ++i)
		sessions.take()->uses++;
	CHECK(Session::made < 1000);
	CHECK(sessions.stats().active == 0);
	tmempool::cache<Session> moved(std::move(sessions));
	CHECK(sessions.get() == nullptr && moved.take()->uses > 0);
	sessions = std::move(moved);

	tmempool::mempool reserve(4, 100), of_objects(2, sessions);
	std::vector<void *> elements;
	for (int i = 0; i < 10; ++i)
		elements.push_back(reserve.allocate());
	for (void *element : elements)
		reserve.free(element);
	reserve.resize(8);
	void *element = of_objects.try_allocate_for(std::chrono::milliseconds(1));
	CHECK(element != nullptr);
	of_objects.free(element);
	waits_as_long_as_it_is_told();

	alignas(64) static char range[4096];
	tmempool::genpool managed(6);
	CHECK(managed.add(range, sizeof(range)) && !managed.add(range, sizeof(range)));
	void *place = managed.allocate(100);
	CHECK(managed.contains(place, 100) && managed.available() == managed.size() - 128);
	CHECK(managed.free(place, 100) && !managed.free(place, 100));
	place = managed.allocate(64, TM_BUDDY);
	CHECK(place != nullptr && managed.free(place, 64));
	CHECK(managed.allocate_at(range + 64, 64) == range + 64);
	CHECK(managed.free(range + 64, 64));
}

void a_shared_context_is_used_by_all()
{
	for (bool pool : {false, true}) {
		auto shared = pool ? tmempool::context::shared_pool_of(10000) : tmempool::context::shared();
		const std::size_t before = shared.total_blocks();
		std::vector<std::thread> running;
		for (unsigned t = 0; t < 4; ++t) {
			running.emplace_back([&shared, t] {
				for (unsigned i = 0; i < 2000; ++i) {
					auto *element = shared.make<Element>(100 + t);
					CHECK(element->is_whole(100 + t));
					if (i % 4 != 0)
						talloc_free(element);
				}
			});
		}
		for (std::thread &thread : running)
			thread.join();
		CHECK(shared.total_blocks() == before + 4 * 500);
		CHECK(Element::alive == 4 * 500);
		shared.clear();
		CHECK(Element::alive == 0 && shared.total_blocks() == before);
	}
}

static_assert(!std::is_copy_constructible_v<tmempool::cache<Session>>);
static_assert(!std::is_copy_constructible_v<MemoryPool<int>>);
static_assert(std::is_nothrow_move_constructible_v<tmempool::mempool>);

} /* namespace */

int main()
{
	a_pool_of_elements<threads::one>();
	a_pool_of_elements<threads::many>();
	elements_of_any_size_and_alignment();
	a_reserve_is_taken_at_once();
	many_threads_share_a_pool();
	containers_of_std_pmr();
	a_monotonic_resource_takes_all_back_at_once();
	a_growable_pool_is_cleared_and_used_again();
	owners_of_the_kernel_s_pools();
	a_shared_context_is_used_by_all();
	return failures == 0 ? 0 : 1;
}
