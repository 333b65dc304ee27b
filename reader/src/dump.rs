//! The memory of a process that a core dump holds.
//!
//! A dump leaves out what can be had from files: code and constants, names of contexts among them. Those are read
//! from the files that were mapped, where they are still the same: the first page of each is in the dump (with
//! the build's identity in it), and has to agree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use object::elf::{ET_CORE, FileHeader64, NT_FILE, NT_PRPSINFO, PF_R, PF_W, PT_LOAD, PT_NOTE, ProgramFlags};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadCache};

use crate::error::Error;
use crate::memory::{MappedFile, Mapping, Memory};

/// In the note on the process: where its number lies, and its name, and how long that is.
const PROCESS_NUMBER: usize = 24;
const PROCESS_NAME: usize = 40;
const NAME_LENGTH: usize = 16;
/// What of a file is compared with the dump.
const PAGE: usize = 4096;

/// A core dump.
pub struct Dump {
    file: File,
    /// By address.
    segments: Vec<Segment>,
    mappings: Vec<Mapping>,
    /// The files that were mapped, where they are there and the same.
    files: HashMap<PathBuf, File>,
    program: OsString,
    pid: Option<u32>,
}

/// A mapping of the process, as far as it is in the dump.
struct Segment {
    start: u64,
    end: u64,
    /// Bytes of it that are in the dump, and where.
    dumped: u64,
    offset: u64,
}

impl Dump {
    /// Opens the dump at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is no dump of a process of this machine's kind.
    pub fn open(path: &Path) -> Result<Dump, Error> {
        let file = File::open(path).map_err(|error| Error::Io("cannot open it".to_owned(), error))?;
        let copy = file.try_clone().map_err(|error| Error::Io("cannot open it".to_owned(), error))?;
        let mut dump = Dump {
            file,
            segments: Vec::new(),
            mappings: Vec::new(),
            files: HashMap::new(),
            program: OsString::new(),
            pid: None,
        };
        dump.parse(copy).map_err(|error| Error::BadCore(error.to_string()))?;
        dump.open_files();
        Ok(dump)
    }

