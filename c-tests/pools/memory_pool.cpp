/*
 * MemoryPools of many threads: what is no element is refused, wherever the free ones are; and free elements are neither lost
 * nor given out twice, whichever of pool, thread and process ends first.
 */
#include "pools.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <tmempool.hpp>

namespace {

struct node {
	static inline std::atomic<long> made{0}, destroyed{0};
	std::uint64_t id;
	std::uint64_t rest[5];

	explicit node(std::uint64_t i) : id(i), rest{i, i, i, i, i}
	{
		++made;
	}

	~node()
	{
		++destroyed;
	}

	bool is(std::uint64_t i) const
	{
		for (std::uint64_t r : rest) {
			if (r != i) {
				return false;
			}
		}
		return id == i;
	}
};

template <class T> using pool_of = tmempool::MemoryPool<T, 4096, true, tmempool::threads::many>;
using pool = pool_of<node>;

const char *const REFUSED = " cache 'tmempool::MemoryPool'";

void in_another_thread(const std::function<void()> &work)
{
	std::thread(work).join();
}

/* Wants it refused. */
void expect_no_element(pool &from, void *at)
{
	expect_refused((from.deallocate(static_cast<node *>(at)), true), REFUSED);
}

/* No two of so many elements are the same, and each is new to the pool's user. */
void expect_distinct(pool &from, std::size_t count, std::set<void *> in_use = {})
{
	std::vector<node *> all;
	for (std::size_t i = 0; i < count; ++i) {
		all.push_back(from.newElement(i));
		check(in_use.insert(all.back()).second);
	}
	for (std::size_t i = 0; i < count; ++i) {
		check(all[i]->is(i));
		from.deleteElement(all[i]);
	}
}

void free_elements_are_refused()
{
	pool all;
	node *element = all.newElement(1u);
	all.deleteElement(element);
	/* With this thread. */
	expect_no_element(all, element);
	in_another_thread([&] { expect_no_element(all, element); });
	expect_distinct(all, 200);
	/* Somewhere: with the thread, in the cache, in a slab that is given back. */
	std::vector<node *> many;
	for (std::uint64_t i = 0; i < 20000; ++i) {
		many.push_back(all.newElement(i));
	}
	for (node *one : many) {
		all.deleteElement(one);
	}
	expect_silence();
	for (std::size_t i = 0; i < many.size(); i += 997) {
		expect_no_element(all, many[i]);
	}
	/* With another thread. */
	std::atomic<int> stage{0};
	node *theirs = nullptr;
	std::thread thread([&] {
		theirs = all.newElement(2u);
		all.deleteElement(theirs);
		stage = 1;
		while (stage != 2) {
			usleep(100);
		}
	});
	while (stage != 1) {
		usleep(100);
	}
	expect_no_element(all, theirs);
	stage = 2;
	thread.join();
	expect_distinct(all, 20000);
	expect_silence();
}

void foreign_pointers_are_refused()
{
	pool all, other, empty;
	node local(1u);
	auto heap = std::make_unique<node>(2u);
	node *element = all.newElement(3u), *others = other.newElement(4u);
	tmempool::context context;
	for (void *foreign : {static_cast<void *>(&local), static_cast<void *>(heap.get()), static_cast<void *>(others),
			      static_cast<void *>(&all), context.get(), static_cast<void *>(element->rest),
			      reinterpret_cast<void *>(16), reinterpret_cast<void *>(~std::uintptr_t{15}),
			      reinterpret_cast<void *>(std::uintptr_t{1} << 62)}) {
		expect_no_element(all, foreign);
		expect_no_element(empty, foreign);
	}
	check(element->is(3) && others->is(4));
	all.deleteElement(element);
	other.deleteElement(others);
	expect_silence();
	/* Elements of two pools that lie between each other's. */
	std::vector<std::pair<node *, node *>> pairs;
	for (std::uint64_t i = 0; i < 20000; ++i) {
		pairs.emplace_back(all.newElement(i), other.newElement(i));
	}
	for (std::size_t i = 0; i < pairs.size(); i += 97) {
		expect_no_element(all, pairs[i].second);
		expect_no_element(other, pairs[i].first);
	}
	for (auto [one, another] : pairs) {
		all.deleteElement(one);
		other.deleteElement(another);
	}
	expect_silence();
}

/* Gives itself back, before who deletes it does. */
struct impatient {
	pool_of<impatient> *from;
	char rest[40];

