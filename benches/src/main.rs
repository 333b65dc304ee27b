//! `make bench`: see `--help`, and the library's documentation for what is where.

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use tmempool_bench::instructions::{self, Counts, Verdict};
use tmempool_bench::machine::Machine;
use tmempool_bench::program::{Program, Workload};
use tmempool_bench::results::Results;
use tmempool_bench::subject::Subject;
use tmempool_bench::timed::Effort;
use tmempool_bench::{arenas, chart, memory, place, pools, real, scaling, table, threads, timed};

/// Measures tmempool's drop-in against Debian's libtalloc, in one run.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    choice: Choice,
    /// Which parts to run: all, or with --only the timed one, unless said otherwise.
    #[arg(long, value_enum, value_name = "SECTION", value_delimiter = ',')]
    sections: Option<Vec<Section>>,
    /// Also run libtalloc over mimalloc and jemalloc.
    #[arg(long)]
    preload: bool,
    /// Write everything to FILE.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a chart of the timed workloads to FILE.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What all verbs understand.
#[derive(Args)]
struct Choice {
    /// Only workloads whose name contains one of these (a family: `churn/`).
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', global = true)]
    only: Vec<String>,
    /// Processes per workload and library.
    #[arg(long, value_name = "N", global = true)]
    rounds: Option<usize>,
    /// Fewer and shorter rounds, smaller peaks: a first impression in a minute.
    #[arg(long, global = true)]
    quick: bool,
    /// The drop-in to measure, instead of the one that `make` built.
    #[arg(long, value_name = "FILE", global = true)]
    ours: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Timed,
    Threads,
    Pools,
    Memory,
    Real,
}

/// How long one process measures a workload of pools, in milliseconds.
const POOLS_MS: u32 = 50;

#[derive(Subcommand)]
enum Verb {
    /// Names the workloads.
    List,
    /// Times the pools of tmempool.h against what one would take instead.
    Pools,
    /// Times the Rust API against bumpalo, typed-arena, Box, slab and slotmap.
    Arenas,
    /// Times what should stay flat, from 10 to 1,000,000 siblings or members.
    Scaling,
    /// Counts the instructions of the hottest calls under callgrind.
    Instructions {
        /// Make the counts of our library the snapshot that the test compares with.
        #[arg(long)]
        accept: bool,
    },
    /// Draws the chart of an earlier run.
    Chart {
        /// What that run wrote with --json.
        json: PathBuf,
        /// The picture to write.
        svg: PathBuf,
    },
    /// Prints how to profile one workload on our library.
    Profile {
        /// The workload's name.
        workload: String,
    },
}

impl Choice {
    fn effort(&self) -> Effort {
        match self.quick {
            true => Effort { processes: self.rounds.unwrap_or(3), rounds: 1, enough_ms: 5 },
            false => Effort { processes: self.rounds.unwrap_or(6), rounds: 3, enough_ms: 20 },
        }
    }

    fn ours(&self) -> Result<Subject> {
        let library = match &self.ours {
            Some(file) => file.canonicalize().with_context(|| file.display().to_string())?,
            None => place::drop_in().context("the drop-in is not built: run `make` first")?,
        };
        Ok(Subject::tmempool(&library))
    }

