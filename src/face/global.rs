//! The allocator of a whole Rust program, so that its memory can be seen as a tree.
//!
//! ```text
//! global                       what no scope had
//! ├ allocation …
//! ├ server                     what `with_context(&server, …)` had, and is still in use
//! │ ├ allocation …
//! │ └ request
//! └ …
//! ```
//! An allocation outlives the scope that made it, and even the context: it belongs to whoever has it. So it is no
//! child of the context, but of a *shadow* of it in a tree of its own. When a context is freed, its shadow stays
//! until the last of its allocations has gone. All shadows and allocations are one tree, under one lock, for
//! any thread may free what another has allocated.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ffi::CStr;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::alloc::System;

use super::context::{Context, or_panic};
use super::kind::Kind;
use super::place::{self, PAYLOAD_ALIGN};
use super::state::{LOCATION, StateRef};
use super::tree::Report;
use crate::error::AllocError;
use crate::mem::lock::Held;
use crate::ops;
use crate::process;
use crate::tree::Chunk;

/// The name of the root.
const ROOT: &CStr = c"global";
/// The name of an allocation.
const NAME: &CStr = c"allocation";

/// The payload of the root; null before the first allocation.
static ROOT_CHUNK: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(ptr::null_mut());

std::thread_local! {
    /// The shadow of the context in scope. No destructor, so that it serves to the thread's end.
    static CURRENT: Cell<Option<Chunk>> = const { Cell::new(None) };
}

/// The payload of a shadow, with the name behind it.
#[repr(C)]
struct Shadow {
    /// The context is gone.
    retired: Cell<bool>,
}

/// An allocator for `#[global_allocator]`: what a thread allocates goes to its context in scope, see
/// [`with_context`], else to a root, and shows in [`global_report`].
///
/// Every allocation takes a lock and has a header of 48 bytes: it is there to look at a program, not to
/// make one fast. Blocks of 256 MiB and more come from the system, and do not show.
///
/// ```
/// use tmempool::{Context, GlobalContext, global_report, with_context};
///
/// #[global_allocator]
/// static GLOBAL: GlobalContext = GlobalContext;
///
/// let server = Context::new("server");
/// let numbers = with_context(&server, || vec![0_u8; 1000]);
/// let report = global_report(1);
/// let shadow = report.iter().find(|node| node.name() == "server").unwrap();
/// assert!(shadow.total_size() >= 1000);
/// drop(server);
/// assert_eq!(numbers.len(), 1000); // it belongs to us
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalContext;

/// Has what this thread allocates in `f` counted for `ctx`, with [`GlobalContext`] as the global allocator. Without
/// it, `f` is just called.
///
/// # Panics
/// If there is no memory for the note of it.
///
/// ```
/// use tmempool::{Context, with_context};
///
/// let parser = Context::new("parser");
/// let words: Vec<String> = with_context(&parser, || "a b c".split(' ').map(String::from).collect());
/// ```
#[track_caller]
pub fn with_context<R, K: Kind>(ctx: &Context<K>, f: impl FnOnce() -> R) -> R {
    /// Ends the scope, even when it panics.
    struct Scope(Option<Chunk>);
    impl Drop for Scope {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let shadow = or_panic(shadow_of(ctx.state()));
    let _scope = Scope(CURRENT.replace(Some(shadow)));
    f()
}

/// What the program has allocated through [`GlobalContext`], by the contexts that were in scope, no deeper than
/// `max_depth`. Totals count all.
///
/// ```
/// println!("{}", tmempool::global_report(2));
/// ```
#[track_caller]
pub fn global_report(max_depth: u16) -> Report {
    let root = {
        let _held = hold();
        root()
    };
    // A panic allocates, and so would wait for the lock.
    let root = or_panic(root);
    // SAFETY: the root is never freed, and its tree is used only under the lock.
    Report::of_locked(root, i32::from(max_depth), hold)
}

fn hold() -> Held<'static> {
    process::GLOBAL_ALLOC.hold()
}

/// The root, made now if there is none. The lock is held.
fn root() -> Result<Chunk, AllocError> {
    if let Some(root) = NonNull::new(ROOT_CHUNK.load(Relaxed)) {
        // SAFETY: the root's payload; it is never freed.
        return Ok(unsafe { Chunk::of_payload(root) });
    }
    // SAFETY: the lock is held.
    let root = unsafe { ops::alloc(None, 0)? };
    root.set_name(ROOT.as_ptr());
    ROOT_CHUNK.store(root.ptr(), Relaxed);
    Ok(root)
}

