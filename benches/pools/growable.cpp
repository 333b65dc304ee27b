/*
 * Pools that are emptied at once (a request's memory), and the C++ MemoryPool.
 *
 * `request`: a few hundred pieces of mixed sizes, all dropped together; the same memory serves the next request.
 * `contexts`: fifty contexts of ten pieces each, half of which are freed one by one before the rest is dropped.
 * `parts`: as `request`, but half of the pieces are given back on the way: what only bumps a pointer cannot use that
 * room again.
 */
#include "bench.hpp"

#if __has_include(<apr_pools.h>)
#include <apr_general.h>
#include <apr_pools.h>
#define HAVE_APR 1
#endif
#if __has_include(<boost/pool/object_pool.hpp>)
#include <boost/pool/object_pool.hpp>
#include <boost/pool/pool_alloc.hpp>
#define HAVE_BOOST 1
#endif
#include <atomic>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <thread>
#include <tmempool.hpp>

namespace {

constexpr size_t block = 16 << 10;

/* A way has get(), which gives memory that is dropped by drop(), and what it can of put(), which gives it back. */

struct Growable {
	static constexpr const char *name = "tm_pool_growable";
	void *pool = tm_pool_growable(nullptr, block, 1 << 20);
	~Growable() { talloc_free(pool); }
	void *get(size_t size) { return talloc_named_const(pool, size, nullptr); }
	void put(void *at, size_t) { _talloc_free(at, nullptr); }
	void drop(const std::vector<void *> &, const std::vector<size_t> &) { tm_reset(pool); }

	using Context = void *;
	Context make() { return talloc_new(pool); }
	void *get(Context &context, size_t size) { return talloc_named_const(context, size, nullptr); }
	void free(Context &context) { _talloc_free(context, nullptr); }
	void clear(std::vector<Context> &) { tm_reset(pool); }
};

/* Bytes without a header; a context is a pool of its own. */
struct Bare {
	static constexpr const char *name = "tm_palloc";
	void *pool = tm_pool_growable(nullptr, block, 1 << 20);
	~Bare() { talloc_free(pool); }
	void *get(size_t size) { return tm_palloc(pool, size); }
	void put(void *, size_t) {}
	void drop(const std::vector<void *> &, const std::vector<size_t> &) { tm_reset(pool); }

	using Context = void *;
	Context make() { return tm_pool_growable(pool, 1024, 0); }
	void *get(Context &context, size_t size) { return tm_palloc(context, size); }
	void free(Context &context) { _talloc_free(context, nullptr); }
	void clear(std::vector<Context> &) { tm_reset(pool); }
};

/* The same, compiled into the program. */
struct OurMonotonic {
	static constexpr const char *name = "monotonic_resource";
	tmempool::monotonic_resource pool{block};
	void *get(size_t size) { return pool.allocate(size, 16); }
	void put(void *at, size_t size) { pool.deallocate(at, size, 16); }
	void drop(const std::vector<void *> &, const std::vector<size_t> &) { pool.release(); }
};

struct Malloc {
	static constexpr const char *name = "malloc";
	void *get(size_t size) { return std::malloc(size); }
	void put(void *at, size_t) { std::free(at); }
	void drop(const std::vector<void *> &left, const std::vector<size_t> &)
	{
		for (void *at : left)
			std::free(at);
	}

	struct Context {
		void *pieces[10];
		size_t count = 0;
	};
	Context make() { return {}; }
	void *get(Context &context, size_t size)
	{
		return context.pieces[context.count++] = std::malloc(size);
	}
	void free(Context &context)
	{
		for (size_t i = 0; i < context.count; i++)
			std::free(context.pieces[i]);
	}
	void clear(std::vector<Context> &left)
	{
		for (Context &context : left)
			free(context);
	}
};

struct Monotonic {
	static constexpr const char *name = "pmr::monotonic";
	std::pmr::unsynchronized_pool_resource upstream;
	std::vector<char> first = std::vector<char>(block);
	std::pmr::monotonic_buffer_resource pool{first.data(), first.size(), &upstream};
	void *get(size_t size) { return pool.allocate(size, 16); }
	void put(void *at, size_t size) { pool.deallocate(at, size, 16); }
	void drop(const std::vector<void *> &, const std::vector<size_t> &) { pool.release(); }

	using Context = std::unique_ptr<std::pmr::monotonic_buffer_resource>;
	Context make() { return std::make_unique<std::pmr::monotonic_buffer_resource>(&upstream); }
	void *get(Context &context, size_t size) { return context->allocate(size, 16); }
	void free(Context &context) { context.reset(); }
	void clear(std::vector<Context> &left) { left.clear(); }
};

struct Unsynchronized {
	static constexpr const char *name = "pmr::unsynchronized";
	std::pmr::unsynchronized_pool_resource pool;
	void *get(size_t size) { return pool.allocate(size, 16); }
	void put(void *at, size_t size) { pool.deallocate(at, size, 16); }
	void drop(const std::vector<void *> &left, const std::vector<size_t> &sizes)
	{
		for (size_t i = 0; i < left.size(); i++)
			pool.deallocate(left[i], sizes[i], 16);
	}
};

#ifdef HAVE_APR
struct Apr {
	static constexpr const char *name = "apr_pool";
	apr_pool_t *pool;
	Apr()
	{
		apr_initialize();
		apr_pool_create(&pool, nullptr);
	}
	~Apr() { apr_pool_destroy(pool); }
	void *get(size_t size) { return apr_palloc(pool, size); }
	void put(void *, size_t) {}
	void drop(const std::vector<void *> &, const std::vector<size_t> &) { apr_pool_clear(pool); }

