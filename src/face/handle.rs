//! Handles: generational keys to values that may be gone.
//!
//! A handle borrows nothing, so that it can lie anywhere; it is asked each time. What it gives is pinned
//! for as long as it is looked at: a context that is freed meanwhile leaves the value behind (as talloc does
//! with what refuses to be freed), and the last one who looks frees it.
//!
//! The table of keys is the thread's. It is no part of any tree, and lies on no allocation's path.

use core::alloc::Layout;
use core::any::TypeId;
use core::cell::{Cell, RefCell};
use core::ffi::{CStr, c_int, c_void};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use slotmap::SlotMap;

use super::context::{Context, free, or_panic};
use super::kind::Local;
use super::state::LOCATION;
use super::{place, unwind};
use crate::error::AllocError;
use crate::ops;
use crate::tree::{Chunk, Destructor};

/// The name of a value with a handle.
const NAME: &CStr = c"Handle";

slotmap::new_key_type! {
    struct Key;
}

/// What a key leads to.
#[derive(Clone, Copy)]
struct Target {
    at: NonNull<u8>,
    /// Keys come round again after some 2^31 uses of a place; then they lead to another value, but never to
    /// one of another type.
    type_id: TypeId,
}

std::thread_local! {
    static TABLE: RefCell<SlotMap<Key, Target>> = RefCell::new(SlotMap::with_key());
}

/// A value in its chunk, and who looks at it.
struct Handled<T> {
    key: Key,
    pins: Cell<usize>,
    /// Its context was freed while somebody looked.
    doomed: Cell<bool>,
    value: T,
}

/// A key to a value of a context, which may be gone.
///
/// ```
/// use tmempool::{Context, Handle};
///
/// let session = Context::new("session");
/// let user: Handle<String> = session.handle(String::from("gretel"));
/// assert_eq!(user.get().as_deref().map(String::as_str), Some("gretel"));
/// drop(session);
/// assert!(user.get().is_none());
/// ```
///
/// What it leads to belongs to this thread, and so does the handle:
///
/// ```compile_fail
/// let session = tmempool::Context::new("session");
/// let user = session.handle(7);
/// std::thread::spawn(move || user.get().is_some());
/// ```
pub struct Handle<T: 'static> {
    key: Key,
    /// Not to be sent to another thread, whatever `T` is.
    thread: PhantomData<*const T>,
}

/// What a [`Handle`] led to, which lives on until this is dropped.
///
/// ```
/// let session = tmempool::Context::new("session");
/// let handle = session.handle(String::from("gretel"));
/// let user = handle.get().unwrap();
/// drop(session);
/// assert_eq!(*user, "gretel"); // still here, for us
/// assert!(handle.get().is_none()); // but not for others
/// ```
pub struct HandleRef<T: 'static> {
    at: NonNull<Handled<T>>,
}

impl Context<Local> {
    /// Gives the context `value`, which is dropped with it, and a key to it.
    ///
    /// # Panics
    /// If there is no memory: see [`try_handle`](Self::try_handle).
    ///
    /// ```
    /// let session = tmempool::Context::new("session");
    /// let number = session.handle(7);
    /// assert_eq!(*number.get().unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn handle<T: 'static>(&self, value: T) -> Handle<T> {
        or_panic(self.try_handle(value))
    }

    /// [`handle`](Self::handle), for those who can go on without. Without memory the value is dropped.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let session = tmempool::Context::new("session");
    /// let number = session.try_handle(7)?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_handle<T: 'static>(&self, value: T) -> Result<Handle<T>, AllocError> {
        self.handle_with(|_| Ok(value), release::<T>)
    }

    /// A context below this one, by a key: for those who keep contexts in tables, or in scripts, and must
    /// expect that one is gone.
    ///
    /// # Panics
    /// If there is no memory: see [`try_handle_child`](Self::try_handle_child).
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let session = server.handle_child("session");
    /// session.get().unwrap().alloc_str("gretel");
    /// assert!(session.free());
    /// assert!(session.get().is_none());
    /// ```
    #[track_caller]
    pub fn handle_child(&self, name: &str) -> Handle<Context> {
        or_panic(self.try_handle_child(name))
    }

    /// [`handle_child`](Self::handle_child), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError`].
    ///
    /// ```
    /// let server = tmempool::Context::new("server");
    /// let session = server.try_handle_child("session")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    pub fn try_handle_child(&self, name: &str) -> Result<Handle<Context>, AllocError> {
        self.handle_with(|chunk| Context::below(chunk, name), release_child)
    }

    /// A handle of what `make` makes in the chunk that it is given, which `release`, a destructor for it, ends.
    fn handle_with<T: 'static>(
        &self,
        make: impl FnOnce(Chunk) -> Result<T, AllocError>,
        release: Destructor,
    ) -> Result<Handle<T>, AllocError> {
        let layout = Layout::new::<Handled<T>>();
        // SAFETY: the context is alive, and this thread uses its tree; the memory is fresh, and large
        // enough. The destructor is for the type that is written, and set before anyone could free it.
        unsafe {
            let at = place::alloc(self.chunk(), layout, NAME.as_ptr())?.cast::<Handled<T>>();
            let chunk = place::chunk_of(at.cast(), layout.align());
            let target = Target { at: at.cast(), type_id: TypeId::of::<T>() };
            // At the end of the thread the table may be gone, and this panics: then the chunk is just memory.
            let key = TABLE.with_borrow_mut(|table| table.insert(target));
            let made =
                make(chunk).and_then(|value| ops::set_destructor(chunk, Some(release)).map(|()| value));
            let value = match made {
                Ok(value) => value,
                Err(error) => {
                    TABLE.with_borrow_mut(|table| table.remove(key));
                    let _ = ops::free(chunk, LOCATION.as_ptr());
                    return Err(error);
                }
            };
            at.write(Handled { key, pins: Cell::new(0), doomed: Cell::new(false), value });
            Ok(Handle { key, thread: PhantomData })
        }
    }
}