/// The shadow of the context with `state`, below that of the next context above which has one.
fn shadow_of(state: StateRef) -> Result<Chunk, AllocError> {
    if let Some(shadow) = state.shadow().get() {
        return Ok(shadow);
    }
    state.need_destructor()?;
    let above = core::iter::successors(state.chunk().parent(), |chunk| chunk.parent());
    // SAFETY: the context is alive, and this thread uses its tree.
    let above = above.filter_map(|chunk| unsafe { StateRef::held_by(chunk) }).find_map(|s| s.shadow().get());
    let name = state.name();
    let _held = hold();
    let parent = above.map_or_else(root, Ok)?;
    // SAFETY: the lock is held; the payload is the shadow's, with the name and its end behind it.
    let shadow = unsafe {
        let shadow = ops::alloc(Some(parent), size_of::<Shadow>() + name.len() + 1)?;
        let at = shadow.ptr().cast::<Shadow>();
        at.write(Shadow { retired: Cell::new(false) });
        let text = at.add(1).cast::<u8>();
        text.copy_from_nonoverlapping(name.as_ptr(), name.len());
        text.add(name.len()).write(0);
        shadow.set_name(text.cast_const().cast());
        shadow
    };
    state.shadow().set(Some(shadow));
    Ok(shadow)
}

/// The context of `shadow` is gone.
pub(super) fn retire(shadow: Chunk) {
    let _held = hold();
    // SAFETY: a shadow lives until it is retired; the lock is held.
    unsafe { (*shadow.ptr().cast::<Shadow>()).retired.set(true) };
    free_if_idle(Some(shadow));
}

/// Frees `shadow`, and those above it, if they have nothing and belong to no context. The lock is held.
fn free_if_idle(mut shadow: Option<Chunk>) {
    while let Some(chunk) = shadow {
        let is_root = ptr::eq(chunk.ptr(), ROOT_CHUNK.load(Relaxed));
        if is_root || chunk.children().next().is_some() {
            return;
        }
        // SAFETY: what has allocations below it, and is not the root, is a shadow; the lock is held.
        let retired = unsafe { (*chunk.ptr().cast::<Shadow>()).retired.get() };
        if !retired {
            return;
        }
        shadow = chunk.parent();
        // SAFETY: nobody has it any more; it has no destructor.
        let freed = unsafe { ops::free(chunk, LOCATION.as_ptr()) };
        debug_assert!(freed.is_ok(), "{freed:?}");
    }
}

/// Whether a block of this layout is too large for a chunk.
const fn is_huge(layout: Layout) -> bool {
    match layout.size().checked_add(layout.align()) {
        Some(bytes) => bytes >= ops::MAX_SIZE,
        None => true,
    }
}

// SAFETY: blocks are chunks of their own, aligned as `place` says, until they are freed; every use of their tree is
// under the lock. Nothing here unwinds.
unsafe impl GlobalAlloc for GlobalContext {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout) {
            // SAFETY: the caller's.
            return unsafe { System.alloc(layout) };
        }
        let current = CURRENT.get();
        let _held = hold();
        let Ok(parent) = current.map_or_else(root, Ok) else { return ptr::null_mut() };
        // SAFETY: a context in scope is borrowed, so that its shadow lives; the lock is held.
        unsafe { place::alloc(parent, layout, NAME.as_ptr()) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_huge(layout) {
            // SAFETY: the caller's; such a block came from there.
            return unsafe { System.dealloc(at, layout) };
        }
        let _held = hold();
        // SAFETY: the caller's: the block came from `alloc`, with this layout; the lock is held.
        unsafe {
            let chunk = place::chunk_of(NonNull::new_unchecked(at), layout.align());
            let parent = chunk.parent();
            let freed = ops::free(chunk, LOCATION.as_ptr());
            debug_assert!(freed.is_ok(), "{freed:?}");
            free_if_idle(parent);
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's: the new size is a layout's with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if is_huge(layout) || is_huge(new) || layout.align() > PAYLOAD_ALIGN {
            // SAFETY: the caller's; two different blocks, each at least this long.
            unsafe {
                let to = self.alloc(new);
                if !to.is_null() {
                    to.copy_from_nonoverlapping(at, layout.size().min(new_size));
                    self.dealloc(at, layout);
                }
                return to;
            }
        }
        let _held = hold();
        // SAFETY: the caller's: the block came from `alloc`, with this layout; the lock is held.
        unsafe {
            let chunk = place::chunk_of(NonNull::new_unchecked(at), layout.align());
            match ops::realloc(chunk, new_size) {
                Ok((chunk, _)) => {
                    chunk.set_name(NAME.as_ptr());
                    chunk.ptr().cast()
                }
                Err(_) => ptr::null_mut(),
            }
        }
    }
}