	~impatient()
	{
		from->deallocate(this);
	}
};

void what_its_destructor_gave_back_is_refused()
{
	pool_of<impatient> all;
	impatient *element = all.newElement();
	element->from = &all;
	expect_refused((all.deleteElement(element), true), REFUSED);
	impatient *one = all.allocate(), *other = all.allocate();
	check(one != other);
	all.deallocate(one);
	all.deallocate(other);
	expect_silence();
}

/*
 * Two threads give the same elements back at the same moment. One of them is refused, or it goes unseen; but nobody gets one
 * twice. A race of the program's own: not with NO_RACES, where one is looked for.
 */
void two_threads_delete_the_same()
{
	pool all;
	for (long round = often(300); round > 0; --round) {
		std::vector<node *> some;
		for (std::uint64_t i = 0; i < 50; ++i) {
			some.push_back(all.newElement(i));
		}
		std::atomic<int> ready{0};
		std::vector<std::thread> threads;
		for (int t = 0; t < 2; ++t) {
			threads.emplace_back([&] {
				++ready;
				while (ready != 2) {
				}
				for (node *one : some) {
					all.deallocate(one);
				}
			});
		}
		for (std::thread &thread : threads) {
			thread.join();
		}
		ours_log[0] = '\0';
		expect_distinct(all, 300);
	}
}

void what_is_in_use_at_the_end_is_told()
{
	{
		pool all;
		std::vector<node *> some;
		for (std::uint64_t i = 0; i < 100; ++i) {
			some.push_back(all.newElement(i));
		}
		for (std::size_t i = 3; i < some.size(); ++i) {
			all.deleteElement(some[i]);
		}
	}
	check(strstr(ours_log, "WARNING: cache 'tmempool::MemoryPool' was freed while 3 objects") != nullptr);
	ours_log[0] = '\0';
}

/* Random news and deletes in all of these pools at once, of elements of one's own. */
void use(std::vector<std::unique_ptr<pool>> &pools, unsigned seed, int steps)
{
	std::mt19937 random(seed);
	struct element {
		pool *from;
		node *at;
		std::uint64_t id;
	};
	std::vector<element> model;
	for (int step = 0; step < steps; ++step) {
		if (model.size() < 500 && random() % 5 < 3) {
			pool *from = pools[random() % pools.size()].get();
			const std::uint64_t id = random();
			model.push_back({from, from->newElement(id), id});
		} else if (!model.empty()) {
			element &old = model[random() % model.size()];
			check(old.at->is(old.id));
			old.from->deleteElement(old.at);
			old = model.back();
			model.pop_back();
		}
	}
	for (element &old : model) {
		check(old.at->is(old.id));
		old.from->deleteElement(old.at);
	}
}

void threads_use_many_pools_at_once()
{
	std::vector<std::unique_ptr<pool>> pools;
	for (int i = 0; i < 70; ++i) {
		pools.push_back(std::make_unique<pool>());
	}
	std::vector<std::thread> threads;
	for (unsigned seed = 1; seed <= 4; ++seed) {
		threads.emplace_back([&pools, seed] { use(pools, seed, static_cast<int>(often(200000))); });
	}
	for (std::thread &thread : threads) {
		thread.join();
	}
	pools.clear();
	expect_silence();
	check(node::made == node::destroyed);
}

/* Threads that used pools live on when these end, and end at the same time; the next pools have the same addresses. */
void pools_end_before_their_threads()
{
	for (long round = often(300); round > 0; --round) {
		std::atomic<int> ready{0}, may_end{0};
		std::vector<std::thread> threads;
		std::optional<pool> all;
		for (int lives = 0; lives < 2; ++lives) {
			all.emplace();
			const int wanted = ready + 4;
			for (std::uint64_t i = 0; i < 4; ++i) {
				threads.emplace_back([&, i] {
					for (std::uint64_t n = 0; n < 60; ++n) {
						all->deleteElement(all->newElement(i));
					}
					node *element = all->newElement(i);
					check(element->is(i));
					all->deleteElement(element);
					++ready;
					while (may_end == 0) {
						std::this_thread::yield();
					}
				});
			}
			while (ready != wanted) {
				std::this_thread::yield();
			}
			if (lives == 1) {
				may_end = 1;
			}
			expect_distinct(*all, 100);
			all.reset();
		}
		for (std::thread &thread : threads) {
			thread.join();
		}
	}
	expect_silence();
}

/* What a thread leaves, the next one uses, be it one that knows nothing of the other. */
void threads_come_and_go()
{
	pool all;
	std::set<void *> seen[2];
	std::vector<std::thread> makers;
	for (std::set<void *> &by_one : seen) {
		makers.emplace_back([&] {
			for (long i = often(2000); i > 0; --i) {
				in_another_thread([&] {
					std::vector<node *> some;
					for (std::uint64_t n = 0; n < 10; ++n) {
						some.push_back(all.newElement(n));
						by_one.insert(some.back());
					}
					for (node *one : some) {
						all.deleteElement(one);
					}
				});
			}
		});
	}
	for (std::thread &maker : makers) {
		maker.join();
	}
	seen[0].merge(seen[1]);
	check(seen[0].size() < 200);
}

/* Objects of a thread that use a pool as they go. */
struct last_user {
	pool *from = nullptr;
	node *kept = nullptr;