impl<T> Handle<T> {
    /// What it leads to, if that is still there.
    ///
    /// ```
    /// let session = tmempool::Context::new("session");
    /// let number = session.handle(7);
    /// if let Some(number) = number.get() {
    ///     assert_eq!(*number, 7);
    /// }
    /// ```
    pub fn get(self) -> Option<HandleRef<T>> {
        let target = TABLE.try_with(|table| table.borrow().get(self.key).copied()).ok()??;
        if target.type_id != TypeId::of::<T>() {
            return None;
        }
        let at = target.at.cast::<Handled<T>>();
        // SAFETY: what is in the table is alive, and of this type.
        let handled = unsafe { at.as_ref() };
        if handled.doomed.get() {
            return None;
        }
        handled.pins.set(handled.pins.get() + 1);
        Some(HandleRef { at })
    }

    /// Frees what it leads to, now, or when the last one who looks at it is done. Says whether it was there.
    ///
    /// ```
    /// let session = tmempool::Context::new("session");
    /// let number = session.handle(7);
    /// assert!(number.free());
    /// assert!(!number.free());
    /// ```
    pub fn free(self) -> bool {
        let Some(found) = self.get() else { return false };
        // SAFETY: alive while it is looked at.
        unsafe { found.at.as_ref() }.doomed.set(true);
        true
    }
}

/// The destructor of a value with a handle.
unsafe extern "C" fn release<T: 'static>(payload: *mut c_void) -> c_int {
    // SAFETY: set on the chunk of a `Handled<T>`, which is dropped here and nowhere else.
    unsafe { let_go::<T>(payload, |at, _| at.drop_in_place()) }
}

/// The destructor of a context that was made with a handle. It goes with the chunk that it lies below: to free it here would take
/// stack for each level of a chain of them. If somebody has moved it, it is dropped like any value.
unsafe extern "C" fn release_child(payload: *mut c_void) -> c_int {
    let end = |at: NonNull<Handled<Context>>, chunk| {
        // SAFETY: set on the chunk of such a value, which is dropped here and nowhere else.
        unsafe {
            if at.as_ref().value.chunk().parent() != Some(chunk) {
                at.drop_in_place();
            }
        }
    };
    // SAFETY: as above.
    unsafe { let_go(payload, end) }
}

/// Ends the value with a handle in the chunk of `payload`, unless somebody looks at it, who keeps it. `end` is given the value
/// and its chunk.
///
/// # Safety
/// The chunk is that of a `Handled<T>`, and is being freed.
unsafe fn let_go<T: 'static>(payload: *mut c_void, end: impl FnOnce(NonNull<Handled<T>>, Chunk)) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        let chunk = Chunk::of_payload(NonNull::new_unchecked(payload));
        let at = place::value_in(chunk, Layout::new::<Handled<T>>()).cast::<Handled<T>>();
        at.as_ref().doomed.set(true);
        if at.as_ref().pins.get() > 0 {
            return -1;
        }
        let key = at.as_ref().key;
        // At the end of the thread the table may be gone before the context.
        let _ = TABLE.try_with(|table| table.borrow_mut().remove(key));
        let mut left = Some(end);
        unwind::contain(|| {
            if let Some(end) = left.take() {
                end(at, chunk);
            }
        });
    }
    0
}

impl<T> Drop for HandleRef<T> {
    fn drop(&mut self) {
        // SAFETY: alive while it is looked at.
        let handled = unsafe { self.at.as_ref() };
        handled.pins.set(handled.pins.get() - 1);
        if handled.pins.get() == 0 && handled.doomed.get() {
            // SAFETY: placed so; nobody finds it any more.
            let freed = unsafe { free(place::chunk_of(self.at.cast(), Layout::new::<Handled<T>>().align())) };
            debug_assert!(freed.is_ok(), "{freed:?}");
        }
    }
}

impl<T> Deref for HandleRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: alive while it is looked at.
        &unsafe { self.at.as_ref() }.value
    }
}

impl<T: fmt::Debug> fmt::Debug for HandleRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Handle<T> {}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.key).finish()
    }
}
