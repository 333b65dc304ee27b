//! What the terminal shows.

use crate::memory::Memory;
use crate::real::Real;
use crate::results::{OURS, Results, THEIRS, Threads, Timed};
use crate::scaling::Scaling;
use comfy_table::{Cell, CellAlignment, Table, presets};

/// A table with the columns `header`, all but the first right-aligned.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Three significant digits, in thousands where that is shorter.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.0}k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn or_dash(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".into(), show)
}

/// Prints the timed workloads: nanoseconds an operation, and ratios to ours.
pub fn timed(results: &Results) {
    let labels = results.labels();
    let mut header = vec!["ns/operation".to_owned(), "per".into()];
    header.extend(labels.iter().map(|l| l.to_string()));
    header.extend(labels.iter().filter(|l| **l != OURS).map(|l| format!("{l}/ours")));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut shown = table(&header);
    for workload in &results.timed {
        let mut row = vec![Cell::new(&workload.name), Cell::new(&workload.op)];
        for label in &labels {
            row.push(Cell::new(or_dash(workload.column(label).map(|c| c.ns.median), number)));
        }
        for label in labels.iter().filter(|l| **l != OURS) {
            row.push(Cell::new(or_dash(workload.ratio(label), |r| format!("{r:.2}x"))));
        }
        shown.add_row(row);
    }
    println!("{shown}\n");
    for label in labels {
        let grow: Vec<&str> = (results.timed.iter())
            .filter(|workload| workload.column(label).is_some_and(|column| column.grows))
            .map(|workload| workload.name.as_str())
            .collect();
        if !grow.is_empty() {
            println!("Memory grows from pass to pass with {label}: {}\n", grow.join(", "));
        }
    }
}

/// Prints the workloads of pools, a row each: nanoseconds an object is allocated, used and freed in. What is not
/// made for a workload does not run it.
pub fn pools(timed: &[Timed]) {
    let mut labels: Vec<&str> = Vec::new();
    for column in timed.iter().flat_map(|workload| &workload.columns) {
        if !labels.contains(&column.label.as_str()) {
            labels.push(&column.label);
        }
    }
    let header: Vec<&str> = std::iter::once("pools: ns/object").chain(labels.iter().copied()).collect();
    let mut shown = table(&header);
    for workload in timed {
        let cells = labels.iter().map(|label| or_dash(workload.column(label).map(|c| c.ns.median), number));
        shown.add_row(std::iter::once(workload.name.clone()).chain(cells));
    }
    println!("{shown}\n");
}

/// Prints the geometric means, by family and over all, and what is slower.
pub fn summary(results: &Results) {
    let labels = results.labels();
    let others: Vec<&str> = labels.into_iter().filter(|l| *l != OURS).collect();
    let mut header = vec!["geometric mean, times ours".to_owned()];
    header.extend(others.iter().map(|l| l.to_string()));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut shown = table(&header);
    let mut add = |title: &str, wanted: &dyn Fn(&Timed) -> bool| {
        let means = others.iter().map(|l| results.mean_ratio(l, wanted));
        let cells = means.map(|m| or_dash(m, |r| format!("{r:.2}x")));
        shown.add_row(std::iter::once(title.to_owned()).chain(cells));
    };
    for family in results.families() {
        add(family, &|t| t.family() == family);
    }
    add("all", &|_| true);
    add("all that libtalloc does not walk", &|t| !t.is_a_walk());
    println!("{shown}\n");
    if results.rounds < 5 {
        println!("Too few rounds to tell what is slower from noise.\n");
        return;
    }
    for label in others {
        let slower: Vec<String> = (results.timed.iter().filter(|t| t.slower_than(label)))
            .map(|t| format!("{} ({})", t.name, or_dash(t.ratio(label), |r| format!("{r:.2}x"))))
            .collect();
        match slower.is_empty() {
            true => println!("Nothing is slower than {label} beyond noise."),
            false => println!("Slower than {label} beyond noise: {}", slower.join(", ")),
        }
    }
    println!();
}

