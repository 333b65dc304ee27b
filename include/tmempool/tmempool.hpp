/*
 * tmempool.hpp: contexts as C++ objects, allocators for the standard containers, and the pools. C++17.
 *
 *   tmempool::context request("request");              // owns a tree; freed at the end of scope
 *   auto *user = request.make<User>("ann");            // ~User() runs when the tree is freed
 *   tmempool::ref session = request.child("session");  // a context in the tree
 *   std::vector<int, tmempool::allocator<int>> ids(request.get_allocator<int>());
 *
 * Who owns what: a `context` owns a tree and frees it; a `ref` names a place in a tree and owns
 * nothing. What is made with make() belongs to the tree. A container outside of the tree, such as
 * `ids`, must go before the tree does; one that lives in the tree is made with make(), which gives
 * it an allocator of its own, so that its memory goes with it.
 *
 * The pools: `MemoryPool<T>` for elements of one type, `cache<T>` for objects that stay constructed, `mempool` for
 * a reserve that does not fail, `genpool` for memory that the user brings, and `memory_resource` and
 * `monotonic_resource` for std::pmr.
 *
 * Where memory is refused, std::bad_alloc is thrown. A destructor that throws ends the program.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TMEMPOOL_HPP
#define TMEMPOOL_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tmempool.h"

namespace tmempool {

/* The alignment of all payloads, in bytes. */
inline constexpr std::size_t alignment = 16;

namespace detail {

inline void *checked(void *ptr)
{
	if (ptr == nullptr)
		throw std::bad_alloc();
	return ptr;
}

/* The name of a type as the compiler spells it, to be read in reports. */
template <class T> struct name_of {
	static constexpr std::string_view spelled()
	{
		/* "... spelled() [with T = int; ...]" by gcc, "... spelled() [T = int]" by clang */
		std::string_view text = __PRETTY_FUNCTION__;
		text.remove_prefix(text.find("T = ") + 4);
		return text.substr(0, text.find_first_of(";]"));
	}

	struct text {
		char bytes[spelled().size() + 1] = {};
		constexpr text()
		{
			for (std::size_t i = 0; i < spelled().size(); ++i)
				bytes[i] = spelled()[i];
		}
	};

	static constexpr text value{};
};

template <class T> int destroy(void *object) noexcept
{
	static_cast<T *>(object)->~T();
	return 0;
}

} /* namespace detail */

/* The name that make<T>() gives, which is the one that talloc_get_type() looks for. */
template <class T> inline constexpr const char *type_name = detail::name_of<T>::value.bytes;

/*
 * An allocator that takes its memory from a context, for the standard containers. An array is less
 * than 256 MiB. Two allocators are equal when their contexts are the same one.
 */
template <class T> class allocator {
    public:
	using value_type = T;
	using propagate_on_container_move_assignment = std::true_type;
	using propagate_on_container_swap = std::true_type;
	using is_always_equal = std::false_type;

	static_assert(alignof(T) <= alignment, "chunks are aligned to 16 bytes");

	explicit allocator(const void *context) noexcept : context_(context) {}

	template <class U>
	allocator(const allocator<U> &other) noexcept : context_(other.context())
	{
	}

	T *allocate(std::size_t count)
	{
		if (count > std::numeric_limits<unsigned>::max())
			throw std::bad_array_new_length();
		return static_cast<T *>(detail::checked(_talloc_array(
			context_, sizeof(T), static_cast<unsigned>(count), type_name<T>)));
	}

	void deallocate(T *array, std::size_t) noexcept
	{
		_talloc_free(array, "tmempool::allocator");
	}

	const void *context() const noexcept
	{
		return context_;
	}

	template <class U> bool operator==(const allocator<U> &other) const noexcept
	{
		return context_ == other.context();
	}

	template <class U> bool operator!=(const allocator<U> &other) const noexcept
	{
		return !(*this == other);
	}

    private:
	const void *context_;
};