	using Context = apr_pool_t *;
	Context make()
	{
		Context context;
		apr_pool_create(&context, pool);
		return context;
	}
	void *get(Context &context, size_t size) { return apr_palloc(context, size); }
	void free(Context &context) { apr_pool_destroy(context); }
	void clear(std::vector<Context> &) { apr_pool_clear(pool); }
};
#endif

template <class Way> void add_request(const char *workload, size_t pieces, bool gives_back)
{
	bench::add(workload, Way::name, [=] {
		static Way way;
		constexpr size_t requests = 50;
		static std::vector<void *> left;
		static std::vector<size_t> sizes;
		bench::Random random{42};
		return bench::timed(double(requests * pieces), [&] {
			for (size_t r = 0; r < requests; r++) {
				left.clear();
				sizes.clear();
				for (size_t i = 0; i < pieces; i++) {
					size_t size = 8 + random.below(120);
					void *at = way.get(size);
					*static_cast<size_t *>(at) = i;
					if (gives_back && i % 2 == 1 && left.size() > 4) {
						/* One of the last few is done with. */
						size_t which = left.size() - 1 - random.below(4);
						way.put(left[which], sizes[which]);
						left[which] = left.back();
						sizes[which] = sizes.back();
						left.pop_back();
						sizes.pop_back();
					}
					left.push_back(at);
					sizes.push_back(size);
				}
				bench::check(*static_cast<size_t *>(left.back()) == pieces - 1,
					     "contents are there");
				way.drop(left, sizes);
			}
		});
	});
}

/* Contexts of ten pieces; each second is freed by itself, the one before the last. */
template <class Way> void add_contexts()
{
	bench::add("contexts/50 of 10", Way::name, [] {
		static Way way;
		constexpr size_t requests = 50, contexts = 50, pieces = 10;
		static std::vector<typename Way::Context> left;
		bench::Random random{42};
		return bench::timed(double(requests * contexts * pieces), [&] {
			for (size_t r = 0; r < requests; r++) {
				for (size_t c = 0; c < contexts; c++) {
					left.push_back(way.make());
					for (size_t i = 0; i < pieces; i++)
						*static_cast<size_t *>(way.get(
							left.back(), 8 + random.below(120))) = i;
					if (c % 2 == 1) {
						way.free(left[left.size() - 2]);
						left[left.size() - 2] = std::move(left.back());
						left.pop_back();
					}
				}
				way.clear(left);
				left.clear();
			}
		});
	});
}

struct Node {
	uint64_t id;
	Node *links[5];
	explicit Node(uint64_t i) : id(i), links() {}
};

template <bool Zero, tmempool::threads Threads> struct Pool {
	static constexpr const char *name = Threads == tmempool::threads::many ? "MemoryPool, many threads"
					    : Zero ? "MemoryPool, zeroing"
						   : "MemoryPool";
	tmempool::MemoryPool<Node, 4096, Zero, Threads> pool;
	Node *get(uint64_t i) { return pool.newElement(i); }
	void put(Node *node) { pool.deleteElement(node); }
};
using PoolOfOne = Pool<false, tmempool::threads::one>;
using PoolOfOneZeroing = Pool<true, tmempool::threads::one>;
using PoolOfMany = Pool<false, tmempool::threads::many>;

struct NewDelete {
	static constexpr const char *name = "malloc";
	Node *get(uint64_t i) { return new (std::malloc(sizeof(Node))) Node(i); }
	void put(Node *node) { std::free(node); }
};

template <class Resource> struct PmrNodes {
	static constexpr const char *name =
		std::is_same_v<Resource, std::pmr::unsynchronized_pool_resource> ? "pmr::unsynchronized"
										 : "pmr::synchronized";
	Resource pool;
	Node *get(uint64_t i) { return new (pool.allocate(sizeof(Node), alignof(Node))) Node(i); }
	void put(Node *node) { pool.deallocate(node, sizeof(Node), alignof(Node)); }
};

#ifdef HAVE_BOOST
struct BoostNodes {
	static constexpr const char *name = "boost::pool";
	boost::pool<> pool{sizeof(Node)};
	Node *get(uint64_t i) { return new (pool.malloc()) Node(i); }
	void put(Node *node) { pool.free(node); }
};

struct BoostFast {
	static constexpr const char *name = "boost::fast_pool_allocator";
	boost::fast_pool_allocator<Node> pool;
	Node *get(uint64_t i) { return new (pool.allocate()) Node(i); }
	void put(Node *node) { pool.deallocate(node); }
};
#endif

/* Random ones among a thousand elements are replaced. */
template <class Way> void replace(Way &way, uint64_t seed)
{
	constexpr size_t live = 1000, steps = 100000;
	bench::Random random{seed};
	std::vector<Node *> nodes(live);
	for (size_t i = 0; i < live; i++)
		nodes[i] = way.get(i);
	for (size_t i = 0; i < steps; i++) {
		size_t at = random.below(live);
		bench::check(nodes[at]->id == at, "an element is as it was left");
		way.put(nodes[at]);
		nodes[at] = way.get(at);
	}
	for (Node *node : nodes)
		way.put(node);
}

template <class Way> void add_elements()
{
	bench::add("elements/replace", Way::name, [] {
		static Way way;
		return bench::timed(101000, [&] { replace(way, 7); });
	});
	bench::add("elements/build", Way::name, [] {
		static Way way;
		constexpr size_t n = 20000;
		static std::vector<Node *> nodes(n);
		return bench::timed(n, [&] {
			for (size_t i = 0; i < n; i++)
				nodes[i] = way.get(i);
			for (size_t i = 0; i < n; i++) {
				bench::check(nodes[i]->id == i, "an element is as it was left");
				way.put(nodes[i]);
			}
		});
	});
}

/* Four threads, each of which replaces elements of its own: `work` gets the seed. */
template <class Work> bench::Paid in_four_threads(Work work)
{
	return bench::timed(4 * 101000, [&] {
		std::vector<std::thread> all;
		for (uint64_t seed = 1; seed <= 4; seed++)
			all.emplace_back([&work, seed] { work(seed); });
		for (std::thread &thread : all)
			thread.join();
	});
}

/* From the one pool. */
template <class Way> void add_threads()
{
	bench::add("elements/4 threads", Way::name, [] {
		static Way way;
		return in_four_threads([](uint64_t seed) { replace(way, seed); });
	});
}

/* From a pool for each. */
void add_threads_with_pools()
{
	bench::add("elements/4 threads", "MemoryPool, one each", [] {
		return in_four_threads([](uint64_t seed) {
			PoolOfOne way;
			replace(way, seed);
		});
	});
}

/* What a pool is shared for: one thread makes elements, another deletes them, in groups of 64. */
template <class Way> void add_handed_over()
{
	bench::add("elements/handed over", Way::name, [] {
		static Way way;
		constexpr size_t group = 64, groups = 3000, queue = 16;
		struct Group {
			std::atomic<bool> is_full{false};
			Node *nodes[group];
		};
		static Group places[queue];
		auto wait_until = [](Group &place, bool is_full) {
			while (place.is_full.load(std::memory_order_acquire) != is_full)
				std::this_thread::yield();
		};
		return bench::timed(groups * group, [&] {
			std::thread consumer([&] {
				for (size_t n = 0; n < groups; n++) {
					Group &place = places[n % queue];
					wait_until(place, true);
					for (size_t i = 0; i < group; i++) {
						bench::check(place.nodes[i]->id == n * group + i, "an element is as it was left");
						way.put(place.nodes[i]);
					}
					place.is_full.store(false, std::memory_order_release);
				}
			});
			for (size_t n = 0; n < groups; n++) {
				Group &place = places[n % queue];
				wait_until(place, false);
				for (size_t i = 0; i < group; i++)
					place.nodes[i] = way.get(n * group + i);
				place.is_full.store(true, std::memory_order_release);
			}
			consumer.join();
		});
	});
}

template <class Way> void add_shared()
{
	add_threads<Way>();
	add_handed_over<Way>();
}

template <class Way> void add_requests()
{
	add_request<Way>("request/100 pieces", 100, false);
	add_request<Way>("request/2000 pieces", 2000, false);
	add_request<Way>("parts/2000 pieces", 2000, true);
}


} // namespace

void bench::add_growable_cases()
{
	add_contexts<Growable>();
	add_contexts<Bare>();
	add_contexts<Malloc>();
	add_contexts<Monotonic>();
#ifdef HAVE_APR
	add_contexts<Apr>();
#endif
	add_requests<Growable>();
	add_requests<Bare>();
	add_requests<OurMonotonic>();
	add_requests<Malloc>();
	add_requests<Monotonic>();
	add_requests<Unsynchronized>();
#ifdef HAVE_APR
	add_requests<Apr>();
#endif
	add_elements<PoolOfOne>();
	add_elements<PoolOfOneZeroing>();
	add_elements<NewDelete>();
	add_elements<PmrNodes<std::pmr::unsynchronized_pool_resource>>();
	add_shared<PoolOfMany>();
	add_threads_with_pools();
	add_shared<NewDelete>();
	add_shared<PmrNodes<std::pmr::synchronized_pool_resource>>();
#ifdef HAVE_BOOST
	add_elements<BoostNodes>();
	add_shared<BoostFast>();
#endif
}
