//! What the compiler is told that it cannot know.

/// Says that it is not often here, or that here is the longer way anyway.
#[cold]
pub(crate) const fn seldom() {}