/* A place in a tree: a context that is owned by its parent. Copies name the same place. */
class ref {
    public:
	/* Names `chunk`, which is alive, or none where it is null. */
	explicit ref(void *chunk) noexcept : chunk_(chunk) {}

	void *get() const noexcept
	{
		return chunk_;
	}

	explicit operator bool() const noexcept
	{
		return chunk_ != nullptr;
	}

	const char *name() const
	{
		return talloc_get_name(chunk_);
	}

	/* The bytes and the chunks of the tree from here on. */
	std::size_t total_size() const
	{
		return talloc_total_size(chunk_);
	}

	std::size_t total_blocks() const
	{
		return talloc_total_blocks(chunk_);
	}

	/* A context below this one. The name is copied. */
	ref child(const char *name) const
	{
		return ref(detail::checked(talloc_named(chunk_, 0, "%s", name)));
	}

	/* A pool below this one, of `size` bytes for what is made below it. */
	ref pool(std::size_t size) const
	{
		return ref(detail::checked(talloc_pool(chunk_, size)));
	}

	/*
	 * A pool below this one that grows: from a block of `first_size` bytes, by blocks of twice
	 * the size, up to `max_block` (0 for 1 MiB).
	 */
	ref growable_pool(std::size_t first_size, std::size_t max_block = 0) const
	{
		return ref(detail::checked(tm_pool_growable(chunk_, first_size, max_block)));
	}

	/*
	 * `size` bytes of this pool that are no chunk: they have no header, and go with all else
	 * in the pool, by clear() or when it is freed. Throws std::bad_alloc where this is no pool.
	 */
	void *bytes(std::size_t size) const
	{
		return detail::checked(tm_palloc(chunk_, size));
	}

	/* Frees all below this one, with the destructors; a pool keeps its room. */
	void clear() const
	{
		tm_reset(chunk_);
	}

	/* From now on counts what is allocated below this one. */
	void count() const
	{
		if (tm_stats_enable(chunk_) != 0)
			throw std::bad_alloc();
	}

	/* What was counted: after count(), or of a pool. All 0 where nothing was. */
	struct tm_stats stats() const
	{
		struct tm_stats out = {};
		tm_stats(chunk_, &out);
		return out;
	}

	/* A string below this one. */
	char *string(std::string_view text) const
	{
		return static_cast<char *>(
			detail::checked(talloc_strndup(chunk_, text.data(), text.size())));
	}

	/*
	 * A T below this one, made from `args`; its destructor runs before its memory is freed. A
	 * T that takes an allocator, and is given none, takes its memory below itself.
	 */
	template <class T, class... Args> T *make(Args &&...args) const
	{
		static_assert(alignof(T) <= alignment, "chunks are aligned to 16 bytes");
		void *memory = detail::checked(
			talloc_named_const(chunk_, sizeof(T), type_name<T>));
		T *object = construct<T>(memory, std::forward<Args>(args)...);
		if constexpr (!std::is_trivially_destructible_v<T>)
			_talloc_set_destructor(object, detail::destroy<T>);
		return object;
	}

	/* Moves `chunk`, with all below it, to this one. */
	template <class T> T *steal(T *chunk) const
	{
		return static_cast<T *>(
			detail::checked(_talloc_steal_loc(chunk_, chunk, "tmempool::ref::steal")));
	}

	void free_children() const
	{
		talloc_free_children(chunk_);
	}

	void report(std::FILE *file) const
	{
		talloc_report_full(chunk_, file);
	}

	template <class T> allocator<T> get_allocator() const noexcept
	{
		return allocator<T>(chunk_);
	}

    protected:
	void *chunk_;

    private:
	template <class T, class... Args> static T *construct(void *memory, Args &&...args)
	{
		using own = allocator<std::byte>;

		try {
			if constexpr (std::uses_allocator_v<T, own> &&
				      std::is_constructible_v<T, Args..., own>)
				return ::new (memory) T(std::forward<Args>(args)..., own(memory));
			else
				return ::new (memory) T(std::forward<Args>(args)...);
		} catch (...) {
			_talloc_free(memory, "tmempool::ref::make");
			throw;
		}
	}
};

