//! A zone: blocks of a pool whose room comes back together, when no member in them is alive and there are no bare
//! bytes.
//!
//! Room is cut off the newest block. A freed member that was the last of it gives its room back to the block's end;
//! any other stays where it is as a freed header. Only when the newest block has no room left is that looked at: a
//! *sweep* joins what is free side by side and puts it into bins (`bins.rs`), from which members are served from then
//! on. It pays for itself: the next one waits until as much has been freed as an eighth of the zone, or half of it in a
//! pool that can take another block instead.

use core::cell::Cell;
use core::ffi::c_char;
use core::ptr::{self, NonNull};

use super::bins::{self, Bins};
use super::block::{Block, Piece};
use crate::tree::chunk::{Chunk, HEADER};
use crate::tree::store;

/// A sweep waits until this part of the zone has been freed since the last, where another block would go beyond what the
/// pool announced.
pub(super) const EIGHTH: usize = 8;
/// The same where the pool grows.
pub(super) const HALF: usize = 2;

/// There was no sweep.
const UNSWEPT: usize = usize::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Zone {
    /// Members in it that are alive; bare bytes, if there are any, count as one.
    pub(super) live: Cell<usize>,
    /// There are bare bytes in its blocks (`bare.rs`).
    bare: Cell<bool>,
    /// The newest block first: the one that is cut from.
    pub(super) blocks: Cell<Option<NonNull<Block>>>,
    bins: Cell<Option<NonNull<Bins>>>,
    /// Bytes in its blocks.
    capacity: Cell<usize>,
    /// Bytes that were freed elsewhere than at the newest block's end, since the zone was last empty.
    scattered: Cell<usize>,
    /// What that was at the last sweep; [`UNSWEPT`] if there was none since then. Afterwards what is freed goes into
    /// the bins.
    swept: Cell<usize>,
}

impl Zone {
    pub(super) fn new(first: Option<NonNull<Block>>) -> Zone {
        let zone = Zone {
            live: Cell::new(0),
            bare: Cell::new(false),
            blocks: Cell::new(first),
            bins: Cell::new(None),
            capacity: Cell::new(0),
            scattered: Cell::new(0),
            swept: Cell::new(UNSWEPT),
        };
        zone.capacity.set(zone.newest().map_or(0, Block::capacity));
        zone
    }

    pub(super) fn newest(&self) -> Option<&Block> {
        // SAFETY: the blocks in the list are the zone's.
        self.blocks.get().map(|block| unsafe { block.as_ref() })
    }

    /// Whether what was freed has been looked at since the zone was last empty.
    #[inline(always)]
    pub(super) fn is_binning(&self) -> bool {
        self.swept.get() != UNSWEPT
    }

    /// Whether it has a record of bins.
    pub(super) fn has_bins(&self) -> bool {
        self.bins.get().is_some()
    }

    fn bins(&self) -> Option<&Bins> {
        // SAFETY: the record is the zone's until its pool is given back.
        self.bins.get().map(|bins| unsafe { bins.as_ref() })
    }

    /// `room` bytes for a member, from the end of the newest block, and the tag of the member.
    #[inline(always)]
    pub(super) fn cut(&self, room: usize) -> Option<(usize, u32)> {
        let newest = self.newest()?;
        let at = newest.cut(room)?;
        self.live.set(self.live.get() + 1);
        Some((at, newest.tag()))
    }

    /// `room` bytes for a member, from what was freed, and the tag of the member. The newest block has not so many left. A sweep
    /// is for no less than this `part` of the zone; `owner` is the pool's chunk.
    pub(super) fn reuse(&self, room: usize, part: usize, owner: Chunk) -> Option<(usize, u32)> {
        let at = self.take_piece(room).or_else(|| {
            let before = if self.is_binning() { self.swept.get() } else { 0 };
            let freed = self.scattered.get() - before;
            if freed < room.max(self.capacity.get() / part) {
                return None;
            }
            self.sweep(owner);
            self.newest()?.cut(room).or_else(|| self.take_piece(room))
        })?;
        self.live.set(self.live.get() + 1);
        // SAFETY: room of a block.
        Some((at, unsafe { Block::around(at) }.tag()))
    }

