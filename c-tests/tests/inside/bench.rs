//! What the tests work with: the program with its trees, the command, and what must hold of all that it shows.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tmempool_c_tests::compiler::Compiler;
use tmempool_c_tests::library::Dist;
use tmempool_c_tests::program::{directory, scratch};
use tmempool_c_tests::run::{Outcome, run};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// The status of a command that could not do its work.
const OWN_FAILURE: i32 = 125;

/// A test, and what it needs.
pub struct Bench {
    pub dist: Dist,
    compiler: Compiler,
    pub folder: PathBuf,
}

/// A program that waits, with trees in it.
pub struct Waiting {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it reports itself.
    report: PathBuf,
}

impl Waiting {
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub fn own_report(&self) -> Result<Vec<u8>, String> {
        fs::read(&self.report).map_err(|e| e.to_string())
    }

    /// Lets the program end, and gives what it says then.
    pub fn end(mut self) -> Result<String, String> {
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
    pub fn new(dist: &Dist, compiler: Compiler, test: &str) -> Result<Bench, String> {
        let folder = scratch(Path::new(SCRATCH), test)?;
        Ok(Bench { dist: dist.clone(), compiler, folder })
    }

    pub fn build(&self, link: &[PathBuf]) -> Result<PathBuf, String> {
        let program = self.folder.join("trees");
        self.compiler.build(&directory("inside").join("trees.c"), &[self.dist.include()], link, &program)?;
        Ok(program)
    }

    /// Starts the program, which finds its library at `library`, and waits until its trees are there.
    pub fn start(
        &self,
        program: &Path,
        library: Option<&Path>,
        arguments: &[&str],
    ) -> Result<Waiting, String> {
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
    pub fn on_drop_in(&self, arguments: &[&str]) -> Result<Waiting, String> {
        let program = self.build(&[self.dist.drop_in()])?;
        self.start(&program, Some(&self.dist.drop_in()), arguments)
    }

    pub fn tree(&self, arguments: &[&str]) -> Result<Outcome, String> {
        run(self.tree_command(arguments))
    }

    pub fn tree_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dist.command());
        command.arg("tree").args(arguments);
        command
    }

    /// The trees of `waiting` in JSON, which has been found sound.
    pub fn json(&self, waiting: &Waiting, arguments: &[&str]) -> Result<Value, String> {
        let pid = waiting.pid();
        let outcome = self.tree(&[&["--json", &pid], arguments].concat())?;
        if !outcome.status.success() {
            return Err(format!("tmempool tree: {}\n{}", outcome.status, outcome.stderr));
        }
        let value: Value = serde_json::from_str(&outcome.stdout).map_err(|e| e.to_string())?;
        check_sound(&value)?;
        Ok(value)
    }

    pub fn done(self) -> Result<(), String> {
        fs::remove_dir_all(&self.folder).map_err(|e| e.to_string())
    }
}

pub fn start(command: &mut Command, report: PathBuf) -> Result<Waiting, String> {
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

/// What the command shows below its first line.
pub fn below_the_title(output: &str) -> &str {
    output.split_once('\n').map_or("", |(_, rest)| rest)
}

/// Wants one line, and the status of a failure.
pub fn refused(bench: &Bench, arguments: &[&str], why: &str) -> Result<(), String> {
    refused_command(bench.tree_command(arguments), why)
}

pub fn refused_command(command: Command, why: &str) -> Result<(), String> {
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

/// Every total is the sum of what is below it, every index leads where it should, nothing is there twice.
pub fn check_sound(value: &Value) -> Result<(), String> {
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
