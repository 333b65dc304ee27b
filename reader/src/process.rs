//! The memory of a running process, through `/proc/PID/mem`; where that cannot be read, by
//! process_vm_readv(2). Nothing is written, and the process is not told.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use object::read::elf::FileHeader;

use crate::error::Error;
use crate::maps;
use crate::memory::{Mapping, Memory};

/// Bytes of a piece of memory that process_vm_readv() reads as a whole or not at all.
const PIECE: usize = 4096;
/// Most pieces that it takes in one call.
const PIECES: usize = 512;

/// A running process.
pub struct Process {
    pid: u32,
    memory: Option<File>,
    mappings: Vec<Mapping>,
}

impl Process {
    /// Opens the process `pid` to be read.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(pid: u32) -> Result<Process, Error> {
        if !own_folder(pid, "").exists() {
            return Err(Error::NoProcess);
        }
        let refused = |error: io::Error| match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => Error::NoPermission { reason: reason(pid) },
            Some(libc::ENOENT | libc::ESRCH) => Error::NoProcess,
            _ => Error::Io("cannot read it".to_owned(), error),
        };
        let mappings = maps::parse(&fs::read(own_folder(pid, "maps")).map_err(refused)?);
        if mappings.is_empty() {
            return Err(Error::NoMemory);
        }
        if is_32_bit(pid) {
            return Err(Error::Not64Bit);
        }
        let memory = File::open(own_folder(pid, "mem"));
        let mut process = Process { pid, memory: None, mappings };
        match memory {
            Ok(file) => {
                process.memory = Some(file);
                if !process.can_read() {
                    process.memory = None;
                }
            }
            Err(error) if !process.can_read() => return Err(refused(error)),
            Err(_) => {}
        }
        if process.can_read() { Ok(process) } else { Err(Error::NoPermission { reason: reason(pid) }) }
    }

    /// Asks anew what lies where.
    ///
    /// # Errors
    /// It has ended meanwhile.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let text = fs::read(own_folder(self.pid, "maps")).unwrap_or_default();
        self.mappings = maps::parse(&text);
        if self.mappings.is_empty() { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// Whether the way chosen gives anything at all.
    fn can_read(&self) -> bool {
        let mut byte = [0];
        self.mappings.iter().filter(|m| m.readable).take(8).any(|m| self.read(m.start, &mut byte) == 1)
    }
}

impl Memory for Process {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let Some(file) = &self.memory else {
            return read_in_pieces(self.pid, address, into);
        };
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], address.wrapping_add(done as u64)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        done
    }

    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The mapping's own entry leads to a file that has been deleted or replaced, too; it takes rights that few
    /// have. The program itself can be opened in any case. The path is good as long as it names the same file.
    fn open(&self, mapping: &Mapping) -> Option<File> {
        let file = mapping.file.as_ref()?;
        let range = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
        let path = file.path.strip_prefix("/").unwrap_or(&file.path);
        [own_folder(self.pid, &range), own_folder(self.pid, "exe"), own_folder(self.pid, "root").join(path)]
            .into_iter()
            .filter_map(|path| File::open(path).ok())
            .find(|open| open.metadata().is_ok_and(|meta| meta.is_file() && meta.ino() == file.identity.1))
    }

    fn program(&self) -> OsString {
        let mut name = fs::read(own_folder(self.pid, "comm")).unwrap_or_default();
        name.truncate(name.trim_ascii_end().len());
        OsString::from_vec(name)
    }
}

fn own_folder(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}")).join(name)
}

fn is_32_bit(pid: u32) -> bool {
    let mut head = [0; 64];
    let file = File::open(own_folder(pid, "exe"));
    file.is_ok_and(|file| file.read_exact_at(&mut head, 0).is_ok())
        && object::elf::FileHeader32::<object::Endianness>::parse(&head[..])
            .is_ok_and(|header| header.is_supported())
}

/// Reads by process_vm_readv(2), a few pages at a time: it does not split a piece.
fn read_in_pieces(pid: u32, address: u64, into: &mut [u8]) -> usize {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        let local = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
        let mut remote = Vec::with_capacity(PIECES);
        let mut at = address.wrapping_add(done as u64) as usize;
        let mut wanted = rest.len();
        while wanted > 0 && remote.len() < PIECES {
            let length = (PIECE - at % PIECE).min(wanted);
            remote.push(libc::iovec { iov_base: at as *mut libc::c_void, iov_len: length });
            at += length;
            wanted -= length;
        }
        // SAFETY: the local piece is a buffer of ours; the others are addresses of the other process, where
        // nothing is written.
        let count = unsafe {
            let (pieces, count) = (remote.as_ptr(), remote.len() as libc::c_ulong);
            libc::process_vm_readv(pid as libc::pid_t, &raw const local, 1, pieces, count, 0)
        };
        let count = usize::try_from(count).unwrap_or(0);
        done += count;
        if count == 0 || (wanted > 0) != (done < into.len()) {
            break;
        }
    }
    done
}

/// Why the kernel refuses `pid` to the caller, as far as can be told from what everybody may see.
fn reason(pid: u32) -> String {
    // SAFETY: reads a number of this process and cannot fail.
    let caller = unsafe { libc::geteuid() };
    let status = fs::read_to_string(own_folder(pid, "status")).unwrap_or_default();
    let user = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().next()?.parse::<u32>().ok());
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match (user, scope.trim()) {
        (Some(user), _) if user != caller && caller != 0 => {
            format!("it runs as user {user}; only that user and root may look into it")
        }
        (_, "1") if caller != 0 => {
            "kernel.yama.ptrace_scope is 1, so that a user's processes are closed to each other; \
             run this command as root, or set it to 0"
                .to_owned()
        }
        (_, "2") if caller != 0 => "kernel.yama.ptrace_scope is 2: run this command as root".to_owned(),
        (_, "3") => {
            "kernel.yama.ptrace_scope is 3: nobody may look into a process until the next boot".to_owned()
        }
        _ if caller == 0 => "root lacks CAP_SYS_PTRACE here, as in most containers".to_owned(),
        _ => "it has, or had, more rights than its user (setuid, capabilities), or has made itself \
              undumpable; run this command as root"
            .to_owned(),
    }
}
