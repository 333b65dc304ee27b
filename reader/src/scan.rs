//! All live chunks of a heap, found by looking through its spans, as the process itself would: segments by the
//! map, spans by their descriptors, chunks by the tags that agree with their span's or block's.
//!
//! Memory is copied a whole span at a time. The process may go on meanwhile, so nothing that is read is
//! believed: every size is held against the span that it lies in, and no link is followed here.

use crate::layout::{Layout, Shape, number, number_at};
use crate::memory::{Mapping, Memory};

/// Slots larger than this are looked at by their beginning; what else of them matters is read then.
const LARGE_SLOT: u64 = 4096;
/// Bytes of the beginning of a large slot or block: heads and headers, and a reference's payload.
const BEGINNING: usize = 1024;
/// The smallest slot, and header.
const SMALLEST: u64 = 16;
/// As many segments as the largest address space has, of 48 bits.
const MOST_SEGMENTS: u64 = 1 << 26;
/// Words of the segment map that are read at a time.
const WORDS: u64 = 4096;

/// A live chunk, as its header says.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    /// The address of its header.
    pub header: u64,
    /// Links: addresses of headers, or 0.
    pub parent: u64,
    /// The next older sibling.
    pub next: u64,
    /// The newest child, or 0.
    pub child: u64,
    /// Of a reference, what it refers to; else the name word.
    pub name: u64,
    /// Bytes of the payload.
    pub size: u32,
    /// Its flags.
    pub flags: u8,
    /// It is on its way out, and in no list.
    pub leaving: bool,
}

/// What has been found.
#[derive(Debug, Default)]
pub struct Scan {
    /// In the order of their addresses, once all has been [`settle`](Scan::settle)d.
    pub chunks: Vec<Raw>,
    /// Places that did not hold what their surroundings said.
    pub torn: u64,
}

impl Scan {
    /// No chunk is there twice: two blocks that say that they are at the same place have been torn.
    pub fn settle(&mut self) {
        self.chunks.sort_by_key(|chunk| chunk.header);
        let found = self.chunks.len();
        self.chunks.dedup_by_key(|chunk| chunk.header);
        self.torn += (found - self.chunks.len()) as u64;
    }
}

/// Looks through the heap that `layout` describes.
pub fn scan(memory: &dyn Memory, layout: &Layout, into: &mut Scan) {
    let mut scanner = Scanner { memory, shape: &layout.shape, into, buffer: Vec::new() };
    for base in segments(memory, layout) {
        scanner.segment(base);
    }
}

/// The segments of the heap, by address. Only where memory is mapped is the map asked.
fn segments(memory: &dyn Memory, layout: &Layout) -> Vec<u64> {
    let size = u64::from(layout.shape.segment);
    let map = layout.places.segment_map.0.addr() as u64;
    let last = (layout.places.segment_map_bits as u64).clamp(1, MOST_SEGMENTS) - 1;
    let mut found = Vec::new();
    let mut next_word = 0;
    for Mapping { start, end, .. } in memory.mappings().iter().filter(|m| is_heap(m)) {
        let (first, to) = ((start / size / 64).max(next_word), ((end - 1) / size).min(last) / 64);
        let mut word = first;
        while word <= to {
            let count = (to - word + 1).min(WORDS);
            let mut bytes = vec![0; (count * 8) as usize];
            let got = memory.read(map.wrapping_add(word * 8), &mut bytes);
            for (index, bits) in bytes[..got].chunks_exact(8).enumerate() {
                let mut bits = bits.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                while bits != 0 {
                    let bit = u64::from(bits.trailing_zeros());
                    found.push(((word + index as u64) * 64 + bit) * size);
                    bits &= bits - 1;
                }
            }
            word += count;
        }
        next_word = next_word.max(to + 1);
    }
    found
}

/// Whether a segment may lie there.
fn is_heap(mapping: &Mapping) -> bool {
    mapping.readable && mapping.writable && mapping.file.is_none()
}

struct Scanner<'a> {
    memory: &'a dyn Memory,
    shape: &'a Shape,
    into: &'a mut Scan,
    buffer: Vec<u8>,
}

/// A span, as its descriptor says.
struct Span {
    start: u64,
    tag: u32,
    slot: u64,
    slots: u64,
}