/* A tree of one's own: freed, with the destructors of all that was made in it, at the end. */
class context : public ref {
    public:
	/* A context with no parent. The name is copied. */
	explicit context(const char *name = "tmempool::context")
		: ref(detail::checked(talloc_named(nullptr, 0, "%s", name)))
	{
	}

	/* Takes over `chunk` from C; null owns nothing. */
	static context adopt(void *chunk) noexcept
	{
		return context(ref(chunk));
	}

	/* A pool with no parent, of `size` bytes for what is made below it. */
	static context pool_of(std::size_t size)
	{
		return context(ref(nullptr).pool(size));
	}

	/* A growable pool with no parent. */
	static context growable_pool_of(std::size_t first_size, std::size_t max_block = 0)
	{
		return context(ref(nullptr).growable_pool(first_size, max_block));
	}

	/*
	 * A context with no parent whose tree any number of threads use at once; it is freed by one
	 * of them, when no other uses it. `name` is kept as a pointer. See docs/threads.md.
	 */
	static context shared(const char *name = "tmempool::context::shared")
	{
		return context(ref(detail::checked(tm_shared_context(nullptr, name))));
	}

	/* The same as a pool of `size` bytes. */
	static context shared_pool_of(std::size_t size)
	{
		return context(ref(detail::checked(tm_shared_pool(nullptr, size))));
	}

	context(const context &) = delete;
	context &operator=(const context &) = delete;

	context(context &&other) noexcept : ref(other.release()) {}

	context &operator=(context &&other) noexcept
	{
		reset(other.release());
		return *this;
	}

	~context()
	{
		reset();
	}

	/* Gives the tree out of hand, to C or to another owner. */
	void *release() noexcept
	{
		return std::exchange(chunk_, nullptr);
	}

	/* Frees the tree, and owns `chunk` in its stead. */
	void reset(void *chunk = nullptr) noexcept
	{
		void *old = std::exchange(chunk_, chunk);

		if (old != nullptr && old != chunk)
			_talloc_free(old, "tmempool::context");
	}

    private:
	explicit context(ref chunk) noexcept : ref(chunk) {}
};

/*
 * A std::pmr::memory_resource that takes its memory from a context, which outlives what is allocated. Like the
 * context, it is used by one thread at a time. Any alignment; less than 256 MiB at a time.
 */
class memory_resource : public std::pmr::memory_resource {
    public:
	explicit memory_resource(const void *context) noexcept : context_(context) {}
	explicit memory_resource(const ref &context) noexcept : context_(context.get()) {}

	const void *context() const noexcept
	{
		return context_;
	}

    private:
	void *do_allocate(std::size_t bytes, std::size_t align) override
	{
		if (align <= alignment)
			return chunk(bytes);
		if (bytes > std::numeric_limits<std::size_t>::max() - align)
			throw std::bad_alloc();
		/* The chunk starts somewhere before; a word in front of the result says where. */
		void *start = chunk(bytes + align);
		auto at = reinterpret_cast<std::uintptr_t>(start);
		at = (at + align) & ~(align - 1);
		auto *aligned = static_cast<char *>(start) + (at - reinterpret_cast<std::uintptr_t>(start));
		std::memcpy(aligned - sizeof(start), &start, sizeof(start));
		return aligned;
	}

	void do_deallocate(void *at, std::size_t, std::size_t align) override
	{
		if (align > alignment)
			std::memcpy(&at, static_cast<char *>(at) - sizeof(at), sizeof(at));
		_talloc_free(at, "tmempool::memory_resource");
	}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		auto *same = dynamic_cast<const memory_resource *>(&other);
		return same != nullptr && same->context_ == context_;
	}

	void *chunk(std::size_t bytes) const
	{
		return detail::checked(
			talloc_named_const(context_, bytes, "tmempool::memory_resource"));
	}

	const void *context_;
};

