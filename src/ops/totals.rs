//! Totals of a tree.

use super::entry::enter_surely;
use crate::tree::walk::{following, preorder};
use crate::tree::{Chunk, domain};

/// Bytes of payload in `chunk` and below it. References count for nothing, nor does what is on its way
/// out. A shared context below it is entered and counted; what is in it may have changed when this returns.
///
/// # Safety
/// See the [module](super).
pub unsafe fn total_size(chunk: Chunk) -> usize {
    sum(chunk, bytes)
}

/// How many chunks there are in the tree of `chunk`, itself and references included; 0 when it is on
/// its way out. As for [`total_size`].
///
/// # Safety
/// See the [module](super).
pub unsafe fn total_blocks(chunk: Chunk) -> usize {
    sum(chunk, |_| 1)
}

/// What one chunk counts for in totals of bytes.
pub(crate) fn bytes(chunk: Chunk) -> usize {
    if chunk.is_reference() { 0 } else { chunk.size() }
}

#[inline(always)]
fn sum(root: Chunk, count: impl Fn(Chunk) -> usize) -> usize {
    if root.is_leaving() {
        return 0;
    }
    let mut total = 0;
    let mut next = Some(root);
    while let Some(chunk) = next {
        let enters = domain::is_root(chunk) && chunk != root;
        total += if enters { inside(chunk, || preorder(chunk).map(&count).sum()) } else { count(chunk) };
        next = following(chunk, root, !enters);
    }
    total
}

/// Calls `look` inside the shared context `context`, which has not been entered. It calls no foreign code.
#[cold]
pub(crate) fn inside<R: Default>(context: Chunk, look: impl FnOnce() -> R) -> R {
    let Some(shared) = domain::peek(context).filter(|&shared| enter_surely(shared)) else {
        return R::default();
    };
    let seen = look();
    shared.leave();
    seen
}
