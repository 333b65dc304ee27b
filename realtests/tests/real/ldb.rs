//! ldb's tools over some thousand records in one file: add, search, modify, rename, delete.

use std::fmt::Write;

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step};

const RECORDS: usize = 3000;
const FILE: &str = "tdb://people.ldb";

pub fn trials() -> Vec<Trial> {
    vec![comparison("ldb tools", &["ldbadd", "ldbsearch", "ldbmodify", "ldbdel"], tools)]
}

fn tools(lab: &mut Lab) -> Step<()> {
    // Records carry the time of their making once a search asks for everything.
    lab.mask.add(r"when(Created|Changed): \S+", "when$1: TIME");
    lab.write(
        "index.ldif",
        "dn: @INDEXLIST\n@IDXATTR: uid\n@IDXATTR: room\n\ndn: @MODULES\n@LIST: server_sort\n\n",
    )?;
    lab.write("people.ldif", people())?;
    lab.write("changes.ldif", changes())?;
    lab.run(&["ldbadd", "-H", FILE, "index.ldif"])?;
    lab.run(&["ldbadd", "-H", FILE, "people.ldif"])?;
    lab.run(&["ldbsearch", "-H", FILE, "(uid=person1234)"])?;
    lab.run(&["ldbsearch", "-H", FILE, "(&(room=7)(!(skill=rope*)))", "uid", "skill"])?;
    lab.run(&["ldbsearch", "-H", FILE, "-b", "ou=people,dc=example", "-s", "one", "dn"])?;
    lab.run(&["ldbsearch", "-H", FILE, "--controls=server_sort:1:0:uid", "(room=3)", "uid"])?;
    lab.run(&["ldbmodify", "-H", FILE, "changes.ldif"])?;
    lab.run(&["ldbsearch", "-H", FILE, "(|(room=99)(skill=diving))"])?;
    lab.run(&["ldbrename", "-H", FILE, "uid=person10,ou=people,dc=example", "uid=renamed,dc=example"])?;
    lab.run(&["ldbdel", "-H", FILE, "uid=person11,ou=people,dc=example"])?;
    lab.run(&["ldbdel", "-r", "-H", FILE, "ou=tree,dc=example"])?;
    lab.run(&["ldbsearch", "-H", FILE, "-S"])?;
    lab.try_run(&["ldbadd", "-H", FILE, "people.ldif"])?;
    lab.try_run(&["ldbdel", "-H", FILE, "uid=nobody,dc=example"])?;
    lab.try_run(&["ldbsearch", "-H", FILE, "(((unbalanced"])?;
    Ok(())
}

fn people() -> String {
    const SKILLS: [&str; 4] = ["rope work", "cooking", "maps", "welding"];
    let mut text = String::new();
    for parent in ["dc=example", "ou=people,dc=example", "ou=tree,dc=example"] {
        let _ = writeln!(text, "dn: {parent}\nobjectClass: container\n");
    }
    for number in 0..RECORDS {
        let _ = writeln!(text, "dn: uid=person{number},ou=people,dc=example");
        let _ = writeln!(text, "objectClass: person\nuid: person{number}\nroom: {}", number % 50);
        for skill in &SKILLS[..=number % 4] {
            let _ = writeln!(text, "skill: {skill}");
        }
        let _ = writeln!(text, "note:: aGVsbG8sIHdvcmxk\ndescription: {}\n", "x".repeat(1 + number % 300));
    }
    let mut parent = "ou=tree,dc=example".to_owned();
    for depth in 0..30 {
        parent = format!("ou=level{depth},{parent}");
        let _ = writeln!(text, "dn: {parent}\nobjectClass: container\n");
    }
    text
}

fn changes() -> String {
    let mut text = String::new();
    for number in (0..RECORDS).step_by(10) {
        let _ = writeln!(text, "dn: uid=person{number},ou=people,dc=example\nchangetype: modify");
        let _ = writeln!(text, "replace: room\nroom: 99\n-\nadd: skill\nskill: diving\n-\n");
    }
    text
}
