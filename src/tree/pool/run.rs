//! Members given back one after the other, while no foreign code runs: what is the same for all of one block is looked up
//! once, and their pool learns of them when the run ends.
//!
//! Between two members of a run the pool's lock is held, if it has one; so who has a run takes no other lock of a pool, and
//! [ends](Run::end) it before.

use core::ffi::c_char;
use core::ptr;

use super::block::{Block, room_for};
use super::{PoolRef, Zone};
use crate::mem::lock::Held;
use crate::tree::chunk::Chunk;
use crate::tree::sight::{Found, Suspect};

/// Those who wait for the lock do so for no more than so many members.
const MOST: usize = 256;

/// See the module.
pub(in crate::tree) struct Run(Option<Open>);

/// Members of one block.
struct Open {
    block: &'static Block,
    _held: Option<Held<'static>>,
    pool: PoolRef,
    /// How many there were, and the bytes of their payloads.
    members: usize,
    bytes: usize,
}

/// What became of a member.
pub(crate) enum Fate {
    /// It is gone; what its next sibling was.
    Gone(Option<Chunk>),
    /// It has children, and nothing else to act on. Nothing has happened.
    Parent,
    /// It is no member, or has more to act on. Nothing has happened.
    Other,
}

impl Run {
    pub(in crate::tree) const fn new() -> Run {
        Run(None)
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
        self.give(block, member, location);
        Fate::Gone(next)
    }

    /// Gives back `member`, a [plain one](crate::tree::sight::Sight::plain_member), which is out of the tree and has no children.
    #[inline(always)]
    pub(in crate::tree) fn release_plain(&mut self, member: Found, location: *const c_char) {
        // SAFETY: it lies in a block that has the span to itself.
        self.give(unsafe { Block::of_span(member.span) }, member.chunk, location);
    }

    /// Gives back `member`, which is out of the tree and has nothing to act on.
    #[inline]
    pub(in crate::tree) fn release_member(&mut self, member: Chunk, location: *const c_char) {
        self.give(Block::of_member(member), member, location);
    }

    #[inline(always)]
    fn give(&mut self, block: &'static Block, member: Chunk, location: *const c_char) {
        let is_its = |open: &&mut Open| ptr::eq(open.block, block) && open.members < MOST;
        let open = match self.0.as_mut().filter(is_its) {
            Some(open) => open,
            None => self.open(block, location),
        };
        open.members += 1;
        open.bytes += member.size();
        let (at, room) = (member.address().addr().get(), room_for(member.size()));
        member.stamp_freed(location);
        open.zone().put_back(block, at, room, location);
    }

    #[inline(never)]
    fn open(&mut self, block: &'static Block, location: *const c_char) -> &mut Open {
        self.end(location);
        let held = block.hold();
        let pool = PoolRef(block.pool());
        self.0.insert(Open { block, _held: held, pool, members: 0, bytes: 0 })
    }

    /// The pool learns of what it got back.
    #[inline]
    pub(in crate::tree) fn end(&mut self, location: *const c_char) {
        if let Some(open) = self.0.take() {
            open.end(location);
        }
    }
}

impl Open {
    fn zone(&self) -> &Zone {
        self.pool.zone(self.block)
    }

    #[inline(never)]
    fn end(self, location: *const c_char) {
        let Open { block, _held: held, pool, members, bytes } = self;
        pool.tally.remove(bytes);
        pool.lost(pool.zone(block), members, held, location);
    }
}
