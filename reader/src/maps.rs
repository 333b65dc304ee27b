//! `/proc/PID/maps`: what lies where in a process.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::memory::{MappedFile, Mapping};

/// What the kernel adds to the name of a file that is gone.
const DELETED: &[u8] = b" (deleted)";

/// The mappings that `text` lists, a line each: `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE NAME`.
/// Lines in another form are left out.
pub fn parse(text: &[u8]) -> Vec<Mapping> {
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mapping> {
    let mut words = line.splitn(6, |&byte| byte == b' ');
    let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let (start, end) = word()?.split_once('-')?;
    let permissions = word()?.as_bytes();
    let offset = hexadecimal(word()?)?;
    let (major, minor) = word()?.split_once(':')?;
    let inode: u64 = word()?.parse().ok()?;
    let name = words.next().unwrap_or_default().trim_ascii_start();
    let file = (inode != 0).then(|| MappedFile {
        offset,
        path: PathBuf::from(OsStr::from_bytes(name.strip_suffix(DELETED).unwrap_or(name))),
        identity: (device(major, minor), inode),
    });
    Some(Mapping {
        start: hexadecimal(start)?,
        end: hexadecimal(end)?,
        readable: permissions.first() == Some(&b'r'),
        writable: permissions.get(1) == Some(&b'w'),
        file,
    })
}

fn hexadecimal(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

fn device(major: &str, minor: &str) -> u64 {
    match (hexadecimal(major), hexadecimal(minor)) {
        (Some(major), Some(minor)) => libc::makedev(major as u32, minor as u32),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let text = b"55d0c0000000-55d0c0021000 r-xp 00002000 08:01 131 /usr/bin/a b (deleted)\n\
            7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \n\
            7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n\
            nonsense\n";
        let mappings = parse(text);
        assert_eq!(mappings.len(), 3);
        let file = mappings[0].file.as_ref().unwrap();
        assert_eq!(file.path, PathBuf::from("/usr/bin/a b"));
        assert_eq!((file.offset, file.identity), (0x2000, (libc::makedev(8, 1), 131)));
        assert!(mappings[0].readable && !mappings[0].writable);
        assert_eq!((mappings[1].start, mappings[1].end), (0x7f00_0000_0000, 0x7f00_0040_0000));
        assert!(mappings[1].writable && mappings[1].file.is_none() && mappings[2].file.is_none());
    }

    #[test]
    fn this_process_has_its_program_mapped() {
        let own = std::env::current_exe().unwrap();
        let mappings = parse(&std::fs::read("/proc/self/maps").unwrap());
        assert!(mappings.iter().any(|m| m.file.as_ref().is_some_and(|file| file.path == own)));
        assert!(mappings.is_sorted_by_key(|mapping| mapping.start));
    }
}
