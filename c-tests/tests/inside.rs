//! `tmempool tree` sees from outside what the library reports from inside: `inside/trees.c` makes trees, writes
//! its own reports to a file, and waits.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tmempool_c_tests::compare::same;
use tmempool_c_tests::compiler::{self, Compiler};
use tmempool_c_tests::library::Dist;
use tmempool_c_tests::program::{directory, scratch};
use tmempool_c_tests::run::{Outcome, run};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// The status of a command that could not do its work.
const OWN_FAILURE: i32 = 125;

/// A test, and what it needs.
struct Bench {
    dist: Dist,
    compiler: Compiler,
    folder: PathBuf,
}

/// A program that waits, with trees in it.
struct Waiting {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it reports itself.
    report: PathBuf,
}

impl Waiting {
    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn own_report(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.report).map_err(|e| e.to_string())
    }

    /// Lets the program end, and gives what it says then.
    fn end(mut self) -> Result<String, String> {
        drop(self.child.stdin.take());
        let mut last = String::new();
        self.stdout.read_to_string(&mut last).map_err(|e| e.to_string())?;
        let status = self.child.wait().map_err(|e| e.to_string())?;
        if status.success() { Ok(last) } else { Err(format!("the program ended with {status}")) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bench {
    fn new(dist: &Dist, compiler: Compiler, test: &str) -> Result<Bench, String> {
        let folder = scratch(Path::new(SCRATCH), test)?;
        Ok(Bench { dist: dist.clone(), compiler, folder })
    }

    fn build(&self, link: &[PathBuf]) -> Result<PathBuf, String> {
        let program = self.folder.join("trees");
        self.compiler.build(&directory("inside").join("trees.c"), &[self.dist.include()], link, &program)?;
        Ok(program)
    }

    /// Starts the program, which finds its library at `library`, and waits until its trees are there.
    fn start(&self, program: &Path, library: Option<&Path>, arguments: &[&str]) -> Result<Waiting, String> {
        let report = self.folder.join("report");
        let mut command = Command::new(program);
        command.arg(arguments[0]).arg(&report).args(&arguments[1..]);
        command.env_remove("TMEMPOOL_OPTIONS").env_remove("LD_LIBRARY_PATH");
        if let Some(folder) = library.and_then(Path::parent) {
            command.env("LD_LIBRARY_PATH", folder);
        }
        start(&mut command, report)
    }

    /// The program on the drop-in, as most tests have it.
    fn on_drop_in(&self, arguments: &[&str]) -> Result<Waiting, String> {
        let program = self.build(&[self.dist.drop_in()])?;
        self.start(&program, Some(&self.dist.drop_in()), arguments)
    }

    fn tree(&self, arguments: &[&str]) -> Result<Outcome, String> {
        run(self.tree_command(arguments))
    }

    fn tree_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dist.command());
        command.arg("tree").args(arguments);
        command
    }

    /// The trees of `waiting` in JSON, which has been found sound.
    fn json(&self, waiting: &Waiting, arguments: &[&str]) -> Result<Value, String> {
        let pid = waiting.pid();
        let outcome = self.tree(&[&["--json", &pid], arguments].concat())?;
        if !outcome.status.success() {
            return Err(format!("tmempool tree: {}\n{}", outcome.status, outcome.stderr));
        }
        let value: Value = serde_json::from_str(&outcome.stdout).map_err(|e| e.to_string())?;
        check_sound(&value)?;
        Ok(value)
    }

    fn done(self) -> Result<(), String> {
        fs::remove_dir_all(&self.folder).map_err(|e| e.to_string())
    }
}

fn start(command: &mut Command, report: PathBuf) -> Result<Waiting, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{command:?}: {e}"))?;
    let stdout = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    let mut waiting = Waiting { child, stdout, report };
    let mut line = String::new();
    waiting.stdout.read_line(&mut line).map_err(|e| e.to_string())?;
    if line == "ready\n" { Ok(waiting) } else { Err(format!("{command:?} said {line:?}, not ready")) }
}

