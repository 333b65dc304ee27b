/*
 * Linked into each program that runs under ThreadSanitizer with the runtime that
 * comes with Rust.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

/* Before any constructor: those of the library are watched already. */
extern void __tsan_init(void);
__attribute__((section(".preinit_array"), used)) static void (*start)(void) = __tsan_init;

/*
 * The runtime takes an exit handler that belongs to no library for one without an
 * argument. The library registers such a one that has (`src/mem/exit.rs`).
 */
int __wrap___cxa_atexit(void (*handler)(void *), void *argument, void *library)
{
	int (*real)(void (*)(void *), void *, void *);

	*(void **)&real = dlsym(RTLD_NEXT, "__cxa_atexit");
	return real(handler, argument, library);
}