    fn wants(&self, workload: &Workload) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| workload.name.contains(pattern))
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("{} failed:", failures.len());
            failures.iter().for_each(|failure| eprintln!("  {failure}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; returns the checks that failed.
fn run(cli: &Cli) -> Result<Vec<String>> {
    if let Some(Verb::Chart { json, svg }) = &cli.verb {
        let text = std::fs::read_to_string(json).with_context(|| json.display().to_string())?;
        chart::write(&serde_json::from_str(&text)?, svg)?;
        return Ok(Vec::new());
    }
    if let Some(Verb::Arenas) = &cli.verb {
        let mut failures = Vec::new();
        arenas::run(&cli.choice.only, 4 * cli.choice.effort().processes, &mut failures);
        return Ok(failures);
    }
    if let Some(Verb::Pools) = &cli.verb {
        let mut failures = Vec::new();
        let rounds = cli.choice.effort().processes;
        table::pools(&pools::run(&cli.choice.only, rounds, POOLS_MS, &mut failures)?);
        return Ok(failures);
    }
    let (theirs, ours) = (Subject::libtalloc()?, cli.choice.ours()?);
    let program = Program::build(&theirs.talloc)?;
    let mut workloads = program.workloads(&theirs)?;
    workloads.retain(|workload| cli.choice.wants(workload));
    if workloads.is_empty() {
        bail!("no workload is called so: see `list`");
    }
    match &cli.verb {
        None | Some(Verb::Chart { .. } | Verb::Pools | Verb::Arenas) => {
            compare(cli, &program, theirs, ours, &workloads)
        }
        Some(Verb::List) => {
            workloads.iter().for_each(|w| println!("{:<32} {:<12} size {}", w.name, w.op, w.size));
            Ok(Vec::new())
        }
        Some(Verb::Scaling) => {
            workloads.retain(scaling::claims_flatness);
            let effort = Effort { processes: cli.choice.rounds.unwrap_or(3), ..cli.choice.effort() };
            let mut failures = Vec::new();
            table::scaling(&scaling::run(&program, &[theirs, ours], &workloads, effort, &mut failures));
            Ok(failures)
        }
        Some(Verb::Instructions { accept }) => {
            count(&program, &theirs, &ours, *accept)?;
            Ok(Vec::new())
        }
        Some(Verb::Profile { workload }) => {
            profile(&program, &ours, workload, &workloads)?;
            Ok(Vec::new())
        }
    }
}

fn compare(
    cli: &Cli,
    program: &Program,
    theirs: Subject,
    ours: Subject,
    workloads: &[Workload],
) -> Result<Vec<String>> {
    let mut subjects = vec![theirs, ours, Subject::bare()?];
    if cli.preload {
        subjects.extend(Subject::all_preloaded()?);
    }
    let sections = match (&cli.sections, cli.choice.only.is_empty()) {
        (Some(sections), _) => sections.clone(),
        (None, true) => Section::value_variants().to_vec(),
        (None, false) => vec![Section::Timed],
    };
    let effort = cli.choice.effort();
    let mut results = Results {
        machine: Machine::this(),
        rounds: effort.processes,
        timed: Vec::new(),
        threads: Vec::new(),
        pools: Vec::new(),
        memory: None,
        real: Vec::new(),
        failures: Vec::new(),
    };
    let machine = &results.machine;
    println!(
        "{}, {} cores, Linux {}, load {}",
        machine.processor, machine.cores, machine.kernel, machine.load
    );
    for subject in &subjects {
        println!("{:>10}: {subject}", subject.label);
    }
    println!();
    if sections.contains(&Section::Timed) {
        let workloads: Vec<Workload> =
            workloads.iter().filter(|w| threads::is_for_one_library(w)).cloned().collect();
        results.timed = timed::run(program, &subjects, &workloads, effort, &mut results.failures);
        table::timed(&results);
        table::summary(&results);
    }
    if sections.contains(&Section::Threads) {
        match threads::run(program, &subjects[1], workloads, effort, &mut results.failures) {
            Ok(measured) => {
                table::threads(&measured);
                results.threads = measured;
            }
            Err(error) => results.failures.push(format!("{error:#}")),
        }
    }
    if sections.contains(&Section::Pools) {
        match pools::run(&cli.choice.only, effort.processes, POOLS_MS, &mut results.failures) {
            Ok(timed) => {
                table::pools(&timed);
                results.pools = timed;
            }
            Err(error) => results.failures.push(format!("{error:#}")),
        }
    }
    if sections.contains(&Section::Memory) {
        match memory::run(program, &subjects, cli.choice.quick) {
            Ok(measured) => {
                table::memory(&measured);
                results.memory = Some(measured);
            }
            Err(error) => results.failures.push(format!("{error:#}")),
        }
    }
    if sections.contains(&Section::Real) {
        let rounds = if cli.choice.quick { 1 } else { 5 };
        results.real = real::run(program, &subjects, rounds, &mut results.failures);
        table::real(&results.real);
    }
    if let Some(file) = &cli.json {
        std::fs::write(file, serde_json::to_string_pretty(&results)? + "\n")?;
    }
    if let Some(file) = &cli.svg {
        chart::write(&results, file)?;
    }
    Ok(results.failures)
}

fn count(program: &Program, theirs: &Subject, ours: &Subject, accept: bool) -> Result<()> {
    if let Some(why) = instructions::obstacle() {
        bail!("cannot count: {why}");
    }
    let snapshot = Counts::snapshot().unwrap_or_default();
    let mut counts = Counts::default();
    println!("{:<24} {:>10} {:>10} {:>10}", "instructions a call", "libtalloc", "ours", "accepted");
    for call in instructions::calls(program, ours)? {
        let (before, now) =
            (instructions::count(program, theirs, &call)?, instructions::count(program, ours, &call)?);
        let accepted = snapshot.calls.get(&call).map_or("-".into(), u64::to_string);
        let verdict = match snapshot.judge(&call, now) {
            Verdict::Same => "",
            Verdict::Better => " better",
            Verdict::Worse => " worse",
            Verdict::New => " new",
        };
        println!("{call:<24} {before:>10} {now:>10} {accepted:>10}{verdict}");
        counts.calls.insert(call, now);
    }
    if accept {
        counts.accept()?;
        println!("accepted: {}", Counts::snapshot_file().display());
    }
    Ok(())
}

fn profile(program: &Program, ours: &Subject, name: &str, workloads: &[Workload]) -> Result<()> {
    if !workloads.iter().any(|w| w.name == name) {
        bail!("no workload is called {name} (see `list`)");
    }
    let library = ours.talloc.parent().unwrap_or(&ours.talloc).display();
    let program = program.path().display();
    let file = name.replace('/', "-");
    println!("# time, by sampling:");
    println!("LD_LIBRARY_PATH={library} perf record -e cpu-clock -F 5000 -g -o {file}.perf \\");
    println!("    {program} run {name} talloc 0 20 50 && perf report -i {file}.perf --no-children\n");
    println!("# instructions, by source line:");
    println!("LD_LIBRARY_PATH={library} valgrind --tool=callgrind --dump-instr=yes \\");
    println!("    --callgrind-out-file={file}.callgrind {program} run {name} talloc 0 1 1 &&");
    println!("    callgrind_annotate {file}.callgrind");
    Ok(())
}
