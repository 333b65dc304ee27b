//! Where tmempool is in a process: each description of a heap that lies in its memory.
//!
//! First by name: the dynamic symbols of each file that is mapped. A program that was linked with the static
//! library, or a Rust program, has no such symbol, or has been stripped of it: then all files that are mapped
//! are searched, in memory, for the description itself.

use std::path::PathBuf;

use object::elf::{FileHeader64, PT_LOAD, SHT_DYNSYM};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, ReadCache};

use crate::error::Error;
use crate::layout::{self, Layout, MAGIC};
use crate::memory::{Mapping, Memory};

/// The name of a description.
const SYMBOL: &[u8] = b"tm_layout";
/// What a description is aligned to.
const ALIGNMENT: usize = 64;
/// How much memory is searched at a time.
const WINDOW: usize = 1 << 20;
/// The alignment of what is mapped from a file: at least that of the smallest pages.
const PAGE: u64 = 4096;

/// A heap in a process.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file that the allocator's code comes from.
    pub path: PathBuf,
    /// What its heap looks like.
    pub layout: Layout,
}

/// All heaps of the process.
///
/// # Errors
/// There is none, or none in a known layout.
pub fn heaps(memory: &dyn Memory) -> Result<Vec<Found>, Error> {
    let mut search = Search { memory, found: Vec::new(), unknown: None };
    for mapping in first_mappings(memory.mappings()) {
        if let Some(address) = by_symbol(memory, mapping) {
            search.look_at(address, mapping);
        }
    }
    if search.found.is_empty() && search.unknown.is_none() {
        for mapping in memory.mappings().iter().filter(|m| m.readable && m.file.is_some()) {
            search.look_through(mapping);
        }
    }
    match (search.found.is_empty(), search.unknown) {
        (false, _) => Ok(search.found),
        (true, Some(error)) => Err(error),
        (true, None) => Err(Error::NotLoaded),
    }
}

struct Search<'a> {
    memory: &'a dyn Memory,
    found: Vec<Found>,
    unknown: Option<Error>,
}

impl Search<'_> {
    fn look_at(&mut self, address: u64, mapping: &Mapping) {
        match layout::at(self.memory, address) {
            // A heap may have two descriptions, of which one is the C library's.
            Ok(Some(layout)) if !self.found.iter().any(|f| f.layout.places == layout.places) => {
                let path = mapping.file.as_ref().map(|file| file.path.clone()).unwrap_or_default();
                self.found.push(Found { path, layout });
            }
            Ok(_) => {}
            Err(error) => self.unknown = Some(error),
        }
    }

    fn look_through(&mut self, mapping: &Mapping) {
        let mut window = vec![0; WINDOW.min((mapping.end - mapping.start) as usize)];
        let mut at = mapping.start;
        while at < mapping.end {
            let wanted = window.len().min((mapping.end - at) as usize);
            let got = self.memory.read(at, &mut window[..wanted]);
            for (index, bytes) in window[..got].chunks_exact(ALIGNMENT).enumerate() {
                if bytes.starts_with(&MAGIC) {
                    self.look_at(at + (index * ALIGNMENT) as u64, mapping);
                }
            }
            if got < wanted {
                break;
            }
            at += got as u64;
        }
    }
}

/// The mappings of the beginnings of files, where the loader has put them whole.
fn first_mappings(mappings: &[Mapping]) -> impl Iterator<Item = &Mapping> {
    mappings.iter().filter(|m| m.readable && m.file.as_ref().is_some_and(|file| file.offset == 0))
}

/// Where the file that begins with `mapping` has the symbol, in the process.
fn by_symbol(memory: &dyn Memory, mapping: &Mapping) -> Option<u64> {
    let data = &ReadCache::new(memory.open(mapping)?);
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let symbols = header.sections(endian, data).ok()?.symbols(endian, data, SHT_DYNSYM).ok()?;
    let strings = symbols.strings();
    let symbol = symbols
        .iter()
        .find(|symbol| !symbol.is_undefined(endian) && symbol.name(endian, strings) == Ok(SYMBOL))?;
    let first = header
        .program_headers(endian, data)
        .ok()?
        .iter()
        .find(|segment| segment.p_type(endian) == PT_LOAD && segment.p_offset(endian) < PAGE)?;
    let bias = mapping.start.wrapping_sub(first.p_vaddr(endian) & !(PAGE - 1));
    Some(symbol.st_value(endian).wrapping_add(bias))
}
