//! Programs under Valgrind: no error on Debian's library, and none on the drop-in.

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step};

pub fn trials() -> Vec<Trial> {
    vec![comparison("valgrind", &["valgrind", "ldbadd", "ldbsearch", "testparm"], valgrind)]
}

fn valgrind(lab: &mut Lab) -> Step<()> {
    lab.mask.add(r"==\d+==", "==PID==");
    let mut people = String::new();
    for number in 0..100 {
        people += &format!("dn: uid=person{number},dc=example\nuid: person{number}\n\n");
    }
    lab.write("people.ldif", people)?;
    lab.write("smb.conf", "[global]\nworkgroup = MILL\n[share]\npath = /tmp\n")?;
    let check = ["valgrind", "-q", "--error-exitcode=99"];
    let programs: [&[&str]; 3] = [
        &["ldbadd", "-H", "tdb://people.ldb", "people.ldif"],
        &["ldbsearch", "-H", "tdb://people.ldb", "(uid=person7*)", "uid"],
        &["testparm", "-s", "smb.conf"],
    ];
    for program in programs {
        lab.run(&[&check, program].concat())?;
    }
    Ok(())
}
