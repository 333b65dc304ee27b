//! What is said of a pointer into a chunk: the words before it look like a header, or like none.

use std::ptr;

use tmempool::error::Fault;
use tmempool::ops;
use tmempool::process::tag_of_generation;
use tmempool::tree::Chunk;
use tmempool::tree::chunk::HEADER;

/// What would have the header of a chunk right before it, if a chunk began with `word` there.
fn look_at(chunk: Chunk, word: u32) -> Result<Chunk, Fault> {
    let header = chunk.ptr().cast::<u32>();
    // SAFETY: the chunk's first bytes; any pointer may be asked about.
    unsafe {
        header.write(word);
        Chunk::check(header.byte_add(HEADER).cast())
    }
}

/// A few chunks, and so a few generations of tags, have been made in this process.
#[test]
fn only_what_may_be_the_tag_of_a_freed_chunk_is_taken_for_one() {
    // SAFETY: the test's own.
    let chunk = unsafe { ops::alloc(None, 1000) }.unwrap();
    for generation in 0..2 {
        let tag = tag_of_generation(generation);
        assert!(!matches!(look_at(chunk, tag), Err(Fault::Unknown)), "generation {generation} was given out");
    }
    for generation in 1000..4096 {
        let tag = tag_of_generation(generation);
        assert!(
            matches!(look_at(chunk, tag), Err(Fault::Unknown)),
            "generation {generation} was never given out"
        );
    }
    for byte in 0..=u8::MAX {
        let word = u32::from_ne_bytes([byte; 4]);
        assert!(matches!(look_at(chunk, word), Err(Fault::Unknown)), "{word:#x} is said to be known");
    }
    // SAFETY: the test's own.
    unsafe { ops::free(chunk, ptr::null()) }.unwrap();
}
