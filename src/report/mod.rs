//! What can be seen: trees with their totals, from inside; and the layout, for those who look from outside.

mod census;
pub mod layout;
mod walk;

pub use census::roots;
pub use walk::{Visit, may_be_shared, walk};
