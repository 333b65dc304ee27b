//! proot, which uses the autofree context and cleans up in destructors at exit.

use libtest_mimic::Trial;
use tmempool_realtests::comparison::comparison;
use tmempool_realtests::lab::{Lab, Step};

pub fn trials() -> Vec<Trial> {
    vec![comparison("proot", &["proot"], proot)]
}

fn proot(lab: &mut Lab) -> Step<()> {
    lab.write("inner/note", "from inside\n")?;
    lab.write(
        "work.sh",
        "set -e\n\
         cat /elsewhere/note\n\
         for i in 1 2 3 4 5 6 7 8 9 10; do (echo \"$i\" | sed s/^/line/); done\n\
         ls /elsewhere\nid -u\npwd\nexit 7\n",
    )?;
    let bind = format!("{}/inner:/elsewhere", lab.folder().display());
    let script = lab.folder().join("work.sh").display().to_string();
    lab.try_run(&["proot", "-0", "-b", &bind, "-w", "/", "sh", &script])?;
    lab.run(&["proot", "-v", "0", "-r", "/", "-b", &bind, "cat", "/elsewhere/note"])?;
    lab.run(&["proot", "--version"])?;
    lab.try_run(&["proot", "--no-such-option"])?;
    Ok(())
}
