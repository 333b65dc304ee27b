/*
 * Objects of one size: sessions, which are worth constructing (a lock, a condition, a list, a table), and plain
 * nodes.
 *
 * With tmempool's cache a session is constructed once and comes back constructed. All others have raw memory:
 * a session is constructed after each allocation and destroyed before each free.
 */
#include "bench.hpp"

#if __has_include(<apr_pools.h>)
#include <apr_general.h>
#include <apr_pools.h>
#define HAVE_APR 1
#endif
#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/object_pool.hpp>
#include <boost/pool/pool.hpp>
#include <boost/pool/singleton_pool.hpp>
#define HAVE_BOOST 1
#endif
#include <atomic>
#include <memory_resource>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <tmempool.h>

namespace {

struct Session {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	Session *next, *prev;
	uint64_t id;
	uint64_t table[24];

	Session() : next(this), prev(this), id(0), table()
	{
		pthread_mutex_init(&lock, nullptr);
		pthread_cond_init(&changed, nullptr);
	}
	~Session()
	{
		pthread_cond_destroy(&changed);
		pthread_mutex_destroy(&lock);
	}
};

struct Node {
	uint64_t id;
	Node *links[7];
};

/* What its user does with an object, and leaves it as it was. */
template <class T> void use(T *object, uint64_t id) { object->id = id; }

template <class T> void check_used(T *object, uint64_t id)
{
	bench::check(object->id == id, "an object is as it was left");
	object->id = 0;
}

/*
 * A way has get() and put(), which give and take constructed objects of type T. Where it has them, get_group() and
 * put_group() do so with many.
 */

template <class T> struct Cache {
	static constexpr const char *name = "tm_cache";
	tm_cache *cache;

	Cache()
	{
		void (*construct)(void *) = [](void *at) { new (at) T; };
		void (*destroy)(void *) = [](void *at) { static_cast<T *>(at)->~T(); };
		bool trivial = std::is_trivially_default_constructible_v<T>;
		cache = tm_cache_create(nullptr, "bench", sizeof(T), alignof(T), 0,
					trivial ? nullptr : construct, trivial ? nullptr : destroy);
		bench::check(cache != nullptr, "there is a cache");
	}
	~Cache() { bench::check(tm_cache_destroy(cache) == 0, "nothing is in use"); }
	T *get() { return static_cast<T *>(tm_cache_alloc(cache)); }
	void put(T *object) { tm_cache_free(cache, object); }
	void get_group(T **objects, size_t n)
	{
		bench::check(tm_cache_alloc_bulk(cache, n, reinterpret_cast<void **>(objects)) == n, "all came");
	}
	void put_group(T **objects, size_t n)
	{
		tm_cache_free_bulk(cache, n, reinterpret_cast<void **>(objects));
	}
};

template <class T> struct Kmalloc {
	static constexpr const char *name = "tm_kmalloc";
	T *get() { return new (tm_kmalloc(sizeof(T))) T; }
	void put(T *object)
	{
		object->~T();
		tm_kfree(object);
	}
};

template <class T> struct Malloc {
	static constexpr const char *name = "malloc";
	T *get() { return new (std::malloc(sizeof(T))) T; }
	void put(T *object)
	{
		object->~T();
		std::free(object);
	}
};

#ifdef HAVE_BOOST
template <class T> struct BoostPool {
	static constexpr const char *name = "boost::pool";
	boost::pool<> pool{sizeof(T)};
	T *get() { return new (pool.malloc()) T; }
	void put(T *object)
	{
		object->~T();
		pool.free(object);
	}
};

template <class T> struct BoostObjectPool {
	static constexpr const char *name = "boost::object_pool";
	boost::object_pool<T> pool;
	T *get() { return pool.construct(); }
	void put(T *object) { pool.destroy(object); }
};

/* Boost's pool behind its own lock. */
template <class T> struct BoostSingleton {
	static constexpr const char *name = "boost::singleton_pool";
	struct Tag {};
	using Pool = boost::singleton_pool<Tag, sizeof(T)>;
	T *get() { return new (Pool::malloc()) T; }
	void put(T *object)
	{
		object->~T();
		Pool::free(object);
	}
};
#endif

template <class T, class Resource> struct Pmr {
	static constexpr const char *name =
		std::is_same_v<Resource, std::pmr::unsynchronized_pool_resource> ? "pmr::unsynchronized"
										 : "pmr::synchronized";
	Resource resource;
	T *get() { return new (resource.allocate(sizeof(T), alignof(T))) T; }
	void put(T *object)
	{
		object->~T();
		resource.deallocate(object, sizeof(T), alignof(T));
	}
};
template <class T> using PmrOne = Pmr<T, std::pmr::unsynchronized_pool_resource>;
template <class T> using PmrAll = Pmr<T, std::pmr::synchronized_pool_resource>;

#ifdef HAVE_APR
/* In APR what is to be freed by itself has a pool of its own. */
template <class T> struct Apr {
	static constexpr const char *name = "apr_pool";
	struct Owned {
		T object;
		apr_pool_t *pool;
	};
	apr_pool_t *root;

	Apr()
	{
		apr_initialize();
		apr_pool_create(&root, nullptr);
	}
	~Apr() { apr_pool_destroy(root); }
	T *get()
	{
		apr_pool_t *pool;
		apr_pool_create(&pool, root);
		Owned *owned = new (apr_palloc(pool, sizeof(Owned))) Owned;
		owned->pool = pool;
		return &owned->object;
	}
	void put(T *object)
	{
		Owned *owned = reinterpret_cast<Owned *>(object);
		apr_pool_t *pool = owned->pool;
		object->~T();
		apr_pool_destroy(pool);
	}
};
#endif

/* One object at a time. */
template <class T, template <class> class Way> void add_pair(const char *family)
{
	bench::add(std::string(family) + "/pair", Way<T>::name, [] {
		static Way<T> way;
		constexpr int n = 100000;
		return bench::timed(n, [&] {
			for (int i = 0; i < n; i++) {
				T *object = way.get();
				use(object, i);
				check_used(object, i);
				way.put(object);
			}
		});
	});
}

/* Replaces random ones among `live` objects. */
template <class T, class Way> void churn(Way &way, size_t live, size_t steps, uint64_t seed)
{
	bench::Random random{seed};
	std::vector<T *> objects(live);
	for (size_t i = 0; i < live; i++) {
		objects[i] = way.get();
		use(objects[i], i);
	}
	for (size_t i = 0; i < steps; i++) {
		size_t at = random.below(live);
		check_used(objects[at], at);
		way.put(objects[at]);
		objects[at] = way.get();
		use(objects[at], at);
	}
	for (size_t i = 0; i < live; i++) {
		check_used(objects[i], i);
		way.put(objects[i]);
	}
}

template <class T, template <class> class Way> void add_churn(const char *family)
{
	bench::add(std::string(family) + "/churn", Way<T>::name, [] {
		static Way<T> way;
		constexpr size_t live = 1000, steps = 100000;
		return bench::timed(live + steps, [&] { churn<T>(way, live, steps, 7); });
	});
}

/* Many at once, freed in the order of their making. */
template <class T, template <class> class Way> void add_batch(const char *family)
{
	bench::add(std::string(family) + "/batch", Way<T>::name, [] {
		static Way<T> way;
		constexpr size_t n = 20000;
		static std::vector<T *> objects(n);
		return bench::timed(n, [&] {
			for (size_t i = 0; i < n; i++) {
				objects[i] = way.get();
				use(objects[i], i);
			}
			for (size_t i = 0; i < n; i++) {
				check_used(objects[i], i);
				way.put(objects[i]);
			}
		});
	});
}

template <class Way, class = void> constexpr bool has_groups = false;
template <class Way> constexpr bool has_groups<Way, std::void_t<decltype(&Way::get_group)>> = true;

template <class T, class Way> void get_group(Way &way, T **objects, size_t n)
{
	if constexpr (has_groups<Way>) {
		way.get_group(objects, n);
	} else {
		for (size_t i = 0; i < n; i++) {
			objects[i] = way.get();
		}
	}
}

template <class T, class Way> void put_group(Way &way, T **objects, size_t n)
{
	if constexpr (has_groups<Way>) {
		way.put_group(objects, n);
	} else {
		for (size_t i = 0; i < n; i++) {
			way.put(objects[i]);
		}
	}
}

/* A ring for what is received: filled group by group, used, and emptied group by group. */
template <class T, template <class> class Way> void add_bulk(const char *family)
{
	bench::add(std::string(family) + "/bulk", Way<T>::name, [] {
		static Way<T> way;
		constexpr size_t group = 64, ring = 8 * group, rounds = 40;
		static std::vector<T *> objects(ring);
		return bench::timed(rounds * ring, [&] {
			for (size_t round = 0; round < rounds; round++) {
				for (size_t at = 0; at < ring; at += group) {
					get_group(way, &objects[at], group);
					for (size_t i = at; i < at + group; i++) {
						use(objects[i], i);
					}
				}
				for (size_t at = 0; at < ring; at += group) {
					for (size_t i = at; i < at + group; i++) {
						check_used(objects[i], i);
					}
					put_group(way, &objects[at], group);
				}
			}
		});
	});
}

/* Four threads, each with its own objects from the one pool. */
template <class T, template <class> class Way> void add_threads(const char *family)
{
	bench::add(std::string(family) + "/4 threads", Way<T>::name, [] {
		static Way<T> way;
		constexpr size_t live = 500, steps = 50000, threads = 4;
		return bench::timed(threads * (live + steps), [&] {
			std::vector<std::thread> all;
			for (size_t i = 0; i < threads; i++) {
				all.emplace_back([i] { churn<T>(way, live, steps, i + 1); });
			}
			for (std::thread &thread : all) {
				thread.join();
			}
		});
	});
}

/* One thread makes, another frees. */
template <class T, template <class> class Way> void add_handover(const char *family)
{
	bench::add(std::string(family) + "/handover", Way<T>::name, [] {
		static Way<T> way;
		constexpr size_t n = 200000, ring = 4096;
		static std::atomic<T *> places[ring];
		return bench::timed(n, [&] {
			std::thread consumer([] {
				for (size_t i = 0; i < n; i++) {
					std::atomic<T *> &place = places[i % ring];
					T *object;
					while ((object = place.load(std::memory_order_acquire)) == nullptr) {
						std::this_thread::yield();
					}
					place.store(nullptr, std::memory_order_release);
					check_used(object, i);
					way.put(object);
				}
			});
			for (size_t i = 0; i < n; i++) {
				T *object = way.get();
				use(object, i);
				std::atomic<T *> &place = places[i % ring];
				while (place.load(std::memory_order_acquire) != nullptr) {
					std::this_thread::yield();
				}
				place.store(object, std::memory_order_release);
			}
			consumer.join();
		});
	});
}

/* What any thread may use. */
template <class T, template <class> class Way> void add_shared(const char *family)
{
	add_threads<T, Way>(family);
	add_handover<T, Way>(family);
}

template <class T, template <class> class Way> void add_single(const char *family)
{
	add_pair<T, Way>(family);
	add_churn<T, Way>(family);
	add_batch<T, Way>(family);
	add_bulk<T, Way>(family);
}

template <class T> void add_family(const char *family)
{
	add_single<T, Cache>(family);
	add_shared<T, Cache>(family);
	add_single<T, Kmalloc>(family);
	add_shared<T, Kmalloc>(family);
	add_single<T, Malloc>(family);
	add_shared<T, Malloc>(family);
	add_single<T, PmrOne>(family);
	add_shared<T, PmrAll>(family);
#ifdef HAVE_BOOST
	add_single<T, BoostPool>(family);
	add_shared<T, BoostSingleton>(family);
	/* Its free looks for the place in a sorted list: more than a few are not for it. */
	add_pair<T, BoostObjectPool>(family);
#endif
#ifdef HAVE_APR
	add_single<T, Apr>(family);
#endif
}

} // namespace

void bench::add_cache_cases()
{
	add_family<Session>("session");
	add_family<Node>("node");
}