    /// Puts a new block in front, and what is left of the one before with the free pieces.
    pub(super) fn add(&self, block: NonNull<Block>) {
        if let Some(used_up) = self.newest() {
            let rest = used_up.rest();
            if rest > 0 {
                let at = used_up.bump.replace(used_up.end.get());
                self.keep(at, rest, ptr::null());
            }
        }
        // SAFETY: the block was made just now for this zone.
        let head = unsafe { block.as_ref() };
        head.next.set(self.blocks.get());
        self.blocks.set(Some(block));
        self.capacity.set(self.capacity.get() + head.capacity());
    }

    /// Takes back the `room` bytes of a freed member at `at`, whose header says so. It is [lost](Zone::lose) after that.
    #[inline(always)]
    pub(super) fn put_back(&self, block: &Block, at: usize, room: usize, location: *const c_char) {
        if at + room == block.bump.get() {
            block.bump.set(at);
        } else {
            self.scattered.set(self.scattered.get() + room);
            if self.is_binning() {
                self.keep(at, room, location);
            }
        }
    }

    /// So many members, whose room came back, are alive no more. Says whether they were the last.
    #[inline(always)]
    pub(super) fn lose(&self, members: usize) -> bool {
        let live = self.live.get() - members;
        self.live.set(live);
        live == 0
    }

    /// Whether it is as it would be after [`clear`](Zone::clear), given that nothing in it is alive.
    #[inline(always)]
    pub(super) fn is_tidy(&self) -> bool {
        self.scattered.get() == 0
            && self.newest().is_some_and(|b| b.next.get().is_none() && !b.overflow.get())
    }

    /// Nothing in it is alive: one block remains, the oldest, with all its room. Returns the others, older ones
    /// first.
    pub(super) fn clear(&self) -> Option<NonNull<Block>> {
        let mut others = None;
        let mut next = self.blocks.get();
        while let Some(block) = next {
            // SAFETY: the blocks in the list are the zone's.
            let head = unsafe { block.as_ref() };
            next = head.next.get();
            if next.is_none() {
                head.clear();
                self.blocks.set(Some(block));
                self.capacity.set(head.capacity());
            } else {
                head.next.set(others);
                others = Some(block);
            }
        }
        self.forget_all();
        others
    }

    /// Nothing in it is alive: it has no blocks any more. Returns them, older ones first.
    pub(super) fn clear_all(&self) -> Option<NonNull<Block>> {
        let others = self.clear();
        let oldest = self.blocks.take()?;
        // SAFETY: it was the zone's until just now.
        unsafe { oldest.as_ref() }.next.set(others);
        self.capacity.set(0);
        Some(oldest)
    }

    /// Takes out the blocks in which no member is alive, but not the `first` of a pool: returns them. Free pieces are
    /// forgotten. There are no bare bytes.
    pub(super) fn take_dead(&self, first: NonNull<Block>) -> Option<NonNull<Block>> {
        debug_assert!(!self.bare.get());
        if self.blocks.get() == Some(first) {
            return None;
        }
        let (mut dead, mut live) = (None, None);
        let mut next = self.blocks.take();
        while let Some(block) = next {
            // SAFETY: the blocks in the list were the zone's.
            let head = unsafe { block.as_ref() };
            next = head.next.get();
            let stays = block == first || head.has_live_members();
            let list = if stays { &mut live } else { &mut dead };
            head.next.set(list.replace(block));
        }
        // The other way round than they were found.
        self.capacity.set(0);
        while let Some(block) = live {
            // SAFETY: as above.
            let head = unsafe { block.as_ref() };
            live = head.next.replace(self.blocks.replace(Some(block)));
            self.capacity.set(self.capacity.get() + head.capacity());
        }
        self.forget_pieces();
        dead
    }

    fn forget_all(&self) {
        self.live.set(0);
        self.bare.set(false);
        self.forget_pieces();
    }

