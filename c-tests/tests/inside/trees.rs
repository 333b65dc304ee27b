//! What is shown: the same from outside as the library reports from inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tmempool_c_tests::compare::same;
use tmempool_c_tests::run::run;

use crate::bench::{Bench, below_the_title, check_sound};

/// However the library came into the program, the trees are the same from outside and from inside.
pub fn seen_as_reported(
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
    if value["changed"] != 0 || value["trees"] != 4 {
        return Err(format!("changed {}, trees {}", value["changed"], value["trees"]));
    }
    waiting.end().map(|_| ())
}

pub fn random_trees(bench: &Bench) -> Result<(), String> {
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
pub fn deep_chain(bench: &Bench) -> Result<(), String> {
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

pub fn many_chunks(bench: &Bench) -> Result<(), String> {
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

pub fn the_largest_trees_only(bench: &Bench) -> Result<(), String> {
    let waiting = bench.on_drop_in(&["special"])?;
    let all = bench.json(&waiting, &[])?;
    let shown = bench.tree(&["--top", "1", "--depth", "0", &waiting.pid()])?.clean()?;
    let lines: Vec<&str> = shown.lines().collect();
    let roots = all["roots"].as_array().ok_or("no roots")?;
    let rest = |what: &str| -> u64 {
        roots[1..].iter().filter_map(|root| all["nodes"][root.as_u64()? as usize][what].as_u64()).sum()
    };
    let last = format!("and 3 more top-level contexts: {} bytes in {} blocks", rest("total"), rest("blocks"));
    if lines.len() != 3 || !lines[1].starts_with("talloc report on 'middle' (total ") || lines[2] != last {
        return Err(format!("{shown}\nshould end with {last}"));
    }
    Ok(())
}

/// Caches and ranges are told from plain chunks, and bytes in a slab that look like a chunk are none.
pub fn residents(bench: &Bench) -> Result<(), String> {
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
pub fn free_in_progress(bench: &Bench) -> Result<(), String> {
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

/// The library's file is gone, or another file stands in its place.
pub fn deleted_library(bench: &Bench) -> Result<(), String> {
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
