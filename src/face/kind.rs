//! Which values a context may own, and so whether it may go to another thread.
//!
//! A context drops the values that it owns on the thread that frees it. A [`Local`] context never leaves
//! its thread and owns anything; a [`Sendable`] one may go, and owns only what may go with it. The contexts
//! below a sendable one are [`SendableChild`]: they own only what may go, too, but do not go by
//! themselves, as they are part of a tree that one thread uses at a time.

/// The kind of contexts that stay on their thread and own values of any type. The default.
#[derive(Clone, Copy, Debug)]
pub struct Local(());

/// The kind of contexts that may go to another thread, and own only values that are [`Send`].
#[derive(Clone, Copy, Debug)]
pub struct Sendable(());

/// The kind of the contexts below a [`Sendable`] one.
#[derive(Clone, Copy, Debug)]
pub struct SendableChild(());

/// A kind of context: [`Local`], [`Sendable`] or [`SendableChild`].
pub trait Kind: sealed::Sealed + 'static {
    /// The kind of the contexts below one of this kind.
    type Child: Kind;
}

impl Kind for Local {
    type Child = Local;
}

impl Kind for Sendable {
    type Child = SendableChild;
}

impl Kind for SendableChild {
    type Child = SendableChild;
}

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
// SAFETY: `T` is Send.
unsafe impl<T: ?Sized + Send> Owns<T> for SendableChild {}

/// Says that contexts of a kind may be moved below those of kind `P`.
///
/// # Safety
/// Contexts of kind `P` may own what those of this kind own.
pub unsafe trait MovesTo<P: Kind>: Kind {}

// SAFETY: the same kind.
unsafe impl MovesTo<Local> for Local {}
// SAFETY: what is Send may be owned by every kind.
unsafe impl<P: Kind> MovesTo<P> for Sendable {}
// SAFETY: what is Send may be owned by every kind.
unsafe impl<P: Kind> MovesTo<P> for SendableChild {}

mod sealed {
    /// Nobody else makes kinds.
    pub trait Sealed {}
    impl Sealed for super::Local {}
    impl Sealed for super::Sendable {}
    impl Sealed for super::SendableChild {}
}
