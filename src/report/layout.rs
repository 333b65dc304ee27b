//! The heap's layout, described for those who read it from outside: `tmempool tree PID`, debuggers.
//!
//! A description lies in the memory of each process that uses tmempool. In the C libraries it is the symbol
//! `tm_layout`; where symbols have been stripped, it is found by its [`MAGIC`] and by its own address, which it
//! holds. Nothing in the process reads it: it costs nothing while nobody looks. `docs/inside.md` says how to read a
//! heap with it.
//!
//! [`VERSION`] is raised whenever [`Shape`], or what anything in it means, changes; `tests/layout.rs` holds the
//! shape of each version. A reader refuses a version that it does not know.

use core::ffi::c_void;

use crate::mem::geometry;
use crate::mem::segment::{self, SegmentOffsets};
use crate::mem::span::{self, SpanOffsets};
use crate::ops;
use crate::pools::resident::Kind;
use crate::process;
use crate::tree::chunk::{self, HeaderOffsets};
use crate::tree::meter::MeterOffsets;
use crate::tree::name;
use crate::tree::pool::{self, BlockOffsets, PaddingOffsets, PoolOffsets};
use crate::tree::refs::ReferenceOffsets;
use crate::tree::side::SideOffsets;

/// The first bytes of a description.
pub const MAGIC: [u8; 16] = *b"tmempool layout\n";

/// The version of the layout.
pub const VERSION: u32 = 10;

/// An address in the process that is described.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub *const c_void);

// SAFETY: a number to everybody here; who follows it reads another process's memory, or atomics.
unsafe impl Sync for Address {}

/// The description of a heap. Aligned to 64 bytes, where a search by [`MAGIC`] looks for it.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// [`MAGIC`].
    pub magic: [u8; 16],
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this struct.
    pub size: u32,
    /// The address of this struct: a copy of it elsewhere is not a description.
    pub here: Address,
    /// Where the variables of the process lie.
    pub places: Places,
    /// What everything looks like.
    pub shape: Shape,
}

/// Where the variables of the process lie that a reader begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// 32 bits: the `MODE_…` bits of [`Shape`].
    pub mode: Address,
    /// 32 bits: the secret that seals are made of; tags, too, until the process is a forked child.
    pub secret: Address,
    /// A bit for each segment of the address space, counted from address 0, in words of 64 bits: set where one
    /// of the heap's lies.
    pub segment_map: Address,
    /// Bits of the segment map.
    pub segment_map_bits: usize,
    /// A pointer: the payload of the null context; null while there is none.
    pub null_context: Address,
    /// A pointer: the payload of a null context that is out of use, which is no root; or null.
    pub retired_null_context: Address,
    /// A pointer: the payload of the autofree context; null while there is none.
    pub autofree_context: Address,
}

