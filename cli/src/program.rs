//! The file that will run: found as a shell finds it, and looked into before it runs.
//!
//! What matters is what the kernel will do with the file: hand it to a dynamic loader, start it
//! directly (static), or start a script's interpreter in its place. Nothing is executed here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use object::elf::{FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use crate::failure::{Failure, NOT_FOUND, NOT_RUNNABLE};

/// How many interpreters may stand behind one another (the kernel follows four).
const MOST_INTERPRETERS: usize = 4;

/// What the kernel will make of a file.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// Dynamically linked, for the same machine as the drop-in; `loader` is its interpreter.
    Dynamic { loader: PathBuf },
    /// Linked statically: nothing is ever loaded into it.
    Static,
    /// For another machine or word size than the drop-in.
    OtherMachine,
    /// Not a form that is known here; the kernel will decide.
    Unknown,
}

/// The machine a file is for: ELF class, byte order and machine number.
#[derive(Debug, PartialEq, Clone, Copy)]
pub struct Machine {
    bits: u8,
    little_endian: bool,
    number: u16,
}

/// Looks `name` up as a shell does: in PATH, unless it has a slash.
pub fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    find_in(name, &std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")))
}

fn find_in(name: &OsStr, search_path: &OsStr) -> Result<PathBuf, Failure> {
    let shown = name.display();
    let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![PathBuf::from(name)]
    } else {
        // An empty name would be a search folder itself.
        std::env::split_paths(search_path)
            .filter(|_| !name.is_empty())
            .map(|folder| if folder.as_os_str().is_empty() { "./".into() } else { folder })
            .map(|folder: PathBuf| folder.join(name))
            .collect()
    };
    let mut reason = None;
    for candidate in candidates {
        match std::fs::metadata(&candidate) {
            Ok(meta) if meta.is_dir() => reason = reason.or(Some("it is a folder")),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                reason = Some("it is not executable");
            }
            Ok(_) => return Ok(candidate),
            Err(_) => {}
        }
    }
    Err(match reason {
        Some(reason) => Failure::new(NOT_RUNNABLE, format!("cannot run {shown}: {reason}")),
        None => Failure::new(NOT_FOUND, format!("there is no program {shown}")),
    })
}

/// The file that the kernel will really start for `path`: `path` itself, or, for a script, its
/// interpreter (or that one's interpreter).
pub fn behind_scripts(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_INTERPRETERS {
        match script_interpreter(&path) {
            Some(interpreter) => path = interpreter,
            None => break,
        }
    }
    path
}

/// The program named in the first line of a script.
fn script_interpreter(path: &Path) -> Option<PathBuf> {
    use std::io::Read;
    let mut head = Vec::new();
    // The kernel reads 256 bytes, too.
    std::fs::File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let word = line.split(|byte| b" \t".contains(byte)).find(|word| !word.is_empty())?;
    Some(PathBuf::from(OsString::from_vec(word.to_vec())))
}

/// What the kernel will make of `path`, seen from a drop-in that is for `own` machine.
pub fn kind(path: &Path, own: Machine) -> Kind {
    let Ok(image) = std::fs::read(path) else {
        return Kind::Unknown;
    };
    match machine_of_image(&image) {
        None => Kind::Unknown,
        Some(machine) if machine != own => Kind::OtherMachine,
        Some(_) => match loader_of_image(&image) {
            Some(loader) => Kind::Dynamic { loader },
            None => Kind::Static,
        },
    }
}

/// The machine that the file at `path` is for; `None` when it is no ELF file.
pub fn machine(path: &Path) -> Option<Machine> {
    machine_of_image(&std::fs::read(path).ok()?)
}

fn machine_of_image(image: &[u8]) -> Option<Machine> {
    match FileKind::parse(image).ok()? {
        FileKind::Elf32 => machine_of_elf::<FileHeader32<Endianness>>(image),
        FileKind::Elf64 => machine_of_elf::<FileHeader64<Endianness>>(image),
        _ => None,
    }
}

fn machine_of_elf<Elf: FileHeader<Endian = Endianness>>(image: &[u8]) -> Option<Machine> {
    let header = Elf::parse(image).ok()?;
    let endian = header.endian().ok()?;
    Some(Machine {
        bits: if header.is_class_64() { 64 } else { 32 },
        little_endian: endian == Endianness::Little,
        number: header.e_machine(endian).0,
    })
}

/// The loader that the program asks for. `None`: it is started without one.
fn loader_of_image(image: &[u8]) -> Option<PathBuf> {
    match FileKind::parse(image).ok()? {
        FileKind::Elf32 => loader_of_elf::<FileHeader32<Endianness>>(image),
        FileKind::Elf64 => loader_of_elf::<FileHeader64<Endianness>>(image),
        _ => None,
    }
}

fn loader_of_elf<Elf: FileHeader<Endian = Endianness>>(image: &[u8]) -> Option<PathBuf> {
    let header = Elf::parse(image).ok()?;
    let endian = header.endian().ok()?;
    let segment = header
        .program_headers(endian, image)
        .ok()?
        .iter()
        .find(|segment| segment.p_type(endian) == PT_INTERP)?;
    let name = segment.interpreter(endian, image).ok()??;
    Some(PathBuf::from(OsString::from_vec(name.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_name_is_looked_up_in_the_search_path_in_order() {
        let first = tempfile::tempdir().unwrap();
        let second = tempfile::tempdir().unwrap();
        script(second.path(), "prog", "");
        let search = std::env::join_paths([first.path(), second.path()]).unwrap();
        assert_eq!(find_in("prog".as_ref(), &search).unwrap(), second.path().join("prog"));
        script(first.path(), "prog", "");
        assert_eq!(find_in("prog".as_ref(), &search).unwrap(), first.path().join("prog"));
    }

    #[test]
    fn what_cannot_run_is_told_from_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("text"), "").unwrap();
        std::fs::create_dir(folder.path().join("dir")).unwrap();
        let status = |name: &str| find_in(name.as_ref(), folder.path().as_os_str()).unwrap_err().status;
        assert_eq!(status("text"), NOT_RUNNABLE);
        assert_eq!(status("dir"), NOT_RUNNABLE);
        assert_eq!(status("absent"), NOT_FOUND);
        assert_eq!(status(""), NOT_FOUND);
        assert_eq!(status("/nowhere/at/all"), NOT_FOUND);
    }

    #[test]
    fn scripts_lead_to_their_interpreter() {
        let folder = tempfile::tempdir().unwrap();
        let inner = script(folder.path(), "inner", "#! /bin/sh -e\n");
        let outer = script(folder.path(), "outer", &format!("#!{}\n", inner.display()));
        assert_eq!(behind_scripts(&outer), Path::new("/bin/sh"));
        let plain = script(folder.path(), "plain", "echo no first line\n");
        assert_eq!(behind_scripts(&plain), plain);
    }

    #[test]
    fn a_script_that_names_itself_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loop");
        script(folder.path(), "loop", &format!("#!{}\n", path.display()));
        assert_eq!(behind_scripts(&path), path);
    }

    #[test]
    fn this_test_program_is_dynamic_and_text_is_unknown() {
        let own_path = std::env::current_exe().unwrap();
        let own = machine(&own_path).unwrap();
        assert!(matches!(kind(&own_path, own), Kind::Dynamic { .. }));
        let other = Machine { number: own.number + 1, ..own };
        assert_eq!(kind(&own_path, other), Kind::OtherMachine);
        assert_eq!(kind(Path::new("/etc/passwd"), own), Kind::Unknown);
    }
}
