//! All chunks of the process that have no parent, found by looking through the spans.

use crate::mem::segment;
use crate::ops;
use crate::tree::{Chunk, store};

/// Visits every chunk without a parent.
///
/// # Safety
/// No other thread uses the allocator meanwhile.
pub unsafe fn roots(visit: &mut dyn FnMut(Chunk)) {
    // SAFETY: the caller's.
    unsafe {
        segment::for_each_span(&mut |span| {
            store::for_each_chunk(span, &mut |chunk| {
                if chunk.parent().is_none() && !ops::is_retired(chunk) {
                    visit(chunk);
                }
            });
        });
    }
}
