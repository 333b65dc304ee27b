//! Orphans: pools whose own chunk has been freed while members of them live on elsewhere, and which go with the last of
//! these.
//!
//! An orphan keeps little more than they need. It takes no new blocks; those but the first in which nothing is alive go back
//! as it becomes one; and once nothing in the announced room is alive, the first goes, too: what lies in front of the pool's
//! payload, its record above all, moves to a slot of its own, and is the first block from then on, without room.
//! ```text
//! ├ Block ─┼ Pool ─┼ header of the pool's chunk, freed ┤
//! ```
//! Whoever has a member comes to the record by its block, and only with the pool's lock, if two threads may (`origin.rs`): so
//! it can move under that lock.

use core::ffi::c_char;

use super::block::{BLOCK, Block};
use super::zone::Zone;
use super::{FRONT, Pool, PoolRef, for_each_block};
use crate::mem::lock::Held;
use crate::mem::threads;
use crate::tree::store;

impl PoolRef {
    /// The pool's own chunk is gone; its members may live on elsewhere.
    pub(in crate::tree) fn chunk_freed(self, location: *const c_char) {
        let held = self.hold();
        if self.has_bare() {
            self.drop_bare();
        }
        self.forget_window();
        self.set_irregular();
        self.orphaned.set(true);
        self.shrink(held, location);
    }

    /// Gives back what no member of this orphan needs. With nothing alive at all, the pool goes: who holds the lock when
    /// the last of it dies sees that, and nobody else.
    pub(super) fn shrink(self, held: Option<Held<'static>>, location: *const c_char) {
        let (announced, overflow) = (self.announced.live.get(), self.overflow.live.get());
        if announced + overflow == 0 {
            drop(held);
            return self.give_back(location);
        }
        let first = self.first_block();
        let of_overflow =
            if overflow == 0 { self.overflow.clear_all() } else { self.overflow.take_dead(first) };
        let of_announced =
            if announced == 0 { self.announced.clear() } else { self.announced.take_dead(first) };
        self.spare_bytes.set(0);
        for list in [self.spare.take(), of_overflow, of_announced] {
            for_each_block(list, &mut |block| Block::give_back(block, location));
        }
        if announced == 0 {
            self.leave_first(location);
        }
    }

    /// Moves what lies in front of the payload out of the first block, in which nothing is alive, and gives that back, if it
    /// is much larger. Without memory for that, the pool stays where it is.
    fn leave_first(self, location: *const c_char) {
        let old = self.first_block();
        // SAFETY: the pool's.
        let is_large = unsafe { store::bytes_of(old.cast()) } >= 2 * FRONT;
        if !is_large {
            return;
        }
        let Some(taken) = threads::current().and_then(|heap| store::take_block(heap, FRONT, false)) else {
            return;
        };
        // SAFETY: a slot that is long enough, nobody else's; what is copied has no destructor, and what leads to itself in it
        // is set anew: there is no window, and no piece or member.
        let record = unsafe {
            let at = taken.at;
            old.cast::<u8>().copy_to_nonoverlapping(at, FRONT);
            let record = at.add(BLOCK).cast::<Pool>();
            let block = Block::create(taken, record, at.addr().get() + FRONT, 0);
            block.as_ref().join(self.first());
            (&raw mut (*record.as_ptr()).announced).write(Zone::new(Some(block)));
            record
        };
        self.announced.drop_bins();
        self.overflow.for_each_block(&mut |block| block.lead_to(record));
        Block::give_back(old, location);
    }
}
