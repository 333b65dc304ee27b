//! What can be seen: trees with their totals.

mod census;
mod walk;

pub use census::roots;
pub use walk::{Visit, walk};