/// Prints the memory section.
pub fn memory(memory: &Memory) {
    if let Some((_, first)) = memory.overhead.first() {
        let mut header = vec!["bytes beyond the payload"];
        header.extend(first.iter().map(|(label, _)| label.as_str()));
        let mut shown = table(&header);
        for (size, row) in &memory.overhead {
            let cells = row.iter().map(|(_, bytes)| format!("{bytes:.1}"));
            shown.add_row(std::iter::once(format!("{size} bytes")).chain(cells));
        }
        println!("{shown}\n");
    }
    let mib = |kib: i64| format!("{:.1}", kib as f64 / 1024.0);
    let mut shown = table(&["resident MiB around a peak", "before", "peak", "freed", "1 s later", "kept"]);
    for back in &memory.give_back {
        let r = back.rss;
        shown.add_row([
            format!("{}, chunks up to {} bytes", back.label, back.largest),
            mib(r.before),
            mib(r.peak),
            mib(r.freed),
            mib(r.after),
            mib(r.after - r.before),
        ]);
    }
    println!("{shown}\n");
    let mut shown = table(&["a process with one chunk", "CPU µs", "resident KiB"]);
    for start in &memory.start {
        shown.add_row([start.label.clone(), number(start.cpu_us.median), start.rss_kib.to_string()]);
    }
    println!("{shown}\n");
}

/// Prints the real programs.
pub fn real(programs: &[Real]) {
    let mut shown =
        table(&["real programs", "libtalloc ms", "ours ms", "ratio", "libtalloc MiB", "ours MiB"]);
    for real in programs {
        if let Some(why) = &real.skipped {
            shown.add_row([real.name.clone(), format!("skipped: {why}")]);
            continue;
        }
        let column = |label: &str| real.columns.iter().find(|c| c.label == label);
        if let (Some(theirs), Some(ours)) = (column(THEIRS), column(OURS)) {
            shown.add_row([
                real.name.clone(),
                number(theirs.cpu_ms.median),
                number(ours.cpu_ms.median),
                format!("{:.2}x", theirs.cpu_ms.median / ours.cpu_ms.median),
                number(theirs.peak_rss_mib.median),
                number(ours.peak_rss_mib.median),
            ]);
        }
    }
    println!("{shown}\n");
}

/// Prints what threads get done in a second: one line a workload and number of threads.
pub fn threads(all: &[Threads]) {
    let mut labels: Vec<&str> = Vec::new();
    for column in all.iter().flat_map(|t| &t.by_count).flat_map(|(_, timed)| &timed.columns) {
        if !labels.contains(&column.label.as_str()) {
            labels.push(&column.label);
        }
    }
    let mut header = vec!["million operations a second".to_owned(), "threads".into()];
    header.extend(labels.iter().map(|l| l.to_string()));
    header.extend(labels.iter().filter(|l| **l != OURS).map(|l| format!("ours/{l}")));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut shown = table(&header);
    for workload in all {
        for (count, timed) in &workload.by_count {
            let mut row = vec![Cell::new(&workload.name), Cell::new(count)];
            for label in &labels {
                let millions = timed.column(label).map(|column| 1e3 / column.ns.median);
                row.push(Cell::new(or_dash(millions, number)));
            }
            for label in labels.iter().filter(|l| **l != OURS) {
                row.push(Cell::new(or_dash(timed.ratio(label), |r| format!("{r:.2}x"))));
            }
            shown.add_row(row);
        }
    }
    println!("{shown}\n");
}

/// Prints one line a workload and subject, one column a size.
pub fn scaling(all: &[Scaling]) {
    let sizes: Vec<String> =
        all.first().map_or_else(Vec::new, |s| s.by_size.iter().map(|(n, _)| n.to_string()).collect());
    let mut header = vec!["ns, by how many there are", "of"];
    header.extend(sizes.iter().map(String::as_str));
    header.push("last/first");
    let mut shown = table(&header);
    for scaling in all {
        for label in [THEIRS, OURS] {
            let ns: Vec<Option<f64>> =
                scaling.by_size.iter().map(|(_, t)| t.column(label).map(|c| c.ns.median)).collect();
            let known: Vec<f64> = ns.iter().flatten().copied().collect();
            let (Some(first), Some(last)) = (known.first(), known.last()) else {
                continue;
            };
            let what = if scaling.whole { " (whole)" } else { "" };
            let mut row = vec![format!("{}{what}", scaling.name), label.into()];
            row.extend(ns.iter().map(|n| or_dash(*n, number)));
            row.push(format!("{:.1}x", last / first));
            shown.add_row(row);
        }
    }
    println!("{shown}");
}
