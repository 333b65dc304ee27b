//! The named tests. Long ones come first, so that both of two processors stay busy to the end.

mod command;
mod ldb;
mod notmuch;
mod osmocom;
mod python;
mod radius;
mod samba;
mod sandbox;
mod smbtorture;
mod valgrind;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = smbtorture::trials();
    trials.extend(samba::trials());
    trials.extend(valgrind::trials());
    trials.extend(ldb::trials());
    trials.extend(notmuch::trials());
    trials.extend(radius::trials());
    trials.extend(osmocom::trials());
    trials.extend(python::trials());
    trials.extend(sandbox::trials());
    trials.extend(command::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    print!("{}", tmempool_realtests::costs::table());
    conclusion.exit();
}
