/*
 * The frame of the pools' benchmark: a *case* is a workload done in one *way* (with one allocator). A file for each
 * kind of pool registers its cases; `main.cpp` lists them and runs one a process.
 *
 * A case makes passes until it has enough time on the clock; what it allocates it writes to, and what it
 * wrote it checks.
 */
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace bench {

/* What a pass was paid for. */
struct Paid {
	double ns = 0;
	double ops = 0;
};

struct Case {
	std::string workload; /* family/what */
	std::string way;      /* with what */
	std::function<Paid()> pass;
};

inline std::vector<Case> &cases()
{
	static std::vector<Case> all;
	return all;
}

inline void add(std::string workload, std::string way, std::function<Paid()> pass)
{
	cases().push_back({std::move(workload), std::move(way), std::move(pass)});
}

/* Registered by the files, called by main. */
void add_cache_cases();
void add_growable_cases();
void add_genpool_cases();
void add_mempool_cases();

template <class Work> Paid timed(double ops, Work &&work)
{
	auto start = std::chrono::steady_clock::now();
	work();
	auto end = std::chrono::steady_clock::now();
	return {std::chrono::duration<double, std::nano>(end - start).count(), ops};
}

inline void check(bool holds, const char *what)
{
	if (!holds) {
		std::fprintf(stderr, "not true: %s\n", what);
		std::abort();
	}
}

/* A random number, the same sequence for the same seed. */
struct Random {
	uint64_t state;

	uint32_t next()
	{
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		return uint32_t((state * 0x2545f4914f6cdd1dULL) >> 33);
	}

	size_t below(size_t n) { return size_t(uint64_t(next()) * n >> 31); }
};

} // namespace bench
