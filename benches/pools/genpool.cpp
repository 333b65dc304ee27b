/*
 * Ranges of memory that the program brings: places of a few units in a range that is nearly full, as it is
 * after a long life; and single pages.
 *
 * With tmempool and with a bit map nothing in the range is touched. Boost.Interprocess manages a buffer that the
 * program brings, too, but keeps its books in it; malloc and std::pmr have memory of their own, and stand
 * here for what a place costs where it need not lie in a given range.
 */
#include "bench.hpp"

#if __has_include(<boost/interprocess/managed_external_buffer.hpp>)
#include <boost/interprocess/managed_external_buffer.hpp>
#define HAS_INTERPROCESS
#endif
#include <memory>
#include <memory_resource>
#include <sys/mman.h>
#include <tmempool.h>

namespace {

/* What a workload is: a range of so many units, of which so many are to be free, and how many units are asked for. */
struct Shape {
	size_t unit, units;
	double full;
	size_t least, most;
};

/* Address space; only who writes to it has memory there. */
struct Mapping {
	size_t size;
	char *at;

	explicit Mapping(size_t size) : size(size)
	{
		void *mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		bench::check(mapped != MAP_FAILED, "there is a mapping");
		at = static_cast<char *>(mapped);
	}
	Mapping(const Mapping &) = delete;
	~Mapping() { munmap(at, size); }
};

/* A way has get(size) and put(at, size). */

template <tm_genpool_algo algo> struct Genpool {
	Mapping mapping;
	tm_genpool *pool;

	explicit Genpool(const Shape &shape) : mapping(shape.unit * shape.units)
	{
		pool = tm_genpool_create(nullptr, unsigned(__builtin_ctzl(shape.unit)));
		bench::check(tm_genpool_add(pool, mapping.at, mapping.size) == 0, "there is a pool");
		tm_genpool_set_algo(pool, algo);
	}
	~Genpool() { bench::check(tm_genpool_destroy(pool) == 0, "nothing is out"); }
	void *get(size_t size) { return tm_genpool_alloc(pool, size); }
	void put(void *at, size_t size) { tm_genpool_free(pool, at, size); }
};

/* First fit as one writes it: a bit map, looked through bit by bit, full words at a time. */
struct Bitmap {
	Mapping mapping;
	size_t unit, units;
	std::vector<uint64_t> words;

	explicit Bitmap(const Shape &shape)
		: mapping(shape.unit * shape.units), unit(shape.unit), units(shape.units),
		  words(units / 64 + 1)
	{
	}
	bool taken(size_t i) const { return words[i / 64] >> (i % 64) & 1; }
	void *get(size_t size)
	{
		size_t n = (size + unit - 1) / unit, run = 0;
		for (size_t i = 0; i < units; i++) {
			if (i % 64 == 0 && words[i / 64] == ~uint64_t(0)) {
				i += 63;
				run = 0;
				continue;
			}
			run = taken(i) ? 0 : run + 1;
			if (run == n) {
				for (size_t j = i + 1 - n; j <= i; j++) {
					words[j / 64] |= uint64_t(1) << (j % 64);
				}
				return mapping.at + (i + 1 - n) * unit;
			}
		}
		return nullptr;
	}
	void put(void *at, size_t size)
	{
		size_t first = size_t(static_cast<char *>(at) - mapping.at) / unit;
		for (size_t j = first; j < first + (size + unit - 1) / unit; j++) {
			words[j / 64] &= ~(uint64_t(1) << (j % 64));
		}
	}
};

#ifdef HAS_INTERPROCESS
struct Interprocess {
	Mapping mapping;
	boost::interprocess::managed_external_buffer buffer;

	/* Its books and its rounding need room, too. */
	explicit Interprocess(const Shape &shape)
		: mapping(shape.unit * shape.units * 5 / 4),
		  buffer(boost::interprocess::create_only, mapping.at, mapping.size)
	{
	}
	void *get(size_t size) { return buffer.allocate(size, std::nothrow); }
	void put(void *at, size_t) { buffer.deallocate(at); }
};
#endif

struct Malloc {
	explicit Malloc(const Shape &) {}
	void *get(size_t size) { return std::malloc(size); }
	void put(void *at, size_t) { std::free(at); }
};

struct Pmr {
	std::pmr::synchronized_pool_resource resource;
	explicit Pmr(const Shape &) {}
	void *get(size_t size) { return resource.allocate(size); }
	void put(void *at, size_t size) { resource.deallocate(at, size); }
};

/* Fills the range, then frees and allocates at random, so that the free room is in pieces everywhere. */
template <class Way> void add_way(const char *workload, const char *way, Shape shape)
{
	struct Piece {
		void *at;
		size_t size;
	};
	struct State {
		Way way;
		bench::Random random{88172645463325252ULL};
		std::vector<Piece> pieces;
		explicit State(const Shape &shape) : way(shape) {}
		~State()
		{
			for (Piece &piece : pieces) {
				if (piece.at != nullptr) {
					way.put(piece.at, piece.size);
				}
			}
		}
	};
	auto state = std::make_shared<std::unique_ptr<State>>();
	bench::add(workload, way, [=] {
		auto size = [&](bench::Random &random) {
			return shape.unit * (shape.least + random.below(shape.most - shape.least + 1));
		};
		if (!*state) {
			*state = std::make_unique<State>(shape);
			State &s = **state;
			size_t used = 0, wanted = size_t(double(shape.units * shape.unit) * shape.full);
			while (used < wanted) {
				size_t bytes = size(s.random);
				void *at = s.way.get(bytes);
				bench::check(at != nullptr, "there is room to begin with");
				s.pieces.push_back({at, bytes});
				used += bytes;
			}
		}
		State &s = **state;
		size_t rounds = 2000;
		return bench::timed(double(rounds), [&] {
			for (size_t i = 0; i < rounds; i++) {
				Piece &piece = s.pieces[s.random.below(s.pieces.size())];
				if (piece.at != nullptr) {
					s.way.put(piece.at, piece.size);
				}
				piece.size = size(s.random);
				piece.at = s.way.get(piece.size);
			}
		});
	});
}

void add_shape(const char *workload, Shape shape)
{
	add_way<Genpool<TM_FIRST_FIT>>(workload, "tm_genpool first fit", shape);
	add_way<Genpool<TM_NEXT_FIT>>(workload, "tm_genpool next fit", shape);
	add_way<Genpool<TM_BEST_FIT>>(workload, "tm_genpool best fit", shape);
	add_way<Genpool<TM_WORST_FIT>>(workload, "tm_genpool worst fit", shape);
	add_way<Bitmap>(workload, "bit map", shape);
#ifdef HAS_INTERPROCESS
	add_way<Interprocess>(workload, "boost::interprocess", shape);
#endif
	add_way<Malloc>(workload, "malloc", shape);
	add_way<Pmr>(workload, "std::pmr::synchronized_pool", shape);
}

} // namespace

void bench::add_genpool_cases()
{
	/* 64 MiB in units of 64 bytes, and 4 GiB in pages. */
	add_shape("genpool/pieces of 1 to 32 units", {64, 1 << 20, 0.85, 1, 32});
	add_shape("genpool/single pages", {4096, 1 << 20, 0.95, 1, 1});
	add_way<Genpool<TM_BUDDY>>("genpool/pieces of 1 to 32 units", "tm_genpool buddy",
				   {64, 1 << 20, 0.6, 1, 32});
	add_way<Genpool<TM_BUDDY>>("genpool/single pages", "tm_genpool buddy", {4096, 1 << 20, 0.95, 1, 1});
}
