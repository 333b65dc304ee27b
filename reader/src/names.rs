//! The names of chunks: C strings anywhere in the process's memory.

use std::collections::HashMap;

use crate::memory::Memory;

/// Most bytes of a name that are kept.
pub const LONGEST: usize = 64 << 10;
/// Most bytes of all names together: after that, only the beginnings are kept.
const ALL: usize = 512 << 20;
/// Bytes of such a beginning.
const BEGINNING: usize = 64;
/// How much memory is read at a time.
const WINDOW: usize = 64 << 10;

/// Where a name is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    start: u32,
    length: u32,
}

/// Names, each kept once for each address that it has in the process.
#[derive(Debug, Default)]
pub struct Names {
    text: Vec<u8>,
    by_address: HashMap<u64, Name>,
    /// Names that could not be read.
    pub unreadable: u64,
}

impl Names {
    /// Reads the names at `addresses`.
    pub fn read(memory: &dyn Memory, mut addresses: Vec<u64>) -> Names {
        addresses.sort_unstable();
        addresses.dedup();
        let mut names = Names::default();
        let mut window = Window { memory, start: 0, bytes: Vec::new() };
        for address in addresses {
            let most = if names.text.len() < ALL { LONGEST } else { BEGINNING };
            let start = names.text.len();
            if !window.append(address, most, &mut names.text) {
                names.unreadable += 1;
                names.text.truncate(start);
                names.text.extend_from_slice(b"(unreadable)");
            }
            let name = Name { start: start as u32, length: (names.text.len() - start) as u32 };
            names.by_address.insert(address, name);
        }
        names
    }

    /// The name at `address`, which was among those that were read.
    pub fn at(&self, address: u64) -> Option<Name> {
        self.by_address.get(&address).copied()
    }

    /// The bytes of `name`.
    pub fn text(&self, name: Name) -> &[u8] {
        let start = name.start as usize;
        self.text.get(start..start + name.length as usize).unwrap_or_default()
    }

    /// Keeps a name that is no name of the process's.
    pub fn add(&mut self, text: &[u8]) -> Name {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(text);
        Name { start, length: text.len() as u32 }
    }
}

/// The piece of memory that was read last.
struct Window<'a> {
    memory: &'a dyn Memory,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Appends the string at `address`, at most `most` bytes of it. Says whether it could be read at all.
    fn append(&mut self, address: u64, most: usize, text: &mut Vec<u8>) -> bool {
        let mut at = address;
        loop {
            let done = (at - address) as usize;
            let rest = self.from(at);
            if rest.is_empty() {
                return done > 0;
            }
            let rest = &rest[..rest.len().min(most - done)];
            let end = rest.iter().position(|&byte| byte == 0);
            text.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            at += rest.len() as u64;
            if end.is_some() || (at - address) as usize >= most {
                return true;
            }
        }
    }

    /// What is known of the memory from `address` on.
    fn from(&mut self, address: u64) -> &[u8] {
        let inside = |window: &Self| {
            let offset = usize::try_from(address.checked_sub(window.start)?).ok()?;
            (offset < window.bytes.len()).then_some(offset)
        };
        if inside(self).is_none() {
            self.bytes.resize(WINDOW, 0);
            self.start = address;
            let got = self.memory.read(address, &mut self.bytes);
            self.bytes.truncate(got);
        }
        &self.bytes[inside(self).unwrap_or(self.bytes.len())..]
    }
}