    fn forget_pieces(&self) {
        self.scattered.set(0);
        self.swept.set(UNSWEPT);
    }

    /// There are bare bytes from now on, if there were none.
    pub(super) fn hold_bare(&self) {
        if !self.bare.replace(true) {
            self.live.set(self.live.get() + 1);
        }
    }

    /// There are none any more.
    pub(super) fn drop_bare(&self) {
        if self.bare.replace(false) {
            self.live.set(self.live.get() - 1);
            self.for_each_block(&mut Block::clear_bare);
        }
    }

    /// Members that are alive.
    pub(super) fn members(&self) -> usize {
        self.live.get() - usize::from(self.bare.get())
    }

    /// Gives the record of the bins back. The pool is going.
    pub(super) fn drop_bins(&self) {
        if let Some(bins) = self.bins.take() {
            // SAFETY: taken with `take_record`, and nobody else's.
            unsafe { store::give_raw(bins.cast()) };
        }
    }

    /// A piece that is large enough, its rest kept.
    fn take_piece(&self, room: usize) -> Option<usize> {
        let piece = self.bins().filter(|_| self.is_binning())?.take(room)?;
        // SAFETY: free room of the zone.
        let has = unsafe { piece.as_ref() }.room();
        let at = piece.addr().get();
        self.keep(at + room, has - room, ptr::null());
        Some(at)
    }

    /// Keeps free room for later. It was freed at `location`, or is nobody's.
    fn keep(&self, at: usize, room: usize, location: *const c_char) {
        if room < HEADER {
            if room > 0 {
                Piece::pad(at, room);
            }
        } else if let Some(piece) = Piece::mark(at, room, None, location)
            && let Some(bins) = self.bins().filter(|_| self.is_binning())
        {
            bins.put(piece);
        }
    }

    /// Finds all that is free, joined where it lies side by side.
    #[cold]
    fn sweep(&self, owner: Chunk) {
        if !self.has_bins()
            && let Some(at) = store::take_record(owner, bins::SIZE)
        {
            // SAFETY: a record of this size, taken just now.
            self.bins.set(Some(unsafe { Bins::create(at) }));
        }
        let Some(bins) = self.bins() else { return };
        bins.clear();
        self.swept.set(self.scattered.get());
        let newest = self.blocks.get();
        let mut next = newest;
        let mut found = None;
        while let Some(block) = next {
            // SAFETY: the blocks in the list are the zone's.
            let head = unsafe { block.as_ref() };
            next = head.next.get();
            head.for_each_gap(&mut |at, room, location| {
                if Some(block) == newest && at + room == head.bump.get() {
                    head.bump.set(at);
                } else if room < HEADER {
                    Piece::pad(at, room);
                } else {
                    found = Piece::mark(at, room, found, location);
                }
            });
        }
        // The other way round than they were found: so those at low addresses are used first.
        while let Some(piece) = found {
            // SAFETY: marked just now.
            found = unsafe { piece.as_ref() }.next.get();
            bins.put(piece);
        }
    }

    /// Changes the room of the member at `at` without moving it. Says whether it could.
    pub(super) fn resize(&self, block: &Block, at: usize, old: usize, new: usize) -> bool {
        if at + old == block.bump.get() && block.end.get() - at >= new {
            block.bump.set(at + new);
        } else if new > old {
            return false;
        } else {
            self.scattered.set(self.scattered.get() + old - new);
            self.keep(at + new, old - new, ptr::null());
        }
        true
    }

    pub(super) fn for_each_member(&self, visit: &mut dyn FnMut(Chunk)) {
        self.for_each_block(&mut |block| block.for_each_member(visit));
    }

    /// Visits its blocks, which stay where they are.
    pub(super) fn for_each_block<'a>(&'a self, visit: &mut dyn FnMut(&'a Block)) {
        let mut next = self.newest();
        while let Some(block) = next {
            visit(block);
            // SAFETY: as in `newest`.
            next = block.next.get().map(|block| unsafe { block.as_ref() });
        }
    }
}
