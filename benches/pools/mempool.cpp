/*
 * Reserves: what an element costs while the source gives, while it does not, and while threads wait for one
 * another.
 *
 * The others are what one writes without a mempool: a list of free elements behind a mutex, with a condition
 * for who waits. One of them lets whoever comes first to the lock have what there is, so that a thread may
 * take back what it has just given, and others wait on; the other one keeps the order of coming, as a mempool
 * does.
 */
#include "bench.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <tmempool.h>
#include <unistd.h>

namespace {

constexpr size_t ELEMENT = 512;

/* The source: malloc, or nothing at all. */
struct Source {
	bool gives = true;
	void *make() { return gives ? std::malloc(ELEMENT) : nullptr; }
};

struct Mempool {
	tm_mempool *pool;

	Mempool(Source &source, size_t reserve)
	{
		pool = tm_mempool_create(
			nullptr, reserve,
			[](void *source) { return static_cast<Source *>(source)->make(); },
			[](void *element, void *) { std::free(element); }, &source);
		bench::check(pool != nullptr, "there is a pool");
	}
	~Mempool() { bench::check(tm_mempool_destroy(pool) == 0, "nothing is out"); }
	void *get() { return tm_mempool_alloc(pool, 0); }
	void put(void *element) { tm_mempool_free(pool, element); }
};

struct OfKmalloc {
	tm_mempool *pool;

	OfKmalloc(Source &, size_t reserve) : pool(tm_mempool_create_kmalloc(nullptr, reserve, ELEMENT))
	{
		bench::check(pool != nullptr, "there is a pool");
	}
	~OfKmalloc() { bench::check(tm_mempool_destroy(pool) == 0, "nothing is out"); }
	void *get() { return tm_mempool_alloc(pool, 0); }
	void put(void *element) { tm_mempool_free(pool, element); }
};

/* A list of free elements; in order, if `fair`. */
template <bool fair> struct List {
	Source &source;
	size_t reserve;
	std::mutex lock;
	std::condition_variable returned;
	std::vector<void *> elements;
	uint64_t next = 0, served = 0;

	List(Source &source, size_t reserve) : source(source), reserve(reserve)
	{
		for (size_t i = 0; i < reserve; i++) {
			elements.push_back(std::malloc(ELEMENT));
		}
	}
	~List()
	{
		for (void *element : elements) {
			std::free(element);
		}
	}
	void *get()
	{
		void *element = source.make();
		if (element != nullptr) {
			return element;
		}
		std::unique_lock held(lock);
		uint64_t mine = next++;
		returned.wait(held, [&] { return !elements.empty() && (!fair || served == mine); });
		served++;
		element = elements.back();
		elements.pop_back();
		if (fair) {
			returned.notify_all();
		}
		return element;
	}
	void put(void *element)
	{
		std::unique_lock held(lock);
		if (elements.size() >= reserve) {
			held.unlock();
			std::free(element);
			return;
		}
		elements.push_back(element);
		held.unlock();
		if (fair) {
			returned.notify_all();
		} else {
			returned.notify_one();
		}
	}
};

struct Malloc {
	Malloc(Source &, size_t) {}
	void *get() { return std::malloc(ELEMENT); }
	void put(void *element) { std::free(element); }
};

/* Threads that take an element, write to it and give it back. */
template <class Way>
void add_way(const char *workload, const char *way, bool gives, size_t reserve, unsigned threads)
{
	struct State {
		Source source;
		Way way;
		explicit State(size_t reserve) : way(source, reserve) {}
	};
	auto state = std::make_shared<std::unique_ptr<State>>();
	bench::add(workload, way, [=] {
		if (!*state) {
			*state = std::make_unique<State>(reserve);
			(*state)->source.gives = gives;
		}
		Way &way = (*state)->way;
		/* The C library leaves out what its locks cost as long as there is only one thread. */
		static const bool another = (std::thread([] { pause(); }).detach(), true);
		(void)another;
		const size_t rounds = 20000;
		auto work = [&] {
			for (size_t i = 0; i < rounds; i++) {
				auto *element = static_cast<volatile uint64_t *>(way.get());
				element[0] = i;
				element[ELEMENT / 8 - 1] = i;
				way.put(const_cast<uint64_t *>(element));
			}
		};
		return bench::timed(double(rounds) * threads, [&] {
			if (threads == 1) {
				work();
				return;
			}
			std::vector<std::thread> all;
			for (unsigned i = 0; i < threads; i++) {
				all.emplace_back(work);
			}
			for (std::thread &thread : all) {
				thread.join();
			}
		});
	});
}

void add_workload(const char *workload, bool gives, size_t reserve, unsigned threads)
{
	add_way<Mempool>(workload, "tm_mempool", gives, reserve, threads);
	add_way<List<false>>(workload, "mutex and condition", gives, reserve, threads);
	add_way<List<true>>(workload, "mutex and condition, in order", gives, reserve, threads);
	if (gives) {
		add_way<OfKmalloc>(workload, "tm_mempool of kmalloc", gives, reserve, threads);
		add_way<Malloc>(workload, "malloc", gives, reserve, threads);
	}
}

} // namespace

void bench::add_mempool_cases()
{
	add_workload("mempool/the source gives", true, 16, 1);
	add_workload("mempool/the source gives, two threads", true, 16, 2);
	add_workload("mempool/the source fails", false, 16, 1);
	add_workload("mempool/the source fails, four threads for two elements", false, 2, 4);
}