/*
 * A std::pmr::memory_resource for what goes all at once, as std::pmr::monotonic_buffer_resource is: it cuts what is
 * allocated off blocks of a growable pool of its own, and to give something back does nothing. release() takes all
 * back and keeps the memory for the next use. The pool is freed with the resource, or with `parent`: the resource must
 * not be used from then on, nor outlive it. Used by one thread at a time. Any alignment; less than 256 MiB at a time.
 */
class monotonic_resource : public std::pmr::memory_resource {
    public:
	explicit monotonic_resource(std::size_t first_size = 4096, const void *parent = nullptr)
		: pool_(detail::checked(tm_pool_growable(parent, first_size, 0)))
	{
	}

	monotonic_resource(const monotonic_resource &) = delete;
	monotonic_resource &operator=(const monotonic_resource &) = delete;

	~monotonic_resource() override
	{
		_talloc_free(pool_, "tmempool::monotonic_resource");
	}

	/* All that was allocated is gone, and the memory is used again. */
	void release() noexcept
	{
		low_ = high_ = nullptr;
		tm_reset(pool_);
	}

	/* The pool, for tm_pool_set_keep(), tm_stats() and tm_limit(). */
	void *pool() const noexcept
	{
		return pool_;
	}

    private:
	static constexpr std::size_t piece = 2048;

	void *do_allocate(std::size_t bytes, std::size_t align) override
	{
		/* Nothing, too, has a place of its own. */
		bytes += bytes == 0;
		std::size_t rest = static_cast<std::size_t>(high_ - low_);
		std::size_t skip = -reinterpret_cast<std::uintptr_t>(low_) & (align - 1);
		if (bytes > rest || skip > rest - bytes)
			return allocate_slowly(bytes, align);
		char *at = low_ + skip;
		low_ = at + bytes;
		return at;
	}

	void *allocate_slowly(std::size_t bytes, std::size_t align)
	{
		std::size_t room = bytes + (align > alignment ? align - alignment : 0);
		if (room < bytes)
			throw std::bad_alloc();
		if (room > piece / 4) {
			void *at = detail::checked(tm_palloc(pool_, room));
			return std::align(align, bytes, at, room);
		}
		low_ = static_cast<char *>(detail::checked(tm_palloc(pool_, piece)));
		high_ = low_ + piece;
		return do_allocate(bytes, align);
	}

	void do_deallocate(void *, std::size_t, std::size_t) override {}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		return this == &other;
	}

	void *pool_;
	/* What is left of the last piece of the pool. */
	char *low_ = nullptr;
	char *high_ = nullptr;
};

/* Who uses a MemoryPool. */
enum class threads {
	one, /* one thread at a time: no lock, no call of the library but for each new block */
	many /* any number at once: each has free elements at hand, and most calls take no lock */
};

