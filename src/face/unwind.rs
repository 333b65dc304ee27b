//! Panics of values that are dropped in the middle of a free.
//!
//! The core calls destructors through C's calling convention, which no panic may cross. So a destructor of
//! this layer catches them ([`contain`]), goes on with what is left to drop, and the verb that had begun
//! the free ([`resume_after`]) resumes the first one when the tree is whole again: as `Vec` does, every
//! value is dropped once, and the panic goes on from where the drop was asked for. A further panic is
//! dropped, unless it meets the first one's unwinding; then the process aborts, as it does with `Vec`.
//!
//! Without `std` nothing can be caught: a panic in a value's `drop` aborts the process. It does so, too,
//! when a C program's `talloc_free()` has begun the free, for there is nobody to resume it.

#[cfg(feature = "std")]
mod with_std {
    use core::any::Any;
    use core::cell::Cell;
    use core::ptr;
    use std::boxed::Box;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    type Payload = Box<dyn Any + Send>;

    /// A verb of this thread that may drop values, on that verb's stack.
    struct Frame {
        first: Cell<Option<Payload>>,
        outer: *const Frame,
    }

    std::thread_local! {
        /// The innermost verb; null when there is none. No destructor, so that it serves to the thread's end.
        static INNERMOST: Cell<*const Frame> = const { Cell::new(ptr::null()) };
    }

    /// Does `verb`, and then resumes the first panic of the values that it dropped.
    #[inline]
    pub(in crate::face) fn resume_after<R>(verb: impl FnOnce() -> R) -> R {
        /// Takes the frame off the list, even if the verb itself should panic.
        struct Listed<'a>(&'a Frame);
        impl Drop for Listed<'_> {
            #[inline]
            fn drop(&mut self) {
                INNERMOST.set(self.0.outer);
            }
        }
        let frame = Frame { first: Cell::new(None), outer: INNERMOST.get() };
        INNERMOST.set(&raw const frame);
        let listed = Listed(&frame);
        let result = verb();
        drop(listed);
        if let Some(payload) = frame.first.take() {
            resume_unwind(payload);
        }
        result
    }

    /// Drops values by `step`, again after each panic, until it comes to its end.
    #[inline]
    pub(in crate::face) fn contain(mut step: impl FnMut()) {
        while let Err(payload) = catch_unwind(AssertUnwindSafe(&mut step)) {
            keep(payload);
        }
    }

    #[cold]
    fn keep(payload: Payload) {
        let frame = INNERMOST.get();
        if frame.is_null() {
            std::eprintln!("tmempool: a value's drop panicked in a free that Rust did not begin");
            std::process::abort();
        }
        // SAFETY: a frame stands in the list only while its verb runs, on this thread.
        let frame = unsafe { &*frame };
        match frame.first.take() {
            None => frame.first.set(Some(payload)),
            Some(first) => {
                frame.first.set(Some(first));
                // Its own drop could panic in turn.
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
                core::mem::forget(dropped);
            }
        }
    }
}

#[cfg(feature = "std")]
pub(super) use with_std::{contain, resume_after};

#[cfg(not(feature = "std"))]
#[inline]
pub(super) fn resume_after<R>(verb: impl FnOnce() -> R) -> R {
    verb()
}

/// A panic of `step` comes to the destructor's `extern "C"`, and aborts there.
#[cfg(not(feature = "std"))]
#[inline]
pub(super) fn contain(mut step: impl FnMut()) {
    step();
}