	~last_user()
	{
		if (from == nullptr) {
			return;
		}
		for (std::uint64_t i = 0; i < 200; ++i) {
			from->deleteElement(from->newElement(i));
		}
		check(kept->is(5));
		from->deleteElement(kept);
	}
};

void a_thread_uses_a_pool_as_it_ends()
{
	{
		pool all;
		for (int i = 0; i < 100; ++i) {
			in_another_thread([&] {
				/* Made before the thread uses the pool. */
				static thread_local last_user last;
				last.from = &all;
				last.kept = all.newElement(5u);
				all.deleteElement(all.newElement(6u));
			});
		}
	}
	expect_silence();
	check(node::made == node::destroyed);
}

/* A child goes on with what there is; the other threads are gone. */
void forks_while_threads_work()
{
	std::atomic<bool> is_over{false};
	std::vector<std::unique_ptr<pool>> pools;
	pools.push_back(std::make_unique<pool>());
	std::vector<std::thread> threads;
	for (unsigned seed = 1; seed <= 3; ++seed) {
		threads.emplace_back([&, seed] {
			for (unsigned n = 0; !is_over; ++n) {
				use(pools, 10 * n + seed, 2000);
			}
		});
	}
	std::vector<node *> kept;
	for (std::uint64_t i = 0; i < 300; ++i) {
		kept.push_back(pools[0]->newElement(i));
	}
	for (long i = often(200); i > 0; --i) {
		const pid_t child = fork();
		check(child >= 0);
		if (child == 0) {
			alarm(60);
			use(pools, 7, 3000);
			std::set<void *> in_use(kept.begin(), kept.end());
			expect_distinct(*pools[0], 2000, in_use);
			for (std::uint64_t n = 0; n < kept.size(); ++n) {
				check(kept[n]->is(n));
				pools[0]->deleteElement(kept[n]);
			}
			expect_no_element(*pools[0], kept[0]);
			in_another_thread([&] { use(pools, 8, 3000); });
			pools.clear();
			check(strstr(ours_log, "tm_cache_free") == nullptr);
			_exit(0);
		}
		int status = 0;
		check(waitpid(child, &status, 0) == child && status == 0);
	}
	is_over = true;
	for (std::thread &thread : threads) {
		thread.join();
	}
	for (node *one : kept) {
		pools[0]->deleteElement(one);
	}
	pools.clear();
	expect_silence();
}

/* Memory ends: each element that is given back can be had again. */
void no_memory_is_left()
{
	struct big {
		char bytes[1000];
	};
	pool_of<big> all;
	std::vector<big *> got;
	got.reserve(10 << 20);
	struct rlimit limit;
	check(getrlimit(RLIMIT_AS, &limit) == 0);
	limit.rlim_cur = static_cast<rlim_t>(kib_of("VmSize:") + (64 << 10)) << 10;
	check(setrlimit(RLIMIT_AS, &limit) == 0);
	std::size_t most = 0;
	for (int round = 0; round < 3; ++round) {
		try {
			for (;;) {
				got.push_back(all.allocate());
			}
		} catch (const std::bad_alloc &) {
		}
		check(got.size() > 1000 && got.size() >= most);
		most = got.size();
		check(std::set<big *>(got.begin(), got.begin() + 1000).size() == 1000);
		for (big *one : got) {
			all.deallocate(one);
		}
		got.clear();
		expect_silence();
	}
}

struct alignas(4096) page {
	char bytes[4096];
};

template <class T> void has_elements_of()
{
	pool_of<T> all;
	std::vector<T *> some;
	std::set<char *> bytes;
	for (int i = 0; i < 300; ++i) {
		some.push_back(all.allocate());
		check(reinterpret_cast<std::uintptr_t>(some.back()) % alignof(T) == 0);
		memset(static_cast<void *>(some.back()), i, sizeof(T));
		check(bytes.insert(reinterpret_cast<char *>(some.back())).second);
	}
	for (int i = 0; i < 300; ++i) {
		const auto *first = reinterpret_cast<unsigned char *>(some[static_cast<std::size_t>(i)]);
		check(first[0] == i % 256 && first[sizeof(T) - 1] == i % 256);
		all.deallocate(some[static_cast<std::size_t>(i)]);
	}
	for (T *one : some) {
		expect_refused((all.deallocate(one), true), REFUSED);
	}
	/* Zeroed when it is given back. */
	const auto *again = reinterpret_cast<const char *>(all.allocate());
	for (std::size_t i = 0; i < sizeof(T); ++i) {
		check(again[i] == 0);
	}
	all.deallocate(reinterpret_cast<T *>(const_cast<char *>(again)));
}

void elements_of_all_sizes()
{
	has_elements_of<char>();
	has_elements_of<std::array<char, 7>>();
	has_elements_of<std::uint64_t>();
	has_elements_of<std::array<char, 33>>();
	has_elements_of<std::array<std::uint64_t, 8>>();
	has_elements_of<std::max_align_t>();
	has_elements_of<page>();
	has_elements_of<std::array<char, 100000>>();
	expect_silence();
}

} // namespace

int main()
{
	catch_faults();
	must_pass("free elements are refused", free_elements_are_refused);
	must_pass("foreign pointers are refused", foreign_pointers_are_refused);
	must_pass("what its destructor gave back is refused", what_its_destructor_gave_back_is_refused);
	if (getenv("NO_RACES") == nullptr) {
		must_pass("two threads delete the same", two_threads_delete_the_same);
	} else {
		puts("skipped: two threads delete the same, a race of the program's own");
	}
	must_pass("what is in use at the end is told", what_is_in_use_at_the_end_is_told);
	must_pass("threads use many pools at once", threads_use_many_pools_at_once);
	must_pass("pools end before their threads", pools_end_before_their_threads);
	must_pass("threads come and go", threads_come_and_go);
	must_pass("a thread uses a pool as it ends", a_thread_uses_a_pool_as_it_ends);
	must_pass("forks while threads work", forks_while_threads_work);
	must_pass("no memory is left", no_memory_is_left);
	must_pass("elements of all sizes", elements_of_all_sizes);
	expect_no_fault();
	return 0;
}