/// Every total is the sum of what is below it, every index leads where it should, nothing is there twice.
fn check_sound(value: &Value) -> Result<(), String> {
    let nodes = value["nodes"].as_array().ok_or("no nodes")?;
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX) as usize;
    let mut sums: Vec<(usize, usize)> = nodes.iter().map(|node| (number(&node["size"]), 1)).collect();
    let mut parents = vec![None; nodes.len()];
    let mut addresses = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        if addresses.insert(node["address"].as_str().ok_or("no address")?, index).is_some() {
            return Err(format!("{node} is there twice"));
        }
        for child in node["children"].as_array().ok_or("no children")? {
            let child = number(child);
            if child <= index || parents.get(child) != Some(&None) {
                return Err(format!("node {index} has a child {child}"));
            }
            parents[child] = Some(index);
        }
    }
    for index in (0..nodes.len()).rev() {
        let node = &nodes[index];
        if number(&node["total"]) != sums[index].0 || number(&node["blocks"]) != sums[index].1 {
            return Err(format!("the totals of {node} should be {:?}", sums[index]));
        }
        if parents[index].map(|parent| parent as u64) != node["parent"].as_u64() {
            return Err(format!("{node} is a child of {:?}", parents[index]));
        }
        let depth = parents[index].map_or(0, |parent| number(&nodes[parent]["depth"]) + 1);
        if depth != number(&node["depth"]) {
            return Err(format!("{node} lies {depth} deep"));
        }
        if let Some(parent) = parents[index] {
            sums[parent].0 += sums[index].0;
            sums[parent].1 += sums[index].1;
        }
    }
    let roots: Vec<usize> = value["roots"].as_array().ok_or("no roots")?.iter().map(number).collect();
    let without_parents: Vec<usize> = (0..nodes.len()).filter(|&index| parents[index].is_none()).collect();
    if roots != without_parents {
        return Err(format!("the roots are {roots:?}, and {without_parents:?} have no parents"));
    }
    let total: usize = roots.iter().map(|&root| sums[root].0).sum();
    if total != number(&value["total"]) {
        Err("the total is not that of the trees".to_owned())
    } else {
        Ok(())
    }
}

/// What the command shows below its first line.
fn below_the_title(output: &str) -> &str {
    output.split_once('\n').map_or("", |(_, rest)| rest)
}

/// However the library came into the program, the trees are the same from outside and from inside.
fn seen_as_reported(
    link: &[PathBuf],
    library: Option<&Path>,
    strip: bool,
    bench: &Bench,
) -> Result<(), String> {
    let program = bench.build(link)?;
    if strip {
        let status = Command::new("strip").arg(&program).status().map_err(|e| e.to_string())?;
        assert!(status.success());
    }
    let waiting = bench.start(&program, library, &["special"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    for stop in [false, true] {
        let pid = waiting.pid();
        let arguments = if stop { vec!["--stop", &pid] } else { vec![pid.as_str()] };
        let outcome = bench.tree(&arguments)?.clean()?;
        same(&inside, below_the_title(&outcome)).map_err(|e| format!("stop {stop}: {e}"))?;
    }
    let value = bench.json(&waiting, &[])?;
    if value["changed"] != 0 || value["trees"] != 3 {
        return Err(format!("changed {}, trees {}", value["changed"], value["trees"]));
    }
    waiting.end().map(|_| ())
}

fn random_trees(bench: &Bench) -> Result<(), String> {
    let program = bench.build(&[bench.dist.drop_in()])?;
    for seed in 1..=25 {
        let waiting = bench.start(&program, Some(&bench.dist.drop_in()), &["random", &seed.to_string()])?;
        let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
        let outside = bench.tree(&[&waiting.pid()])?.clean()?;
        same(&inside, below_the_title(&outside)).map_err(|e| format!("seed {seed}: {e}"))?;
        if seed == 1 && inside.lines().filter(|line| line.contains("reference to")).count() < 20 {
            return Err("there are hardly any references: the program does not do what it should".to_owned());
        }
        bench.json(&waiting, &[])?;
    }
    Ok(())
}

/// A chain of 100,000, read with a stack that no recursion over it would fit into.
fn deep_chain(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["deep", "100000"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -s 256; exec \"$@\"", "sh"]).arg(bench.dist.command()).arg("tree");
        command.args(arguments);
        run(command)?.clean()
    };
    same(&inside, below_the_title(&limited(&["--depth", "20", &waiting.pid()])?))?;
    let value: Value =
        serde_json::from_str(&limited(&["--json", &waiting.pid()])?).map_err(|e| e.to_string())?;
    check_sound(&value)?;
    let nodes = value["nodes"].as_array().ok_or("no nodes")?;
    if nodes.len() != 100_001 || nodes[100_000]["depth"] != 100_000 {
        return Err(format!("{} nodes", nodes.len()));
    }
    Ok(())
}