impl Scanner<'_> {
    fn segment(&mut self, base: u64) {
        let shape = self.shape;
        let slices = shape.segment / shape.slice;
        let mut descriptors = vec![0; (slices * shape.descriptor) as usize];
        if self.memory.read(base, &mut descriptors) < descriptors.len() {
            self.into.torn += 1;
            return;
        }
        let mapped = number(&descriptors, shape.segment_head.len);
        for slice in 1..u64::from(slices) {
            let at = slice as usize * shape.descriptor as usize;
            let start = base + slice * u64::from(shape.slice);
            let room = mapped.saturating_sub(start - base);
            match self.span(&descriptors[at..], start, room) {
                Ok(Some(span)) => self.look_through(&span),
                Ok(None) => {}
                Err(Torn) => self.into.torn += 1,
            }
        }
    }

    /// The span that begins where the slice of this `descriptor` does, if one does.
    fn span(&self, descriptor: &[u8], mut start: u64, room: u64) -> Result<Option<Span>, Torn> {
        let fields = &self.shape.span;
        let tag = number(descriptor, fields.tag) as u32;
        if tag == self.shape.no_tag || number(descriptor, fields.back) != 0 {
            return Ok(None);
        }
        let state = number(descriptor, fields.state) as u32;
        if state == self.shape.state_slab || state == self.shape.state_bare {
            return Ok(None);
        }
        let len = number(descriptor, fields.slices) * u64::from(self.shape.slice);
        let (slot, slots, most) = if state == self.shape.state_single {
            let inset = number(descriptor, fields.inset);
            start += inset;
            (len.checked_sub(inset).ok_or(Torn)?, 1, room)
        } else {
            let (slot, slots) = (number(descriptor, fields.slot_size), number(descriptor, fields.carved));
            // Slots lie in one segment.
            (slot, slots, room.min(self.shape.segment.into()))
        };
        if slots == 0 {
            return Ok(None);
        }
        let is_sound = len <= most && slot >= SMALLEST && slot % SMALLEST == 0 && slot <= len / slots;
        if is_sound { Ok(Some(Span { start, tag, slot, slots })) } else { Err(Torn) }
    }

    fn look_through(&mut self, span: &Span) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (step, bytes) = if span.slot > LARGE_SLOT {
            (1, (BEGINNING as u64).min(span.slot))
        } else {
            (span.slots, span.slots * span.slot)
        };
        buffer.resize(bytes as usize, 0);
        for first in (0..span.slots).step_by(step as usize) {
            let start = span.start + first * span.slot;
            let got = self.memory.read(start, &mut buffer);
            if got < buffer.len() {
                self.into.torn += 1;
            }
            for (index, slot) in buffer[..got].chunks(span.slot as usize).enumerate() {
                self.slot(start + index as u64 * span.slot, slot, span);
            }
        }
        self.buffer = buffer;
    }

    /// The slot at `start`, of which `bytes` have been read: all of it, or the beginning.
    fn slot(&mut self, start: u64, bytes: &[u8], span: &Span) {
        if bytes.len() < self.shape.header.whole as usize {
            return;
        }
        if self.is_live(bytes, span.tag) {
            self.chunk(start, bytes);
        } else if number(bytes, self.shape.block.mark) as u32 == !span.tag {
            let done = if (bytes.len() as u64) < span.slot {
                self.large_block(start, bytes, span)
            } else {
                self.block(start, bytes, span)
            };
            if done.is_err() {
                self.into.torn += 1;
            }
        }
    }

    /// Whether the header at the start of `bytes` has the tag of memory whose chunks have `tag`.
    fn is_live(&self, bytes: &[u8], tag: u32) -> bool {
        let flags = self.shape.flags & !self.shape.flag_member;
        (number(bytes, self.shape.header.tag) as u32 ^ tag) & !flags == 0
    }

    /// A block of a pool of which only the beginning has been read.
    fn large_block(&mut self, start: u64, beginning: &[u8], span: &Span) -> Result<(), Torn> {
        let bump = number(beginning, self.shape.block.bump);
        let used = bump.checked_sub(start).filter(|used| *used <= span.slot).ok_or(Torn)?;
        let length = used.max(beginning.len() as u64).min(span.slot);
        if length > u64::from(self.shape.segment) {
            return Err(Torn);
        }
        let mut bytes = vec![0; length as usize];
        let got = self.memory.read(start, &mut bytes);
        self.block(start, &bytes[..got], span)
    }

    /// The block at `start`, all of whose used `bytes` have been read.
    fn block(&mut self, start: u64, bytes: &[u8], span: &Span) -> Result<(), Torn> {
        let (block, header) = (&self.shape.block, u64::from(self.shape.header.whole));
        if (bytes.len() as u64) < u64::from(block.whole) + u64::from(self.shape.pool.whole) + header
            && number(bytes, block.pool) == start + u64::from(block.whole)
        {
            return Err(Torn);
        }
        if number(bytes, block.pool) == start + u64::from(block.whole) {
            self.pool(start, bytes, span)?;
        }
        let tag = number(bytes, block.tag) as u32;
        let (first, bump) = (number(bytes, block.first), number(bytes, block.bump));
        let mut at = first.checked_sub(start).ok_or(Torn)?;
        let to = bump.checked_sub(start).filter(|to| *to <= bytes.len() as u64).ok_or(Torn)?;
        while at < to {
            let member = bytes.get(at as usize..to as usize).ok_or(Torn)?;
            let mark = number(member, self.shape.header.tag) as u32;
            let room = if mark == self.shape.tag_padding {
                number(member, self.shape.padding.room)
            } else {
                let room =
                    header + (number(member, self.shape.header.size) & u64::from(self.shape.size_bits));
                room.next_multiple_of(u64::from(self.shape.member_alignment))
            };
            if room == 0 || room > to - at {
                return Err(Torn);
            }
            if mark != self.shape.tag_padding && mark != self.shape.tag_freed {
                if !self.is_live(member, tag) {
                    return Err(Torn);
                }
                self.chunk(start + at, member);
            }
            at += room;
        }
        Ok(())
    }

    /// The pool whose first block starts with `bytes`.
    fn pool(&mut self, start: u64, bytes: &[u8], span: &Span) -> Result<(), Torn> {
        let record = self.shape.block.whole as usize;
        let header = record + self.shape.pool.whole as usize;
        let orphaned = number(bytes.get(record..).ok_or(Torn)?, self.shape.pool.orphaned) != 0;
        let bytes = bytes.get(header..).ok_or(Torn)?;
        if orphaned {
            return Ok(());
        }
        if !self.is_live(bytes, span.tag) {
            return Err(Torn);
        }
        self.chunk(start + header as u64, bytes);
        Ok(())
    }

    /// A live chunk.
    fn chunk(&mut self, header: u64, bytes: &[u8]) {
        let (fields, shape) = (&self.shape.header, self.shape);
        let flags = number(bytes, fields.tag) as u32 & shape.flags;
        let reference = flags & shape.flag_reference != 0;
        let name = if reference {
            let payload = bytes.get(fields.whole as usize..).unwrap_or_default();
            number(payload, shape.reference.target)
        } else {
            number(bytes, fields.name)
        };
        let child = Some(number(bytes, fields.child)).filter(|child| child % 2 == 0).unwrap_or(0);
        self.into.chunks.push(Raw {
            header,
            parent: number(bytes, fields.parent),
            next: number(bytes, fields.next),
            child,
            name,
            size: number(bytes, fields.size) as u32 & shape.size_bits,
            flags: flags as u8,
            leaving: flags & shape.flag_dying != 0 && number(bytes, fields.prev) == header,
        });
    }
}

/// What was read does not fit together: it has been changed meanwhile.
struct Torn;

/// The pointer in the variable at `place`, or 0.
pub fn pointer(memory: &dyn Memory, place: tmempool::report::layout::Address) -> u64 {
    number_at(memory, place.0.addr() as u64, 8).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;
    use tmempool::report::layout::{Address, LAYOUT};

    #[test]
    fn a_description_that_leads_astray_leads_to_an_end() {
        let own = Process::open(std::process::id()).unwrap();
        let text = std::fs::read("/proc/self/maps").unwrap();
        let anywhere = crate::maps::parse(&text)[0].start as usize;
        for (map, bits) in [(usize::MAX - 100, usize::MAX), (0, 0), (anywhere, usize::MAX), (anywhere, 1)] {
            let mut layout = LAYOUT;
            layout.places.segment_map = Address(std::ptr::without_provenance(map));
            layout.places.segment_map_bits = bits;
            let mut found = Scan::default();
            scan(&own, &layout, &mut found);
            found.settle();
            assert!(found.chunks.is_empty(), "{map:#x} {bits}: {} chunks", found.chunks.len());
        }
    }
}