namespace detail {

/* What a MemoryPool takes its slots from: blocks of its own, for one thread at a time. */
template <std::size_t Size, std::size_t Align, std::size_t BlockSize, bool Zero> class slots_of_one {
    public:
	explicit slots_of_one(const void *parent)
		: context_(checked(talloc_named_const(parent, 0, "tmempool::MemoryPool")))
	{
	}

	~slots_of_one()
	{
		_talloc_free(context_, "tmempool::MemoryPool");
	}

	void *take()
	{
		if (free_ != nullptr) {
			slot *taken = free_;
			free_ = taken->next;
			return taken;
		}
		if (fresh_ == end_)
			add_block();
		void *taken = fresh_;
		fresh_ += stride;
		return taken;
	}

	void give(void *at) noexcept
	{
		if constexpr (Zero)
			std::memset(at, 0, Size);
		free_ = ::new (at) slot{free_};
	}

	/* Gives room to as many more without a further block. */
	void reserve(std::size_t more)
	{
		while (static_cast<std::size_t>(end_ - fresh_) / stride < more) {
			std::size_t rest = static_cast<std::size_t>(end_ - fresh_) / stride;
			for (; fresh_ != end_; fresh_ += stride)
				free_ = ::new (static_cast<void *>(fresh_)) slot{free_};
			more -= rest;
			add_block();
		}
	}

    private:
	struct slot {
		slot *next;
	};

	static constexpr std::size_t align = Align > alignof(slot) ? Align : alignof(slot);
	static constexpr std::size_t stride =
		((Size > sizeof(slot) ? Size : sizeof(slot)) + align - 1) / align * align;
	static constexpr std::size_t slack = align > alignment ? align - alignment : 0;
	static constexpr std::size_t count = (BlockSize - slack) / stride;

	static_assert(BlockSize >= slack + stride, "a block has room for one element at least");

	void add_block()
	{
		char *block = static_cast<char *>(checked(
			talloc_named_const(context_, BlockSize, "tmempool::MemoryPool block")));
		block += (align - reinterpret_cast<std::uintptr_t>(block) % align) % align;
		fresh_ = block;
		end_ = block + count * stride;
	}

	void *context_;
	slot *free_ = nullptr;
	char *fresh_ = nullptr;
	char *end_ = nullptr;
};

/*
 * The same from an object cache, for any number of threads. Slots of more than 32 bytes share no line of the processor's caches,
 * so that threads do not wait for each other where they use neighbours.
 */
template <std::size_t Size, std::size_t Align, std::size_t BlockSize, bool Zero> class slots_of_many {
    public:
	explicit slots_of_many(const void *parent)
		: cache_(tm_cache_create(parent, "tmempool::MemoryPool", Size, Align,
					 (Zero ? TM_CACHE_ZERO_ON_FREE : 0) |
						 (Size > 32 ? TM_CACHE_HWALIGN : 0),
					 nullptr, nullptr))
	{
		checked(cache_);
	}

	~slots_of_many()
	{
		_talloc_free(cache_, "tmempool::MemoryPool");
	}

	void *take()
	{
		return checked(tm_cache_alloc(cache_));
	}

	void give(void *at) noexcept
	{
		tm_cache_free(cache_, at);
	}

    private:
	tm_cache *cache_;
};

} /* namespace detail */

/*
 * A pool of elements of type T: memory of elements that were given back is used for the next ones. With
 * ZeroOnDeallocate that memory is filled with zeros when it is given back. `Threads` says who may use it; a pool of
 * one thread takes blocks of BlockSize bytes, one of many those of an object cache, with slots of whole lines of the processor's
 * caches for elements of more than 32 bytes. One of many is for elements that go from thread to thread; threads that keep theirs
 * to themselves are faster with a pool each.
 *
 * The pool is a context: with a parent, its memory is gone when the parent is freed, and the pool must not be used
 * from then on, nor outlive it. Its end gives all memory back, but runs no destructor of elements that are still in
 * use. Where there is no memory, std::bad_alloc is thrown.
 *
 *   tmempool::MemoryPool<Node> pool;
 *   Node *node = pool.newElement(1, "first");
 *   pool.deleteElement(node);
 */
template <class T, std::size_t BlockSize = 4096, bool ZeroOnDeallocate = true,
	  threads Threads = threads::one>
class MemoryPool {
	using slots = std::conditional_t<
		Threads == threads::one,
		detail::slots_of_one<sizeof(T), alignof(T), BlockSize, ZeroOnDeallocate>,
		detail::slots_of_many<sizeof(T), alignof(T), BlockSize, ZeroOnDeallocate>>;

    public:
	using value_type = T;
	using pointer = T *;
	using reference = T &;
	using const_pointer = const T *;
	using const_reference = const T &;
	using size_type = std::size_t;
	using difference_type = std::ptrdiff_t;

	explicit MemoryPool(const void *parent = nullptr) : slots_(parent) {}
	explicit MemoryPool(const ref &parent) : slots_(parent.get()) {}

	MemoryPool(const MemoryPool &) = delete;
	MemoryPool &operator=(const MemoryPool &) = delete;

	/* Room for one T, not constructed. `count` is 1: more is refused with std::bad_array_new_length. */
	T *allocate(std::size_t count = 1)
	{
		if (count != 1)
			throw std::bad_array_new_length();
		return static_cast<T *>(slots_.take());
	}

