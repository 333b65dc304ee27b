//! Totals of a tree.

use crate::tree::{Chunk, walk};

/// Bytes of payload in `chunk` and below it. References count for nothing, nor does what is on its way
/// out.
///
/// # Safety
/// See the [module](super).
pub unsafe fn total_size(chunk: Chunk) -> usize {
    if chunk.is_leaving() { 0 } else { walk::preorder(chunk).map(bytes).sum() }
}

/// How many chunks there are in the tree of `chunk`, itself and references included; 0 when it is on
/// its way out.
///
/// # Safety
/// See the [module](super).
pub unsafe fn total_blocks(chunk: Chunk) -> usize {
    if chunk.is_leaving() { 0 } else { walk::preorder(chunk).count() }
}

/// What one chunk counts for in totals of bytes.
pub(crate) fn bytes(chunk: Chunk) -> usize {
    if chunk.is_reference() { 0 } else { chunk.size() }
}
