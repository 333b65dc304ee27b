//! Stacks of rounds: a magazine has two, and the depot keeps full ones. They change hands as they are, so that no round is
//! moved.
//!
//! ```text
//! │ head │ no object │ object │ … │ object │            │ … │       │
//!          bottom                   top                      end
//! ```
//! At the bottom stands a round that nobody takes for an object: a thread that takes what is on top need not ask whether
//! there is any, for it asks for the object's state in any case.
//!
//! How much is in a stack, and how many rounds it has room for, its users know: those of a cache are all of one size.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};

use super::slab::{NO_OBJECT, Round};
use crate::pools::books;

/// What lies in front of the rounds, in their slot. In a magazine, one of the links leads to the other stack.
#[repr(C)]
struct Head {
    /// 0, so that nobody who walks over slots takes it for a chunk.
    _not_a_tag: u64,
    _unused: u64,
    below: AtomicPtr<Round>,
    above: AtomicPtr<Round>,
}

/// A stack, by the round at its bottom. Copies are handles: whose it is, its users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stack(NonNull<Round>);

/// The state of what stands at the bottom.
static NONE: AtomicU8 = AtomicU8::new(NO_OBJECT);

impl Stack {
    /// An empty one, with room for `capacity` rounds. `None` without memory.
    pub(super) fn create(capacity: usize) -> Option<Stack> {
        let bytes = size_of::<Head>() + (capacity + 1) * size_of::<Round>();
        let at = books::take(bytes)?.cast::<Head>();
        let link = || AtomicPtr::new(null_mut());
        // SAFETY: a slot of this many bytes, nobody else's.
        unsafe {
            at.write(Head { _not_a_tag: 0, _unused: 0, below: link(), above: link() });
            let bottom = at.add(1).cast::<Round>();
            bottom.write(Round { object: NonNull::dangling(), state: NonNull::from_ref(&NONE) });
            Some(Stack(bottom))
        }
    }

    /// Gives its memory back; what is in it is dropped.
    ///
    /// # Safety
    /// Nobody uses it any more.
    pub(super) unsafe fn end(self) {
        // SAFETY: the caller's; the head lies in front.
        unsafe { books::give(self.0.cast::<Head>().sub(1).cast()) }
    }

    /// The stack whose bottom is there.
    ///
    /// # Safety
    /// There is one.
    pub(super) unsafe fn at(bottom: *mut Round) -> Stack {
        // SAFETY: the caller's.
        Stack(unsafe { NonNull::new_unchecked(bottom) })
    }

    /// The round at the bottom.
    pub(super) fn bottom(self) -> *mut Round {
        self.0.as_ptr()
    }

    /// The `n` rounds that have been in it longest.
    ///
    /// # Safety
    /// There are as many. Nobody takes them out while they are borrowed.
    pub(super) unsafe fn lowest<'a>(self, n: usize) -> &'a [Round] {
        // SAFETY: the caller's; they lie above the bottom.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().add(1), n) }
    }

    fn head<'a>(self) -> &'a Head {
        // SAFETY: the head lies in front, and its links are atomics.
        unsafe { self.0.cast::<Head>().sub(1).as_ref() }
    }

    /// The stack under it, in its magazine.
    pub(super) fn below(self) -> Option<Stack> {
        NonNull::new(self.head().below.load(Relaxed)).map(Stack)
    }

    /// The stack above it, in its magazine.
    pub(super) fn above(self) -> Option<Stack> {
        NonNull::new(self.head().above.load(Relaxed)).map(Stack)
    }

    /// Makes it the lower stack of a magazine, with `upper` above it.
    pub(super) fn put_under(self, upper: Stack) {
        self.head().below.store(null_mut(), Relaxed);
        self.head().above.store(upper.bottom(), Relaxed);
        upper.head().below.store(self.bottom(), Relaxed);
        upper.head().above.store(null_mut(), Relaxed);
    }
}