	/* Takes it back. Null is nothing. */
	void deallocate(T *element, std::size_t = 1) noexcept
	{
		if (element != nullptr)
			slots_.give(element);
	}

	template <class U, class... Args> void construct(U *at, Args &&...args)
	{
		::new (static_cast<void *>(at)) U(std::forward<Args>(args)...);
	}

	template <class U> void destroy(U *at)
	{
		at->~U();
	}

	/* A T made from `args`. Where its constructor throws, its memory is taken back. */
	template <class... Args> T *newElement(Args &&...args)
	{
		T *at = allocate();
		if constexpr (std::is_nothrow_constructible_v<T, Args...>) {
			construct(at, std::forward<Args>(args)...);
		} else {
			try {
				construct(at, std::forward<Args>(args)...);
			} catch (...) {
				deallocate(at);
				throw;
			}
		}
		return at;
	}

	/* Destroys it, and takes its memory back. Null is nothing. */
	void deleteElement(T *element)
	{
		if (element != nullptr) {
			destroy(element);
			deallocate(element);
		}
	}

	/* Takes the blocks for `count` more elements now; of one thread only. */
	void reserve(std::size_t count)
	{
		static_assert(Threads == threads::one, "a pool of many threads has no reserve");
		slots_.reserve(count);
	}

    private:
	slots slots_;
};

namespace detail {

/* Owns what lives in a tree. With a parent it must not outlive it, unless it is released to it. */
template <class Resident> class owner {
    public:
	owner(const owner &) = delete;
	owner &operator=(const owner &) = delete;
	owner(owner &&other) noexcept : resident_(other.release()) {}

	owner &operator=(owner &&other) noexcept
	{
		if (this != &other) {
			end();
			resident_ = other.release();
		}
		return *this;
	}

	~owner()
	{
		end();
	}

	Resident *get() const noexcept
	{
		return resident_;
	}

	/* Leaves it to its parent. */
	Resident *release() noexcept
	{
		return std::exchange(resident_, nullptr);
	}

    protected:
	explicit owner(Resident *resident) : resident_(static_cast<Resident *>(checked(resident))) {}

	Resident *resident_;

    private:
	void end() noexcept
	{
		if (resident_ != nullptr)
			_talloc_free(release(), "tmempool");
	}
};

} /* namespace detail */

/*
 * A cache of objects of type T that stay constructed between uses: they are default-constructed when they are handed
 * out for the first time, and destroyed when their memory goes back. Any number of threads at once. Its constructor
 * must not throw: it runs in the library.
 */
template <class T> class cache : public detail::owner<tm_cache> {
    public:
	explicit cache(const void *parent = nullptr, unsigned flags = 0)
		: owner(tm_cache_create(
			  parent, type_name<T>, sizeof(T), alignof(T), flags,
			  std::is_trivially_default_constructible_v<T>
				  ? nullptr
				  : +[](void *at) { ::new (at) T; },
			  std::is_trivially_destructible_v<T>
				  ? nullptr
				  : +[](void *at) { static_cast<T *>(at)->~T(); }))
	{
		static_assert(std::is_nothrow_default_constructible_v<T>,
			      "objects of a cache are constructed where nothing can be thrown");
	}

	/* Gives an object back to its cache. */
	struct deleter {
		tm_cache *cache;
		void operator()(T *object) const noexcept
		{
			tm_cache_free(cache, object);
		}
	};
	using pointer = std::unique_ptr<T, deleter>;

	/* An object as its last user left it, which goes back at the end of the pointer. */
	pointer take()
	{
		return pointer(allocate(), deleter{resident_});
	}

	T *allocate()
	{
		return static_cast<T *>(detail::checked(tm_cache_alloc(resident_)));
	}

	void free(T *object) noexcept
	{
		tm_cache_free(resident_, object);
	}

	/* Gives slabs that hold nothing back to the system: how many bytes. */
	std::size_t shrink()
	{
		return tm_cache_shrink(resident_);
	}

	struct tm_cache_stats stats() const
	{
		struct tm_cache_stats out = {};
		tm_cache_stats(resident_, &out);
		return out;
	}
};

