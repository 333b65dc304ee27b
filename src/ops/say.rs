//! The say of a limit: the function that was set with it is asked before an allocation is refused, or when the soft
//! limit is passed, and may free something.
//!
//! It is foreign code: nothing has been taken for the allocation when it is called, and afterwards the verb begins
//! anew. The chunk that the allocation is for, the one with the limit, and the target of a reference (`reference.rs`)
//! cannot be freed or resized meanwhile, as if their destructors were running; all else may happen to the tree.

use super::entry::{come_back, gain};
use crate::error::AllocError;
use crate::mem::here;
use crate::tree::chunk::DYING;
use crate::tree::meter::{self, Meter};
use crate::tree::pool::Origin;
use crate::tree::side::{Running, SideRef};
use crate::tree::{Chunk, domain};

/// A function that finds room again and again, and loses it elsewhere, is called no more often than this for one
/// allocation.
const ENOUGH: usize = 1000;

/// What the function of a limit has answered.
struct Answer {
    /// It is worth another look.
    goes_on: bool,
    /// Less is used than before, or there is another limit.
    found_room: bool,
}

impl Answer {
    const NO: Answer = Answer { goes_on: false, found_room: false };
    /// Enough to pass a soft limit, but not a hard one.
    const NOT_ASKED: Answer = Answer { goes_on: true, found_room: false };
}

/// What has been asked on behalf of one allocation.
pub(super) struct Asked {
    times: usize,
    /// No function may be called.
    nobody: bool,
    /// What the allocation is for has gone to another shared context meanwhile.
    gone: bool,
}

impl Asked {
    pub(super) fn new() -> Asked {
        Asked { times: 0, nobody: false, gone: false }
    }

    /// For an allocation for which no function may be called: soft limits are passed, hard ones are not.
    pub(super) fn nobody() -> Asked {
        Asked { times: 0, nobody: true, gone: false }
    }

    /// The allocation below `parent` was refused in the end: those who count are told. If what it was for is gone, the
    /// calling thread has no right to look at that, not even for its parent.
    #[cold]
    pub(super) fn failed(&self, parent: impl FnOnce() -> Option<Chunk>, error: AllocError) {
        if !self.gone {
            failed(parent(), error);
        }
    }

    /// An allocation at `at` was refused by a limit: asks its function. Says whether it may be tried again.
    #[cold]
    pub(super) fn may_go_on(&mut self, at: Chunk) -> bool {
        self.times += 1;
        let mut meters = meter::above(Some(at), None);
        let Some((chunk, meter)) = meters.find(|(_, meter)| meter.wanted.get() > 0) else { return false };
        let wanted = meter.wanted.take();
        if self.times > ENOUGH || self.nobody && meter.is_full(wanted) {
            return false;
        }
        if !meter.is_full(wanted) {
            meter.warned.set(true);
            return self.nobody || self.ask(at, chunk, meter, wanted, meter.soft.get()).goes_on;
        }
        let answer = self.ask(at, chunk, meter, wanted, meter.hard.get());
        // Only who has found room, or made it, is asked again.
        answer.goes_on && answer.found_room
    }

    /// Calls the function of `meter`, which `chunk` has, for an allocation at `at`. In a shared context it is not asked while
    /// `chunk` is being freed.
    fn ask(&mut self, at: Chunk, chunk: Chunk, meter: &Meter, wanted: usize, limit: usize) -> Answer {
        let Some(say) = meter.say.get().filter(|_| !meter.asking.get()) else { return Answer::NO };
        let Ok(first) = shield(at) else { return Answer::NO };
        let held = domain::of(at);
        let second = match shield(chunk) {
            // Another thread may be freeing it, or its children, and will not wait for the answer.
            Ok(None) if held.is_some() && chunk != at => Err(Answer::NOT_ASKED),
            second => second.map_err(|_| Answer::NO),
        };
        let second = match second {
            Ok(second) => second,
            Err(answer) => {
                unshield(first);
                return answer;
            }
        };
        meter.asking.set(true);
        let (used, hard, data) = (meter.current.get(), meter.hard.get(), meter.data.get());
        if let Some(held) = held {
            held.pause();
        }
        // SAFETY: set for this chunk, with its word; the tree is valid, whatever it does to it.
        let goes_on = here::outside(|| unsafe { say(chunk.ptr(), used, wanted, limit, data) }) == 0;
        let found_room = {
            // First by itself: it may have gone elsewhere than what the allocation is for.
            let _there = gain(None, chunk);
            meter.asking.set(false);
            unshield(second);
            meter.current.get() < used || meter.hard.get() != hard
        };
        let away = come_back(held, held, at);
        // In another shared context, the allocation is a matter of other limits.
        self.gone = away.is_some();
        unshield(first);
        Answer { goes_on: goes_on && !self.gone, found_room }
    }
}

/// Keeps `chunk` from being freed or resized, unless something does so already.
pub(super) fn shield(chunk: Chunk) -> Result<Option<SideRef>, AllocError> {
    if chunk.has(DYING) {
        return Ok(None);
    }
    let side = chunk.side_or_new()?;
    if side.running.get() != Running::No {
        return Ok(None);
    }
    side.running.set(Running::Yes);
    Ok(Some(side))
}

/// Ends what [`shield`] has begun. The calling thread has the right to the chunk, wherever that is now.
pub(super) fn unshield(side: Option<SideRef>) {
    if let Some(side) = side {
        side.running.set(Running::No);
    }
}

/// An allocation below `parent` was refused for want of memory: those who count are told.
#[cold]
pub(super) fn failed(parent: Option<Chunk>, error: AllocError) {
    if error == AllocError::Refused {
        return;
    }
    if let Some(pool) = parent.and_then(Origin::serving) {
        pool.fail();
    }
    meter::failed(parent);
}