fn many_chunks(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["many", "300000"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    same(&inside, below_the_title(&bench.tree(&[&waiting.pid()])?.clean()?))?;
    // What is not shown still counts.
    let value: Value =
        serde_json::from_str(&bench.tree(&["--json", "--depth", "0", &waiting.pid()])?.clean()?)
            .map_err(|e| e.to_string())?;
    if value["blocks"] != 300_001
        || value["nodes"][0]["blocks"] != 300_001
        || value["nodes"][1] != Value::Null
    {
        return Err(format!("{value}"));
    }
    Ok(())
}

fn the_largest_trees_only(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["special"])?;
    let all = bench.json(&waiting, &[])?;
    let shown = bench.tree(&["--top", "1", "--depth", "0", &waiting.pid()])?.clean()?;
    let lines: Vec<&str> = shown.lines().collect();
    let roots = all["roots"].as_array().ok_or("no roots")?;
    let rest = |what: &str| -> u64 {
        roots[1..].iter().filter_map(|root| all["nodes"][root.as_u64()? as usize][what].as_u64()).sum()
    };
    let last = format!("and 2 more top-level contexts: {} bytes in {} blocks", rest("total"), rest("blocks"));
    if lines.len() != 3 || !lines[1].starts_with("talloc report on 'middle' (total ") || lines[2] != last {
        return Err(format!("{shown}\nshould end with {last}"));
    }
    Ok(())
}