/// Sizes, marks and the offsets of fields. All sizes are in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bit of the mode: each chunk is a block of malloc's, and no segment knows of it.
    pub mode_malloc: u32,
    /// A segment, and its alignment.
    pub segment: u32,
    /// A slice of a segment.
    pub slice: u32,
    /// The descriptor of a slice: that of slice `n` lies at `n` times this in its segment.
    pub descriptor: u32,
    /// The tag in the descriptor of a slice in no span.
    pub no_tag: u32,
    /// The state of a span that is one block, not slots.
    pub state_single: u32,
    /// The state of a span that is the slab of a pool: there are no chunks in it.
    pub state_slab: u32,
    /// The state of a span that is a block without a chunk.
    pub state_bare: u32,
    /// The flags in a header's tag; the other bits are those of the tag of its span or block.
    pub flags: u32,
    /// Flag: a pool; its record lies right before the header.
    pub flag_pool: u32,
    /// Flag: it is being freed, or its children are. It is itself if `prev` leads to its own header.
    pub flag_dying: u32,
    /// Flag: a reference.
    pub flag_reference: u32,
    /// Flag: a member of a pool.
    pub flag_member: u32,
    /// The tag of a freed header, and of free room in a block.
    pub tag_freed: u32,
    /// The tag of padding in a block.
    pub tag_padding: u32,
    /// The bits of a chunk's size; the others say something else.
    pub size_bits: u32,
    /// Members start, and their room ends, at multiples of this.
    pub member_alignment: u32,
    /// What lives in the tree and is more than memory begins with a seal of 64 bits, and its chunk has a
    /// finalizer. In the seal, mixed (by xor) with its own address, the upper half is the secret, shifted left by
    /// 8 bits, and one of these kinds.
    pub kind_cache: u32,
    /// The kind of a guaranteed reserve.
    pub kind_mempool: u32,
    /// The kind of a managed range.
    pub kind_genpool: u32,
    /// A bit in the name word of a header: where it is set, the other bits are the address of a side record.
    pub name_mark: u64,
    /// The head of a segment.
    pub segment_head: SegmentOffsets,
    /// A span descriptor.
    pub span: SpanOffsets,
    /// The header of a chunk; the payload lies right behind it. A `child` that is odd is none.
    pub header: HeaderOffsets,
    /// A side record.
    pub side: SideOffsets,
    /// The meter that a side record leads to: the limits of a chunk, if it is limited.
    pub meter: MeterOffsets,
    /// The payload of a reference.
    pub reference: ReferenceOffsets,
    /// The head of a pool's block, whose `mark` is the complement of the tag of the span that it lies in.
    pub block: BlockOffsets,
    /// Padding between the members of a block.
    pub padding: PaddingOffsets,
    /// The record of a pool, right behind the head of its first block.
    pub pool: PoolOffsets,
}

impl Shape {
    /// As this build has it.
    pub const HERE: Shape = Shape {
        mode_malloc: process::MODE_MALLOC,
        segment: geometry::SEGMENT as u32,
        slice: geometry::SLICE as u32,
        descriptor: geometry::DESCRIPTOR as u32,
        no_tag: process::NO_TAG,
        state_single: span::State::Single as u32,
        state_slab: span::State::Slab as u32,
        state_bare: span::State::Bare as u32,
        flags: chunk::FLAGS,
        flag_pool: chunk::POOL,
        flag_dying: chunk::DYING,
        flag_reference: chunk::REFERENCE,
        flag_member: chunk::MEMBER,
        tag_freed: process::TAG_FREED,
        tag_padding: pool::PADDING,
        size_bits: chunk::SIZE,
        member_alignment: 16,
        kind_cache: Kind::Cache as u32,
        kind_mempool: Kind::Mempool as u32,
        kind_genpool: Kind::Genpool as u32,
        name_mark: name::MARK as u64,
        segment_head: SegmentOffsets::HERE,
        span: SpanOffsets::HERE,
        header: HeaderOffsets::HERE,
        side: SideOffsets::HERE,
        meter: MeterOffsets::HERE,
        reference: ReferenceOffsets::HERE,
        block: BlockOffsets::HERE,
        padding: PaddingOffsets::HERE,
        pool: PoolOffsets::HERE,
    };
}

impl Layout {
    /// The description of this process's heap, to be put into the static variable `here`.
    pub const fn of_this_process(here: *const Layout) -> Layout {
        Layout {
            magic: MAGIC,
            version: VERSION,
            size: size_of::<Layout>() as u32,
            here: Address(here.cast()),
            places: Places {
                mode: Address((&raw const process::MODE).cast()),
                secret: Address((&raw const process::SECRET).cast()),
                segment_map: Address((&raw const segment::MAP).cast()),
                segment_map_bits: segment::SEGMENT_NUMBERS,
                null_context: Address((&raw const process::NULL_CONTEXT).cast()),
                retired_null_context: Address((&raw const ops::RETIRED).cast()),
                autofree_context: Address((&raw const ops::AUTOFREE).cast()),
            },
            shape: Shape::HERE,
        }
    }
}

/// The description for programs in Rust. The C libraries have one of their own, with a symbol that others see.
#[used]
pub static LAYOUT: Layout = Layout::of_this_process(&raw const LAYOUT);
