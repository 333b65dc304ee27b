//! Processes that cannot be read: one line says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, refused, refused_command, start};

/// A library with a layout of another version is refused.
pub fn other_version(bench: &Bench) -> Result<(), String> {
    let program = bench.build(&[bench.dist.drop_in()])?;
    let mut library = fs::read(bench.dist.drop_in()).map_err(|e| e.to_string())?;
    let magic = b"tmempool layout\n";
    let at = library.windows(16).position(|bytes| bytes == magic).ok_or("no description")?;
    library[at + 16..at + 20].copy_from_slice(&77u32.to_ne_bytes());
    let copy = bench.folder.join("libtalloc.so.2");
    fs::write(&copy, library).map_err(|e| e.to_string())?;
    let waiting = bench.start(&program, Some(&copy), &["many", "10"])?;
    refused(bench, &[&waiting.pid()], "layout of version 77")
}

pub fn wrong_processes(bench: &Bench) -> Result<(), String> {
    // No process has this number: the kernel's largest is 2^22.
    refused(bench, &["4194305"], "no such process")?;
    let mut sleeper = Command::new("sleep").arg("60").spawn().map_err(|e| e.to_string())?;
    let outcome = refused(bench, &[&sleeper.id().to_string()], "tmempool is not in it");
    sleeper.kill().map_err(|e| e.to_string())?;
    // It has ended, and nobody has waited for it.
    while !fs::read_to_string(format!("/proc/{}/status", sleeper.id()))
        .unwrap_or_default()
        .contains("Z (zombie)")
    {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let zombie = refused(bench, &[&sleeper.id().to_string()], "no memory");
    sleeper.wait().map_err(|e| e.to_string())?;
    outcome.and(zombie)
}

pub fn malloc_backend(bench: &Bench) -> Result<(), String> {
    let program = bench.build(&[bench.dist.drop_in()])?;
    let mut command = Command::new(program);
    let report = bench.folder.join("report");
    command.arg("many").arg(&report).arg("10");
    command.env("LD_LIBRARY_PATH", bench.dist.drop_in().parent().unwrap_or(Path::new("/")));
    command.env("TMEMPOOL_OPTIONS", "backend=malloc");
    let waiting = start(&mut command, report)?;
    refused(bench, &[&waiting.pid()], "backend=malloc")
}

/// Another user's process. Only root can make both; anybody else has root's.
pub fn no_permission(bench: &Bench) -> Result<(), String> {
    // SAFETY: reads the process's id only.
    if unsafe { libc::getuid() } != 0 {
        return refused(bench, &["1"], "it runs as user 0; only that user and root");
    }
    let waiting = bench.on_drop_in(&["many", "10"])?;
    // The command, where another user can run it.
    let folder = Path::new("/tmp").join(format!("tmempool-inside-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let copy = folder.join("tmempool");
    let copied = fs::copy(bench.dist.command(), &copy)
        .and_then(|_| fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)));
    let refused = copied.map_err(|e| e.to_string()).and_then(|()| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy);
        command.args(["tree", &waiting.pid()]);
        refused_command(command, "it runs as user 0; only that user and root")
    });
    fs::remove_dir_all(&folder).map_err(|e| e.to_string())?;
    refused
}

/// A program of 32 bits: an ELF file that only waits. Some kernels do not run such programs.
pub fn narrow_program(bench: &Bench) -> Result<(), String> {
    let code = [0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7];
    let mut image = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [2u16, 3] {
        image.extend(half.to_le_bytes());
    }
    let base = 0x0804_8000u32;
    for word in [1, base + 84, 52, 0, 0] {
        image.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 40, 0, 0] {
        image.extend(half.to_le_bytes());
    }
    for word in [1, 0, base, base, 84 + code.len() as u32, 84 + code.len() as u32, 5, 0x1000] {
        image.extend(word.to_le_bytes());
    }
    image.extend(code);
    let program = bench.folder.join("narrow");
    fs::write(&program, image).map_err(|e| e.to_string())?;
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).map_err(|e| e.to_string())?;
    let Ok(mut child) = Command::new(&program).spawn() else {
        eprintln!("note: this kernel runs no 32-bit programs: `32-bit program` has tested nothing");
        return Ok(());
    };
    let outcome = refused(bench, &[&child.id().to_string()], "32-bit");
    let _ = child.kill();
    let _ = child.wait();
    outcome
}
