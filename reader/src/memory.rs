//! Memory that is read from outside: what a process, running or dumped, has to offer.

use std::ffi::OsString;
use std::path::PathBuf;

/// A range of addresses with one use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// It can be read.
    pub readable: bool,
    /// It can be written.
    pub writable: bool,
    /// What file lies there, if one does.
    pub file: Option<MappedFile>,
}

/// The file that a mapping shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Where the mapping begins in the file, in bytes.
    pub offset: u64,
    /// Its name when it was mapped, without what the kernel adds of its fate.
    pub path: PathBuf,
    /// Names the file whatever becomes of its path: device and inode; 0 where that is not known.
    pub identity: (u64, u64),
}

/// A process's memory.
pub trait Memory {
    /// Reads from `address` on into `into`, as far as there is memory, and says how many bytes that were.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;

    /// What lies where, by address.
    fn mappings(&self) -> &[Mapping];

    /// Opens the file that `mapping` shows.
    fn open(&self, mapping: &Mapping) -> Option<std::fs::File>;

    /// The name of the program, as far as it is known.
    fn program(&self) -> OsString;
}

/// Fills all of `into`, or says that it cannot.
pub fn read_exactly(memory: &dyn Memory, address: u64, into: &mut [u8]) -> bool {
    memory.read(address, into) == into.len()
}
