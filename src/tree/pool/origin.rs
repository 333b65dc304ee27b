//! Where a member comes from: the pool that it was cut from, or that serves new children of a chunk, as it is known to
//! those who have a chunk and not the pool.
//!
//! It is known by one of its blocks. Once trees of two threads may draw on a pool, nothing is asked of its record before its
//! lock is held, and which record that is, neither: that of an orphan may move (`orphan.rs`). So each block says whether the
//! pool is shared, and which lock is its. That it is shared is said before a member gets to another thread, and stays as long
//! as one is there.
//!
//! The members of a pool that is not shared are children of its chunk, of other members, or of the parent of its chunk: these
//! are *beside* it. All of them are in one tree then, as long as nobody moves the chunk, or a member that is beside it, or puts in the place
//! of a member with children what is none, or takes the parent of a chunk that is being freed to another domain. Who does any
//! of these says first that the pool is shared. When a function is through with its work, and frees the pool that it did it in,
//! what it steals for its caller is beside the pool, most often.

use core::ffi::c_char;
use core::ptr;

use super::PoolRef;
use super::block::Block;
use super::members::Cut;
use crate::mem::shared::Shared;
use crate::tree::chunk::{Chunk, MEMBER};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(&'static Block);

impl Origin {
    /// The pool that `member` was cut from.
    #[inline(always)]
    pub(crate) fn of_member(member: Chunk) -> Origin {
        debug_assert!(member.has(MEMBER));
        Origin(Block::of_member(member))
    }

    /// The pool that has `block`.
    #[inline(always)]
    pub(super) fn of_block(block: &'static Block) -> Origin {
        Origin(block)
    }

    /// The pool that new children of `parent` are served from.
    #[inline(always)]
    pub(crate) fn serving(parent: Chunk) -> Option<Origin> {
        if parent.above_has(MEMBER) {
            Some(Origin::of_member(parent))
        } else {
            PoolRef::of_chunk(parent).map(|pool| Origin(pool.first()))
        }
    }

    /// Whether both are one pool. Of an orphan whose record moves between the two looks the answer may be no; it is asked for to
    /// mark pools as what an orphan with members in two trees is already.
    pub(crate) fn is_that_of(self, other: Origin) -> bool {
        ptr::eq(self.0, other.0) || self.with(|pool| pool) == other.with(|pool| pool)
    }

    /// A free of this pool must visit what lies below it.
    #[inline]
    pub(crate) fn set_irregular(self) {
        // What is shared is irregular already.
        if !self.0.shared.get() {
            PoolRef(self.0.pool()).set_irregular();
        }
    }

    /// A member goes to `to`, below which the pool does not serve.
    pub(crate) fn let_go(self, to: Option<Chunk>) {
        if !self.0.shared.get() {
            PoolRef(self.0.pool()).let_go(to);
        }
    }

    /// Room for a member of `size` bytes, but not from the pool of a shared context for who draws on it from elsewhere.
    #[inline(always)]
    pub(in crate::tree) fn cut(self, size: usize) -> Option<Cut> {
        let held = self.0.hold();
        let pool = PoolRef(self.0.pool());
        // A member may have left the pool's domain.
        if held.is_some() && pool.home.get().is_some() {
            return None;
        }
        let (at, tag) = pool.cut_held(size)?;
        Some(Cut { at, tag, _held: held })
    }

    /// A new member of `size` bytes for a tree of the domain `shared`, not in the tree yet. A member may have left for
    /// another domain than the pool's; then it is not served.
    pub(in crate::tree) fn member(self, size: usize, shared: Option<Shared>) -> Option<Chunk> {
        self.with(|pool| {
            if pool.home.get() != shared {
                return None;
            }
            let (at, tag) = pool.cut_held(size)?;
            // Before the lock is free again, as others walk from one to the next.
            // SAFETY: the room is free and nobody else's.
            Some(unsafe { Chunk::create(at, tag, size) })
        })
    }

    /// Makes `member` `size` bytes long without moving it: see [`PoolRef::resize_in_place`].
    pub(crate) fn resize_in_place(self, member: Chunk, size: usize) -> bool {
        self.with(|pool| pool.resize_in_place(self.0, member, size))
    }

    /// Whether members of this block count against a memory limit: it is beyond the room that was announced.
    pub(crate) fn counts(self) -> bool {
        self.0.beyond.get()
    }

    /// Whether one member alone lives in the announced room.
    pub(crate) fn has_one_announced(self) -> bool {
        self.with(|pool| pool.announced.live.get() == 1)
    }

    /// Slides `member` to the start of its pool's room: see [`PoolRef::slide`].
    pub(in crate::tree) fn slide(self, member: Chunk, size: usize, location: *const c_char) -> Option<Chunk> {
        self.with(|pool| pool.slide(self.0, member, size, location))
    }

    /// Makes `member`, a fresh one, a pool in name only, while nobody walks over it.
    pub(crate) fn make_nominal(self, member: Chunk) {
        self.with(|_| member.make_nominal());
    }

    /// An allocation that it should have served was refused.
    pub(crate) fn fail(self) {
        self.with(|pool| pool.tally.fail());
    }

    /// What `act` says, with the lock of the pool if it is shared.
    #[inline(always)]
    fn with<R>(self, act: impl FnOnce(PoolRef) -> R) -> R {
        let _held = self.0.hold();
        act(PoolRef(self.0.pool()))
    }
}
