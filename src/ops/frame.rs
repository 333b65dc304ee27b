//! Frees in progress, as far as a destructor can disturb them.
//!
//! While a destructor runs, the free that called it still has to come back to its root, and to the
//! parent that the root had, to which children go that refuse to die. The root is marked as dying, so that
//! nobody frees or moves it. If it is out of its parent's list already, who frees or moves that parent
//! would not find it: so the parent carries [`ANCHOR`], and whoever frees or moves such a chunk tells the
//! frames, which hang on the thread's heap.

use core::cell::Cell;
use core::ptr;

use crate::mem::threads;
use crate::tree::chunk::ANCHOR;
use crate::tree::{Chunk, store};

/// A free in progress.
#[derive(Debug)]
pub(super) struct Frame {
    root: Chunk,
    /// The root is out of its parent's list.
    detached: Cell<bool>,
    /// The root is to be freed when its children are: somebody asked for it meanwhile.
    doomed: Cell<bool>,
    outer: Cell<*const Frame>,
}

impl Frame {
    /// A frame for a free of `root`, or of what is below it.
    pub(super) fn new(root: Chunk) -> Frame {
        Frame { root, detached: Cell::new(false), doomed: Cell::new(false), outer: Cell::new(ptr::null()) }
    }

    /// The root has left its parent's list.
    pub(super) fn detached(self) -> Frame {
        self.set_detached();
        self
    }

    /// [`detached`](Frame::detached), for a frame that is in use.
    pub(super) fn set_detached(&self) {
        self.detached.set(true);
    }

    /// The parent that the root has, or had.
    fn anchor(&self) -> Option<Chunk> {
        if self.detached.get() { self.root.parent() } else { None }
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.doomed.get()
    }

    fn outer_frames(&self) -> impl Iterator<Item = &'static Frame> {
        from(self.outer.get())
    }

    /// Runs foreign code, which may do anything to anything.
    pub(super) fn during<T>(&self, foreign: impl FnOnce() -> T) -> T {
        let Some(heap) = store::own_heap(self.root) else { return foreign() };
        self.outer.set(from(heap.annex().get().cast()).next().map_or(ptr::null(), ptr::from_ref));
        heap.annex().set(ptr::from_ref(self).cast());
        if let Some(anchor) = self.anchor() {
            anchor.set_flags(ANCHOR);
        }
        let result = foreign();
        heap.annex().set(self.outer.get().cast());
        if let Some(anchor) = self.anchor()
            && !self.outer_frames().any(|frame| frame.anchor() == Some(anchor))
        {
            anchor.clear_flags(ANCHOR);
        }
        result
    }
}

/// All frames of the calling thread.
fn all() -> impl Iterator<Item = &'static Frame> {
    from(threads::current().map_or(ptr::null(), |heap| heap.annex().get().cast()))
}

/// The frames from `innermost` on. Those that a longjmp() out of a destructor has left behind lie beyond
/// the end of the stack, and are passed over.
fn from(innermost: *const Frame) -> impl Iterator<Item = &'static Frame> {
    let here = 0u8;
    let end_of_stack = (&raw const here).addr();
    let mut next = innermost;
    core::iter::from_fn(move || {
        while !next.is_null() && next.addr() < end_of_stack {
            // SAFETY: the memory of the stack stays readable; what it holds now is only a place to look
            // at further, and the first place in the living stack is the true one or none.
            next = unsafe { (*next).outer.get() };
        }
        // SAFETY: a frame in the living stack is on the list only while its `during` is.
        let frame = unsafe { next.as_ref() }?;
        next = frame.outer.get();
        Some(frame)
    })
}

/// The anchor `chunk` is about to be gone; `now` stands for it: where it moved, or its parent.
#[cold]
pub(super) fn replace(chunk: Chunk, now: Option<Chunk>) {
    for frame in all().filter(|frame| frame.anchor() == Some(chunk)) {
        frame.root.parent.set(now);
        if let Some(now) = now {
            now.set_flags(ANCHOR);
        }
    }
}

/// `chunk` is dying and somebody frees it. If it is only its children that are being freed, it goes
/// after them; if it is itself on the way out, there is nothing to do.
pub(super) fn doom(chunk: Chunk) {
    for frame in all().filter(|frame| frame.root == chunk) {
        frame.doomed.set(true);
    }
}