/* A reserve of `min_nr` elements, so that an allocation waits, but does not fail. Any number of threads at once. */
class mempool : public detail::owner<tm_mempool> {
    public:
	/* Elements of `size` bytes. */
	mempool(std::size_t min_nr, std::size_t size, const void *parent = nullptr)
		: owner(tm_mempool_create_kmalloc(parent, min_nr, size))
	{
	}

	/* Elements from a source of one's own. */
	mempool(std::size_t min_nr, tm_mempool_alloc_fn take, tm_mempool_free_fn give, void *data,
		const void *parent = nullptr)
		: owner(tm_mempool_create(parent, min_nr, take, give, data))
	{
	}

	/* Objects of a cache. */
	template <class T>
	mempool(std::size_t min_nr, const cache<T> &objects, const void *parent = nullptr)
		: owner(tm_mempool_create_cache(parent, min_nr, objects.get()))
	{
	}

	/* An element: waits for one where there is none. */
	void *allocate()
	{
		return detail::checked(tm_mempool_alloc(resident_, 0));
	}

	/* An element, or null where there is none now. */
	void *try_allocate() noexcept
	{
		return tm_mempool_alloc(resident_, TM_NOWAIT);
	}

	/* An element, or null where none has come back in time. */
	template <class Rep, class Period>
	void *try_allocate_for(std::chrono::duration<Rep, Period> timeout) noexcept
	{
		using nanoseconds = std::chrono::duration<std::uint64_t, std::nano>;
		if (timeout <= timeout.zero())
			return tm_mempool_alloc_timeout(resident_, 0);
		/* What does not fit into a number of nanoseconds, 584 years, is for ever. */
		if (std::chrono::duration<double>(timeout) >= std::chrono::duration<double>(nanoseconds::max()))
			return tm_mempool_alloc_timeout(resident_, nanoseconds::max().count());
		return tm_mempool_alloc_timeout(resident_, std::chrono::duration_cast<nanoseconds>(timeout).count());
	}

	void free(void *element) noexcept
	{
		tm_mempool_free(resident_, element);
	}

	void resize(std::size_t min_nr)
	{
		if (tm_mempool_resize(resident_, min_nr) != 0)
			throw std::bad_alloc();
	}
};

/* Ranges of memory that the user brings, managed in units of 1 << order bytes. Any number of threads at once. */
class genpool : public detail::owner<tm_genpool> {
    public:
	explicit genpool(unsigned order, const void *parent = nullptr)
		: owner(tm_genpool_create(parent, order))
	{
	}

	/* Says whether the range was taken in: it does not overlap, is aligned and large enough. */
	bool add(void *start, std::size_t size)
	{
		return tm_genpool_add(resident_, start, size) == 0;
	}

	/* A place of `size` bytes, or null. */
	void *allocate(std::size_t size) noexcept
	{
		return tm_genpool_alloc(resident_, size);
	}

	void *allocate(std::size_t size, tm_genpool_algo algorithm, std::size_t align = 0) noexcept
	{
		return tm_genpool_alloc_algo(resident_, size, algorithm, align);
	}

	void *allocate_at(void *at, std::size_t size) noexcept
	{
		return tm_genpool_alloc_fixed(resident_, at, size);
	}

	/* Says whether it was one. */
	bool free(void *at, std::size_t size) noexcept
	{
		return tm_genpool_free(resident_, at, size) == 0;
	}

	std::size_t available() const noexcept
	{
		return tm_genpool_avail(resident_);
	}

	std::size_t size() const noexcept
	{
		return tm_genpool_size(resident_);
	}

	bool contains(const void *at, std::size_t size) const noexcept
	{
		return tm_genpool_has_addr(resident_, at, size) != 0;
	}
};

} /* namespace tmempool */

#endif
