//! Members given back one after the other, while no foreign code runs: what is the same for all of one block is looked up
//! once, and their pool learns of them when the run ends.
//!
//! Between two members of a run the pool's lock is held, if it has one; so who has a run takes no other lock of a pool, and
//! [ends](Run::end) it before, and before it goes on with what is no member.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use super::block::{Block, room_for};
use super::{PoolRef, Zone};
use crate::hint::seldom;
use crate::mem::lock::Held;
use crate::tree::chunk::Chunk;
use crate::tree::sight::{Found, Suspect};

/// Those who wait for the lock do so for no more than so many members.
const MOST: usize = 256;

/// See the module. Each free of a list has one, mostly for nothing: so no more is written than that it is not open, in one place.
#[repr(C)]
pub(in crate::tree) struct Run {
    /// Where the block lies whose members they are, and how long it is: 0 if the run is not open.
    start: usize,
    length: usize,
    open: MaybeUninit<Open>,
}

/// Members of one block.
struct Open {
    block: &'static Block,
    zone: &'static Zone,
    pool: PoolRef,
    held: Option<Held<'static>>,
    /// How many more there may be.
    left: usize,
    /// Bytes of their payloads.
    bytes: usize,
}

/// What became of a member.
pub(crate) enum Fate {
    /// It is gone; what its next sibling was, and whether others wait for its pool from now on, until the run ends.
    Gone { next: Option<Chunk>, keeps_others_waiting: bool },
    /// It has children, and nothing else to act on. Nothing has happened.
    Parent,
    /// It is no member, or has more to act on. Nothing has happened.
    Other,
}

impl Run {
    #[inline(always)]
    pub(in crate::tree) fn new() -> Run {
        Run { start: 0, length: 0, open: MaybeUninit::uninit() }
    }

    /// Gives back the member that `suspect` is, which is out of the tree but for its next sibling, if it has nothing to act on
    /// and no children.
    #[inline]
    pub(in crate::tree) fn release(&mut self, suspect: Suspect, location: *const c_char) -> Fate {
        let Some((block, member)) = Block::of_live_member(suspect, 0) else { return Fate::Other };
        if member.child.is_some() {
            return Fate::Parent;
        }
        let next = member.next.get();
        let keeps_others_waiting = self.give(member, || block, location);
        Fate::Gone { next, keeps_others_waiting }
    }

    /// Gives back `member`, a [plain one](Found::is_plain_member), which is out of the tree and has no children. Says whether others
    /// wait for its pool from now on, until the run ends.
    #[inline(always)]
    pub(in crate::tree) fn release_plain(&mut self, member: Found, location: *const c_char) -> bool {
        // SAFETY: it lies in a block that has the span to itself.
        self.give(member.chunk, || unsafe { Block::of_span(member.span) }, location)
    }

    /// Gives back `member`, which is out of the tree and has nothing to act on.
    #[inline]
    pub(in crate::tree) fn release_member(&mut self, member: Chunk, location: *const c_char) {
        self.give(member, || Block::of_member(member), location);
    }

    /// Gives back `member`, which lies in the block that `find` finds. Says whether it has taken a lock for that, and keeps it.
    #[inline(always)]
    fn give(
        &mut self,
        member: Chunk,
        find: impl FnOnce() -> &'static Block,
        location: *const c_char,
    ) -> bool {
        let at = member.address().addr().get();
        let mut keeps_lock = false;
        if at.wrapping_sub(self.start) >= self.length {
            seldom();
            keeps_lock = self.begin(find(), location);
        }
        // SAFETY: it is open.
        let open = unsafe { self.open.assume_init_mut() };
        let size = member.size();
        member.stamp_freed(location);
        open.zone.put_back(open.block, at, room_for(size), location);
        open.bytes += size;
        open.left -= 1;
        if open.left == 0 {
            self.end(location);
        }
        keeps_lock
    }

    /// It is open, for members of `block`. Says whether there is a lock.
    #[inline(never)]
    fn begin(&mut self, block: &'static Block, location: *const c_char) -> bool {
        self.end(location);
        let held = block.hold();
        let has_lock = held.is_some();
        let pool = PoolRef(block.pool());
        let zone = pool.zone_of(block);
        (self.start, self.length) = block.extent();
        self.open.write(Open { block, zone, pool, held, left: MOST, bytes: 0 });
        has_lock
    }

    /// The pool learns of what it got back.
    #[inline(always)]
    pub(in crate::tree) fn end(&mut self, location: *const c_char) {
        if self.length != 0 {
            self.end_now(location);
        }
    }

    #[inline(never)]
    fn end_now(&mut self, location: *const c_char) {
        self.length = 0;
        // SAFETY: it was open until here, and nobody takes this twice.
        let Open { zone, pool, held, left, bytes, .. } = unsafe { self.open.assume_init_read() };
        pool.tally.remove(bytes);
        pool.lost(zone, MOST - left, held, location);
    }
}
