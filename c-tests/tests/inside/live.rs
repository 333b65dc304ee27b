//! Processes that go on while they are read, and that are stopped for it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::bench::Bench;

/// The threads of the busy process, and the most chunks that one of them has at a time.
const THREADS: u64 = 4;
const CHUNKS: u64 = 302;
const ROUNDS: u32 = 12;

/// Threads allocate and free madly meanwhile. What stands still is seen whole each time.
pub fn busy_process(bench: &Bench, stop: bool) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["busy", "1000"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    let mut torn = 0;
    for round in 0..ROUNDS {
        let value = bench.json(&waiting, if stop { &["--stop"] } else { &[] })?;
        let nodes = value["nodes"].as_array().ok_or("no nodes")?;
        let still =
            nodes.iter().find(|node| node["name"] == "many").ok_or("the tree that stands still is gone")?;
        if still["blocks"] != 1001 {
            return Err(format!("round {round}: {} of 1001 chunks", still["blocks"]));
        }
        // Each thread is in the middle of one change at most: now and then of one that a whole tree depends on.
        let changed = value["changed"].as_u64().ok_or("no number of changes")?;
        if stop && changed > THREADS * CHUNKS {
            return Err(format!("round {round}: {changed} changed in a process that stood"));
        }
        torn += u32::from(changed > 4 * THREADS);
        let state = fs::read_to_string(format!("/proc/{}/status", waiting.pid())).unwrap_or_default();
        if state.contains("T (stopped)") || state.contains("TracerPid:\t0") != state.contains("TracerPid:") {
            return Err(format!("round {round}: it is not let go on:\n{state}"));
        }
    }
    if stop && torn > ROUNDS / 2 {
        return Err(format!("in {torn} of {ROUNDS} rounds, much has changed in a process that stood"));
    }
    let text = bench.tree(&[&waiting.pid()])?;
    if !text.status.success() || !text.stdout.contains(&inside) {
        return Err("the tree that stands still is not shown as reported".to_owned());
    }
    let last = waiting.end()?;
    let rounds: u64 = last.split(' ').next().and_then(|word| word.parse().ok()).ok_or("no rounds")?;
    if rounds > 0 { Ok(()) } else { Err("the threads did nothing meanwhile".to_owned()) }
}

/// A signal that comes while the process is stopped is not lost, and a stop by the user stays.
pub fn signals_and_stops(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["many", "200000"])?;
    let pid = i32::try_from(waiting.child.id()).map_err(|e| e.to_string())?;
    // SAFETY: plain system calls; the process is our child and not yet waited for.
    let kill = |signal| unsafe { libc::kill(pid, signal) };
    let state = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("State:\t")).unwrap_or("").to_owned()
    };
    for _ in 0..5 {
        let mut reader = bench.tree_command(&["--stop", &waiting.pid()]);
        let mut reader =
            reader.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
        kill(libc::SIGUSR1);
        let mut stood = false;
        let status = loop {
            // Seen to stand, as what is debugged does.
            stood |= state().starts_with('t');
            if let Some(status) = reader.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
        };
        if !status.success() || !stood {
            return Err(format!("tmempool tree: {status}, and the process stood: {stood}"));
        }
    }
    // A reader that is killed leaves nothing stopped.
    let mut reader = bench.tree_command(&["--stop", &waiting.pid()]);
    let mut reader = reader.stdout(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    std::thread::sleep(std::time::Duration::from_millis(60));
    let _ = reader.kill();
    let status = reader.wait().map_err(|e| e.to_string())?;
    if status.signal() != Some(libc::SIGKILL) && !status.success() {
        return Err(format!("tmempool tree: {status}"));
    }
    kill(libc::SIGSTOP);
    while !state().starts_with('T') {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    for arguments in [&["--depth", "0", &waiting.pid()][..], &["--stop", "--depth", "0", &waiting.pid()]] {
        bench.tree(arguments)?.clean()?;
    }
    if !state().starts_with('T') {
        return Err(format!("it was stopped by its user, and is {}", state()));
    }
    kill(libc::SIGCONT);
    let last = waiting.end()?;
    let seen: u32 = last.split(' ').nth(2).and_then(|word| word.parse().ok()).ok_or("no signals")?;
    if (1..=5).contains(&seen) { Ok(()) } else { Err(format!("{seen} signals of 5")) }
}
