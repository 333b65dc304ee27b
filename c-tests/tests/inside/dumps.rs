//! Core dumps: whole ones, and such that hold nonsense.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tmempool_c_tests::compare::same;

use crate::bench::{Bench, Waiting, below_the_title, check_sound, refused, start};

/// A core dump as the kernel writes it, of a program that aborts; `None`, with a note, where it writes none.
pub fn kernel_dump(bench: &Bench, arguments: &[&str]) -> Result<Option<(PathBuf, Waiting)>, String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with(['|', '/']) || pattern.contains('%') {
        eprintln!(
            "note: kernel.core_pattern is {}: core dumps go elsewhere, and are not tested",
            pattern.trim()
        );
        return Ok(None);
    }
    let program = bench.build(&[bench.dist.drop_in()])?;
    let report = bench.folder.join("report");
    let mut command = Command::new("sh");
    command.current_dir(&bench.folder).args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]);
    command.arg(program).arg(arguments[0]).arg(&report).args(&arguments[1..]);
    command.env("LD_LIBRARY_PATH", bench.dist.drop_in().parent().unwrap_or(Path::new("/")));
    let mut waiting = start(&mut command, report)?;
    let pid = i32::try_from(waiting.child.id()).map_err(|e| e.to_string())?;
    // SAFETY: a plain system call; the process is our child and not yet waited for.
    unsafe { libc::kill(pid, libc::SIGABRT) };
    let status = waiting.child.wait().map_err(|e| e.to_string())?;
    if !status.core_dumped() {
        eprintln!("note: the kernel has written no core dump ({status}): they are not tested");
        return Ok(None);
    }
    let entries = fs::read_dir(&bench.folder).map_err(|e| e.to_string())?;
    let dump = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")));
    Ok(Some((dump.ok_or("no core dump is there")?, waiting)))
}

/// A dump shows what the process would have shown.
pub fn core_dump(bench: &Bench) -> Result<(), String> {
    let Some((dump, waiting)) = kernel_dump(bench, &["special"])? else { return Ok(()) };
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    let text = bench.tree(&["--core", &dump.to_string_lossy()])?.clean()?;
    same(&inside, below_the_title(&text))?;
    if !text.starts_with(&format!("tmempool report of trees[{}]: ", waiting.child.id())) {
        return Err(text.lines().next().unwrap_or_default().to_owned());
    }
    refused(bench, &["--core", "/etc/passwd"], "not a core dump")?;
    refused(bench, &["--core", &bench.dist.drop_in().to_string_lossy()], "not a core dump")?;
    refused(bench, &["--core", "/no/such/file"], "No such file")
}

/// A dump as a debugger writes it, which leaves more out.
pub fn debuggers_dump(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["special"])?;
    let dump = bench.folder.join("dump");
    let Ok(output) = Command::new("gcore").arg("-o").arg(&dump).arg(waiting.pid()).output() else {
        eprintln!("note: gdb is not installed: `debugger's dump` has tested nothing");
        return Ok(());
    };
    let dump = format!("{}.{}", dump.display(), waiting.pid());
    if !Path::new(&dump).exists() {
        return Err(format!("gcore: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    same(&inside, below_the_title(&bench.tree(&["--core", &dump])?.clean()?))
}

/// A heap full of nonsense is read to an end, and never shown with wrong totals.
pub fn damaged_heap(bench: &Bench) -> Result<(), String> {
    let Some((dump, _)) = kernel_dump(bench, &["random", "7"])? else { return Ok(()) };
    let file = fs::OpenOptions::new().read(true).write(true).open(&dump).map_err(|e| e.to_string())?;
    let mut whole = Vec::new();
    (&file).read_to_end(&mut whole).map_err(|e| e.to_string())?;
    // Where something is: most of a dump is zeros.
    let words: Vec<usize> =
        (0..whole.len() / 8).filter(|&word| whole[word * 8..word * 8 + 8] != [0; 8]).collect();
    let mut state = 88_172_645_463_325_252u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let (mut read, mut broken) = (0, 0);
    for round in 0..400 {
        let mut damaged = Vec::new();
        // A little of everything, then more and more; every fourth time, the head of the dump itself.
        for _ in 0..1 + round * 4 {
            let at = if round % 4 == 0 { random(512) } else { words[random(words.len())] };
            let value = match random(4) {
                0 => random(256) as u64,
                1 => u64::MAX - random(3) as u64,
                // A word from elsewhere: a link that leads to the wrong place.
                _ => u64::from_ne_bytes(
                    whole[words[random(words.len())] * 8..][..8].try_into().expect("8 bytes"),
                ),
            };
            file.write_all_at(&value.to_ne_bytes(), at as u64 * 8).map_err(|e| e.to_string())?;
            damaged.push(at);
        }
        match tmempool_reader::read_core(&dump, tmempool_reader::Selection::default()) {
            Ok(snapshot) => {
                let mut json = Vec::new();
                tmempool_reader::json::write(&snapshot, &mut json).map_err(|e| e.to_string())?;
                check_sound(&serde_json::from_slice(&json).map_err(|e| e.to_string())?)
                    .map_err(|e| format!("round {round}: {e}"))?;
                let control = tmempool_reader::text::Control::Escaped;
                tmempool_reader::text::write(&snapshot, control, &mut std::io::sink())
                    .map_err(|e| e.to_string())?;
                read += 1;
                broken += usize::from(snapshot.changed > 0);
            }
            Err(error) => drop(error.to_string()),
        }
        for at in damaged {
            file.write_all_at(&whole[at * 8..at * 8 + 8], at as u64 * 8).map_err(|e| e.to_string())?;
        }
    }
    if read < 100 || broken < 50 {
        return Err(format!("only {read} of 400 dumps could be read, and {broken} were damaged"));
    }
    Ok(())
}