/// Caches and ranges are told from plain chunks, and bytes in a slab that look like a chunk are none.
fn residents(bench: &Bench) -> Result<(), String> {
    let program = bench.build(&[bench.dist.shared()])?;
    let waiting = bench.start(&program, Some(&bench.dist.shared()), &["residents"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    same(&inside, below_the_title(&bench.tree(&[&waiting.pid()])?.clean()?))?;
    let value = bench.json(&waiting, &[])?;
    let kinds: Vec<&str> = value["nodes"]
        .as_array()
        .ok_or("no nodes")?
        .iter()
        .filter_map(|node| node["kind"].as_str())
        .collect();
    if kinds == ["chunk", "genpool", "cache"] { Ok(()) } else { Err(format!("{value}")) }
}

/// A free that waits in a destructor is a tree of its own, in which what is gone is not.
fn free_in_progress(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["dying"])?;
    let value = bench.json(&waiting, &[])?;
    let nodes = value["nodes"].as_array().ok_or("no nodes")?;
    let seen: Vec<_> = nodes
        .iter()
        .map(|node| (node["name"].as_str().unwrap_or(""), node["depth"].as_u64(), node["dying"] == true))
        .collect();
    let expected = [
        ("dying", Some(0), true),
        ("child", Some(1), true),
        ("grandchild", Some(2), false),
        ("sibling", Some(1), false),
        ("parent", Some(0), false),
    ];
    if seen != expected || value["changed"] != 0 {
        return Err(format!("{value}"));
    }
    waiting.end().map(|_| ())
}

/// Four threads allocate and free madly meanwhile. What stands still is seen whole each time.
fn busy_process(bench: &Bench, stop: bool) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["busy", "1000"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    for round in 0..12 {
        let value = bench.json(&waiting, if stop { &["--stop"] } else { &[] })?;
        let nodes = value["nodes"].as_array().ok_or("no nodes")?;
        let still =
            nodes.iter().find(|node| node["name"] == "many").ok_or("the tree that stands still is gone")?;
        if still["blocks"] != 1001 {
            return Err(format!("round {round}: {} of 1001 chunks", still["blocks"]));
        }
        // Each of the four is in the middle of one change at most.
        if stop && value["changed"].as_u64().is_none_or(|changed| changed > 400) {
            return Err(format!("round {round}: {} changed in a process that stood", value["changed"]));
        }
        let state = fs::read_to_string(format!("/proc/{}/status", waiting.pid())).unwrap_or_default();
        if state.contains("T (stopped)") || state.contains("TracerPid:\t0") != state.contains("TracerPid:") {
            return Err(format!("round {round}: it is not let go on:\n{state}"));
        }
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
fn signals_and_stops(bench: &Bench) -> Result<(), String> {
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

/// A core dump as the kernel writes it, of a program that aborts; `None`, with a note, where it writes none.
fn kernel_dump(bench: &Bench, arguments: &[&str]) -> Result<Option<(PathBuf, Waiting)>, String> {
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
fn core_dump(bench: &Bench) -> Result<(), String> {
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
fn debuggers_dump(bench: &Bench) -> Result<(), String> {
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
fn damaged_heap(bench: &Bench) -> Result<(), String> {
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

/// The library's file is gone, or another file stands in its place.
fn deleted_library(bench: &Bench) -> Result<(), String> {
    let program = bench.build(&[bench.dist.drop_in()])?;
    let folder = bench.folder.join("with spaces (deleted)");
    fs::create_dir(&folder).map_err(|e| e.to_string())?;
    let copy = folder.join("libtalloc.so.2");
    fs::copy(bench.dist.drop_in(), &copy).map_err(|e| e.to_string())?;
    let waiting = bench.start(&program, Some(&copy), &["special"])?;
    let inside = String::from_utf8_lossy(&waiting.own_report()?).into_owned();
    for replaced in [false, true] {
        if replaced {
            fs::write(&copy, "something else").map_err(|e| e.to_string())?;
        } else {
            fs::remove_file(&copy).map_err(|e| e.to_string())?;
        }
        same(&inside, below_the_title(&bench.tree(&[&waiting.pid()])?.clean()?))?;
    }
    Ok(())
}

/// A library with a layout of another version is refused.
fn other_version(bench: &Bench) -> Result<(), String> {
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

/// Wants one line, and the status of a failure.
fn refused(bench: &Bench, arguments: &[&str], why: &str) -> Result<(), String> {
    refused_command(bench.tree_command(arguments), why)
}

fn refused_command(command: Command, why: &str) -> Result<(), String> {
    let outcome = run(command)?;
    let lines = outcome.stderr.lines().count();
    if outcome.status.code() == Some(OWN_FAILURE)
        && lines == 1
        && outcome.stdout.is_empty()
        && outcome.stderr.contains(why)
    {
        return Ok(());
    }
    Err(format!("{} and {lines} lines, without `{why}`:\n{}", outcome.status, outcome.stderr))
}

fn wrong_processes(bench: &Bench) -> Result<(), String> {
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

fn malloc_backend(bench: &Bench) -> Result<(), String> {
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
fn no_permission(bench: &Bench) -> Result<(), String> {
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
fn narrow_program(bench: &Bench) -> Result<(), String> {
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

/// The body of a test.
type Body = Box<dyn FnOnce(&Bench) -> Result<(), String> + Send>;
/// One that needs nothing but its bench.
type Plain = fn(&Bench) -> Result<(), String>;

const TESTS: [(&str, Plain); 18] = [
    ("random trees", random_trees),
    ("deep chain", deep_chain),
    ("many chunks", many_chunks),
    ("the largest trees only", the_largest_trees_only),
    ("residents", residents),
    ("free in progress", free_in_progress),
    ("busy process", |bench| busy_process(bench, false)),
    ("busy process, stopped", |bench| busy_process(bench, true)),
    ("signals and stops", signals_and_stops),
    ("core dump", core_dump),
    ("debugger's dump", debuggers_dump),
    ("damaged heap", damaged_heap),
    ("deleted library", deleted_library),
    ("other version", other_version),
    ("wrong processes", wrong_processes),
    ("malloc backend", malloc_backend),
    ("no permission", no_permission),
    ("32-bit program", narrow_program),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dist = match Dist::find() {
        Ok(dist) => dist,
        Err(missing) => {
            eprintln!("error: {missing}");
            return ExitCode::FAILURE;
        }
    };
    let Some(compiler) = compiler::installed().into_iter().next() else {
        eprintln!("error: no C compiler is installed");
        return ExitCode::FAILURE;
    };
    let mut trials = Vec::new();
    let mut add = |test: String, body: Body| {
        let dist = dist.clone();
        trials.push(Trial::test(test.clone(), move || {
            let bench = Bench::new(&dist, compiler, &format!("inside {test}"))?;
            body(&bench)?;
            Ok(bench.done()?)
        }));
    };
    for (name, body) in TESTS {
        add(name.to_owned(), Box::new(body));
    }
    let ways: [(&str, Vec<PathBuf>, Option<PathBuf>); 5] = [
        ("the drop-in", vec![dist.drop_in()], Some(dist.drop_in())),
        ("libtmempool.so", vec![dist.shared()], Some(dist.shared())),
        ("libtmempool.a", vec![dist.archive()], None),
        ("libtmempool.a, unused sections dropped", vec![dist.archive(), "-Wl,--gc-sections".into()], None),
        ("a static program", vec![dist.archive(), "-static".into()], None),
    ];
    for (name, link, library) in ways {
        for strip in [false, true] {
            let (link, library) = (link.clone(), library.clone());
            let test = format!("{name}{}", if strip { ", stripped" } else { "" });
            add(test, Box::new(move |bench| seen_as_reported(&link, library.as_deref(), strip, bench)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
