//! Which values a context may own, and so whether it may go to another thread.
//!
//! A context drops the values that it owns on the thread that frees it. A [`Local`] context never leaves
//! its thread and owns anything; a [`Sendable`] one may go, with all below it, and owns only what may go with it.

/// The kind of contexts that stay on their thread and own values of any type. The default.
#[derive(Clone, Copy, Debug)]
pub struct Local(());

/// The kind of contexts that may go to another thread, and own only values that are [`Send`].
#[derive(Clone, Copy, Debug)]
pub struct Sendable(());

/// A kind of context: [`Local`] or [`Sendable`].
pub trait Kind: sealed::Sealed + 'static {}

impl Kind for Local {}
impl Kind for Sendable {}

/// Says that contexts of a kind may own, and drop, values of type `T`.
///
/// # Safety
/// Where contexts of this kind can come to another thread than the one that gave them a value, `T` is
/// [`Send`].
#[diagnostic::on_unimplemented(
    message = "a `{Self}` context cannot own a `{T}`",
    note = "contexts that may go to another thread own only values that are `Send`"
)]
pub unsafe trait Owns<T: ?Sized>: Kind {}

// SAFETY: these contexts do not leave their thread.
unsafe impl<T: ?Sized> Owns<T> for Local {}
// SAFETY: `T` is Send.
unsafe impl<T: ?Sized + Send> Owns<T> for Sendable {}

/// Says that contexts of a kind may be moved below those of kind `P`.
///
/// # Safety
/// Contexts of kind `P` may own what those of this kind own.
pub unsafe trait MovesTo<P: Kind>: Kind {}

// SAFETY: the same kind.
unsafe impl MovesTo<Local> for Local {}
// SAFETY: what is Send may be owned by every kind.
unsafe impl<P: Kind> MovesTo<P> for Sendable {}

mod sealed {
    /// Nobody else makes kinds.
    pub trait Sealed {}
    impl Sealed for super::Local {}
    impl Sealed for super::Sendable {}
}
