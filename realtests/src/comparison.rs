//! A comparison: a script that is followed on Debian's libtalloc and then on the drop-in, as a test
//! with a name.

use libtest_mimic::{Completion, Failed, Trial};

use crate::lab::{Lab, Step, Trouble};
use crate::library::Library;
use crate::{costs, dist, mask};

/// What the programs of a test do, in a lab.
pub type Script = fn(&mut Lab) -> Step<()>;

/// A test that `script`, which uses the programs `needs`, has the same transcript on both libraries.
/// It is ignored, with the reason, when a program is missing, or when the script cannot be followed
/// with Debian's library.
pub fn comparison(name: &'static str, needs: &'static [&'static str], script: Script) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(reason) = missing(needs) {
            return Ok(Completion::ignored_with(reason));
        }
        let base = tempfile::Builder::new().prefix("tmempool-real-").tempdir()?;
        let mut debian = Lab::new(Library::Debian, base.path())?;
        match script(&mut debian) {
            Ok(()) => {}
            Err(Trouble::Unable(reason)) => {
                return Ok(Completion::ignored_with(format!(
                    "cannot be done here, even with Debian's libtalloc: {reason}"
                )));
            }
            Err(Trouble::Wrong(reason)) => return Err(reason.into()),
        }
        let mut ours = Lab::new(Library::DropIn, base.path())?;
        let outcome = script(&mut ours);
        let difference = mask::first_difference(debian.transcript(), ours.transcript());
        if let Err(Trouble::Unable(reason) | Trouble::Wrong(reason)) = outcome {
            let difference = difference.unwrap_or_default();
            return Err(Failed::from(format!("on tmempool: {reason}\n{difference}")));
        }
        costs::note(name, debian.cost(), ours.cost());
        match difference {
            Some(difference) => Err(Failed::from(format!("the output differs: {difference}"))),
            None => Ok(Completion::Completed),
        }
    })
}

/// Why a test that needs these programs must be ignored; `None` when all are there.
pub fn missing(needs: &[&str]) -> Option<String> {
    let absent: Vec<&str> = needs.iter().copied().filter(|name| dist::program(name).is_none()).collect();
    (!absent.is_empty()).then(|| format!("not installed: {}", absent.join(", ")))
}
