//! Which values a context may own, and so whether it may go to another thread.
//!
//! A context drops the values that it owns on the thread that frees it. A [`Local`] context never leaves
//! its thread and owns anything; a [`Sendable`] one may go, with all below it, and owns only what may go with it.

/// The kind of contexts that stay on their thread and own values of any type. The default.
///
/// ```
/// use tmempool::{Context, Local};
///
/// let ctx: Context<Local> = Context::new("local");
/// ctx.alloc(std::rc::Rc::new(7)); // may not go to another thread
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Local(());

/// The kind of contexts that may go to another thread, and own only values that are [`Send`].
///
/// ```
/// use tmempool::{Context, Sendable};
///
/// let ctx: Context<Sendable> = Context::new_sendable("job");
/// ctx.alloc(String::from("input"));
/// std::thread::spawn(move || assert_eq!(ctx.owned_values(), 1)).join().unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sendable(());

/// A kind of context: [`Local`] or [`Sendable`].
///
/// ```
/// use tmempool::{Context, Kind};
///
/// /// Takes contexts of every kind.
/// fn fill<K: Kind>(ctx: &Context<K>) -> &str {
///     ctx.alloc_str("text")
/// }
/// assert_eq!(fill(&Context::new("local")), "text");
/// assert_eq!(fill(&Context::new_sendable("job")), "text");
/// ```
pub trait Kind: sealed::Sealed + 'static {}

impl Kind for Local {}
impl Kind for Sendable {}

/// Says that contexts of a kind may own, and drop, values of type `T`.
///
/// # Safety
/// Where contexts of this kind can come to another thread than the one that gave them a value, `T` is
/// [`Send`].
///
/// ```
/// use tmempool::{Context, Owns};
///
/// /// Takes contexts of every kind that may own strings.
/// fn fill<K: Owns<String>>(ctx: &Context<K>) -> &mut String {
///     ctx.alloc(String::from("text"))
/// }
/// assert_eq!(fill(&Context::new("local")), "text");
/// ```
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
///
/// ```
/// use tmempool::{Child, Context, Kind, MovesTo};
///
/// fn hand_over<'to, K: MovesTo<P>, P: Kind>(ctx: Context<K>, to: &'to Context<P>) -> Child<'to, K> {
///     ctx.move_to(to)
/// }
/// let server = Context::new("server");
/// let job = hand_over(Context::new_sendable("job"), &server);
/// assert_eq!(server.child_count(), 1);
/// ```
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
