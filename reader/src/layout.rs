//! The description of a heap (`tmempool::report::layout`), as it is read from another process.

use std::ptr;

use tmempool::offsets::Field;
pub use tmempool::report::layout::{Layout, MAGIC, Shape};

use crate::error::Error;
use crate::memory::{Memory, read_exactly};

/// The versions of the layout that this reader understands. They have the shape that this build has.
const KNOWN: [u32; 1] = [10];

/// Bytes of a description.
const BYTES: usize = size_of::<Layout>();

/// For messages.
pub(crate) fn known_versions() -> String {
    KNOWN.map(|version| version.to_string()).join(", ")
}

/// The description at `address`; `None` if there is none.
///
/// # Errors
/// There is one, of a version that is not known.
pub fn at(memory: &dyn Memory, address: u64) -> Result<Option<Layout>, Error> {
    let mut head = [0; size_of::<Layout>()];
    // A description of another version may be shorter, and be the last in its memory.
    let got = memory.read(address, &mut head);
    if got < MAGIC.len() + 8 || head[..MAGIC.len()] != MAGIC {
        return Ok(None);
    }
    let word = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let (version, size) = (word(MAGIC.len()), word(MAGIC.len() + 4));
    if !KNOWN.contains(&version) || size as usize != BYTES {
        return Err(Error::UnknownVersion { found: version });
    }
    if got < BYTES {
        return Ok(None);
    }
    // SAFETY: as many bytes as the struct has, all of whose fields are numbers and addresses that nobody follows
    // here: every pattern of bits is valid.
    let layout: Layout = unsafe { ptr::read_unaligned(head.as_ptr().cast()) };
    // A copy elsewhere, or one that the loader has not come to yet, is no description; nor is one that has been
    // overwritten: each version has one shape.
    Ok((layout.here.0.addr() as u64 == address && layout.shape == Shape::HERE).then_some(layout))
}

/// The number in `field` of the struct at the start of `bytes`, which has 1, 2, 4 or 8 bytes.
pub fn number(bytes: &[u8], field: Field) -> u64 {
    let at = usize::from(field.offset);
    let Some(bytes) = bytes.get(at..at + usize::from(field.bytes)) else { return 0 };
    let mut whole = [0; 8];
    match whole.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return 0,
    }
    u64::from_le_bytes(whole)
}

/// The number of `bytes` bytes that lies at `address` in `memory`.
pub fn number_at(memory: &dyn Memory, address: u64, bytes: usize) -> Option<u64> {
    let mut whole = [0; 8];
    read_exactly(memory, address, whole.get_mut(..bytes)?).then(|| u64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;

    #[test]
    fn the_version_of_this_build_is_known() {
        assert!(KNOWN.contains(&tmempool::report::layout::VERSION));
    }

    #[test]
    fn only_a_description_in_its_own_place_is_one() {
        let own = Process::open(std::process::id()).unwrap();
        let original = &tmempool::report::layout::LAYOUT;
        let mut copy = Box::new(*original);
        let address = |layout: &Layout| ptr::from_ref(layout).addr() as u64;
        assert_eq!(at(&own, address(original)).unwrap().unwrap().shape, Shape::HERE);
        assert!(at(&own, address(&copy)).unwrap().is_none());
        copy.version = 77;
        assert!(matches!(at(&own, address(&copy)), Err(Error::UnknownVersion { found: 77 })));
        assert!(at(&own, 16).unwrap().is_none());
    }

    #[test]
    fn numbers_of_any_width_are_read() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(number(&bytes, Field { offset: 1, bytes: 1 }), 1);
        assert_eq!(number(&bytes, Field { offset: 2, bytes: 4 }), 0x0504_0302);
        assert_eq!(number(&bytes, Field { offset: 1, bytes: 8 }), 0x0807_0605_0403_0201);
        assert_eq!(number(&bytes, Field { offset: 8, bytes: 8 }), 0);
    }
}
