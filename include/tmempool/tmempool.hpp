/*
 * tmempool.hpp: contexts as C++ objects, and an allocator for the standard containers. C++17.
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
 * Where memory is refused, std::bad_alloc is thrown. A destructor that throws ends the program.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TMEMPOOL_HPP
#define TMEMPOOL_HPP

#include <cstddef>
#include <cstdio>
#include <limits>
#include <memory>
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

} /* namespace tmempool */

#endif