    /// The number that the process had.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    fn parse(&mut self, file: File) -> Result<(), Box<dyn std::error::Error>> {
        let data = &ReadCache::new(file);
        let header = FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        if header.e_type(endian) != ET_CORE {
            return Err("it is an ELF file of another kind".into());
        }
        let mut files = Vec::new();
        for segment in header.program_headers(endian, data)? {
            match segment.p_type(endian) {
                PT_LOAD => {
                    let start = segment.p_vaddr(endian);
                    let end = start.saturating_add(segment.p_memsz(endian));
                    let dumped = segment.p_filesz(endian).min(end - start);
                    self.segments.push(Segment { start, end, dumped, offset: segment.p_offset(endian) });
                    let has = |flag: ProgramFlags| segment.p_flags(endian).0 & flag.0 != 0;
                    let (readable, writable) = (has(PF_R), has(PF_W));
                    self.mappings.push(Mapping { start, end, readable, writable, file: None });
                }
                PT_NOTE => {
                    let mut notes = segment.notes(endian, data)?.ok_or("its notes are not there")?;
                    while let Some(note) = notes.next()? {
                        match note.n_type(endian) {
                            NT_FILE => files = mapped_files(note.desc()).unwrap_or_default(),
                            NT_PRPSINFO => self.note_process(note.desc()),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        self.segments.sort_unstable_by_key(|segment| segment.start);
        for mapping in &mut self.mappings {
            let within = files.iter().find(|file| (file.start..file.end).contains(&mapping.start));
            mapping.file = within.and_then(|whole| {
                let file = whole.file.as_ref()?;
                Some(MappedFile {
                    offset: file.offset.saturating_add(mapping.start - whole.start),
                    ..file.clone()
                })
            });
        }
        self.mappings.retain(|mapping| mapping.start < mapping.end);
        // Some leave a mapping out altogether that has nothing in the dump.
        for file in files {
            if file.start < file.end && self.segment(file.start).is_none() {
                self.mappings.push(file);
            }
        }
        self.mappings.sort_unstable_by_key(|mapping| mapping.start);
        Ok(())
    }

    fn note_process(&mut self, note: &[u8]) {
        self.pid = note.get(PROCESS_NUMBER..).and_then(<[u8]>::first_chunk).map(|id| u32::from_le_bytes(*id));
        let name = note.get(PROCESS_NAME..PROCESS_NAME + NAME_LENGTH).unwrap_or_default();
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        self.program = OsString::from_vec(name.to_vec());
    }

    /// Opens the files that are still what the dump says they were.
    fn open_files(&mut self) {
        for mapping in &self.mappings {
            let Some(mapped) = mapping.file.as_ref().filter(|file| file.offset == 0) else { continue };
            let Ok(file) = File::open(&mapped.path) else { continue };
            let (mut there, mut here) = ([0; PAGE], [0; PAGE]);
            let got = self.read_dumped(mapping.start, &mut there);
            let is_same = got == PAGE && file.read_exact_at(&mut here, 0).is_ok() && there == here;
            // A dump without first pages says nothing of the file.
            if is_same || got == 0 {
                self.files.insert(mapped.path.clone(), file);
            }
        }
    }

    fn segment(&self, address: u64) -> Option<&Segment> {
        let index = self.segments.partition_point(|segment| segment.start <= address).checked_sub(1)?;
        self.segments.get(index).filter(|segment| address < segment.end)
    }

    /// What the dump itself holds from `address` on, up to the end of the mapping.
    fn read_dumped(&self, address: u64, into: &mut [u8]) -> usize {
        let Some(segment) = self.segment(address) else { return 0 };
        let inside = address - segment.start;
        let Some(rest) = segment.dumped.checked_sub(inside) else { return 0 };
        read_at(&self.file, segment.offset.saturating_add(inside), into, rest)
    }

    /// What the file that is mapped at `address` holds from there on, up to the end of the mapping.
    fn read_mapped(&self, address: u64, into: &mut [u8]) -> usize {
        let index = self.mappings.partition_point(|mapping| mapping.start <= address).checked_sub(1);
        let Some(mapping) = index.and_then(|index| self.mappings.get(index)) else { return 0 };
        let Some(mapped) = mapping.file.as_ref().filter(|_| address < mapping.end) else { return 0 };
        let Some(file) = self.files.get(&mapped.path) else { return 0 };
        let inside = address - mapping.start;
        read_at(file, mapped.offset.saturating_add(inside), into, mapping.end - address)
    }
}

impl Memory for Dump {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = address.checked_add(done as u64) else { break };
            let rest = &mut into[done..];
            let got = match self.read_dumped(at, rest) {
                0 => self.read_mapped(at, rest),
                got => got,
            };
            if got == 0 {
                break;
            }
            done += got;
        }
        done
    }

    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn open(&self, mapping: &Mapping) -> Option<File> {
        self.files.get(&mapping.file.as_ref()?.path)?.try_clone().ok()
    }

    fn program(&self) -> OsString {
        self.program.clone()
    }
}

/// Reads from `offset` on, at most `most` bytes.
fn read_at(file: &File, offset: u64, into: &mut [u8], most: u64) -> usize {
    let length = into.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    let into = &mut into[..length];
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    done
}

/// The note on mapped files: how many, the size of a page, for each the first and the last address and the offset in
/// pages, and then their names.
fn mapped_files(note: &[u8]) -> Option<Vec<Mapping>> {
    let word = |index: usize| {
        let bytes = note.get(index.checked_mul(8)?..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let count = usize::try_from(word(0)?).ok()?;
    let page = word(1)?;
    let names = note.get(count.checked_mul(24)?.checked_add(16)?..)?;
    names
        .split(|&byte| byte == 0)
        .take(count)
        .enumerate()
        .map(|(index, name)| {
            let first = 2 + index * 3;
            let file = MappedFile {
                offset: word(first + 2)?.checked_mul(page)?,
                path: PathBuf::from(OsStr::from_bytes(name)),
                identity: (0, 0),
            };
            let (start, end) = (word(first)?, word(first + 1)?);
            Some(Mapping { start, end, readable: true, writable: false, file: Some(file) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_on_files_is_taken_apart() {
        let mut note = Vec::new();
        for word in [2u64, 4096, 0x1000, 0x3000, 0, 0x7000, 0x8000, 5] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"/bin/a b\0/lib/c\0");
        let files = mapped_files(&note).unwrap();
        let shown = |mapping: &Mapping| {
            let file = mapping.file.clone().unwrap();
            (mapping.start, mapping.end, file.offset, file.path.display().to_string())
        };
        assert_eq!(shown(&files[0]), (0x1000, 0x3000, 0, "/bin/a b".to_owned()));
        assert_eq!(shown(&files[1]), (0x7000, 0x8000, 5 * 4096, "/lib/c".to_owned()));
        // Cut short anywhere, it is no note.
        assert!((0..64).all(|length| mapped_files(&note[..length]).is_none()));
        note[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(mapped_files(&note).is_none());
    }

    #[test]
    fn other_files_are_refused() {
        let own = std::env::current_exe().unwrap();
        assert!(matches!(Dump::open(&own), Err(Error::BadCore(_))));
        assert!(matches!(Dump::open(Path::new("/etc/passwd")), Err(Error::BadCore(_))));
        assert!(matches!(Dump::open(Path::new("/nowhere")), Err(Error::Io(..))));
    }
}
