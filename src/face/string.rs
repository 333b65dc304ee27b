//! A string that grows in a context.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut};

use super::context::Context;
use super::kind::{Kind, Local};
use crate::error::AllocError;

/// A vector in a context: `allocator_api2`'s, with a context as its allocator.
///
/// ```
/// use tmempool::{Context, CtxVec};
///
/// let ctx = Context::new("parser");
/// let mut stack = CtxVec::new_in(&ctx);
/// stack.push(1);
/// stack.push(2);
/// assert_eq!(stack, [1, 2]);
/// ```
pub type CtxVec<'c, T, K = Local> = allocator_api2::vec::Vec<T, &'c Context<K>>;

/// A growing string whose text lies in a context.
///
/// ```
/// use std::fmt::Write;
/// use tmempool::{Context, CtxString};
///
/// let ctx = Context::new("answer");
/// let mut line = CtxString::new_in(&ctx);
/// line.push_str("Content-Length: ");
/// write!(line, "{}", 42)?;
/// assert_eq!(line, "Content-Length: 42");
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub struct CtxString<'c, K: Kind = Local> {
    /// UTF-8.
    bytes: allocator_api2::vec::Vec<u8, &'c Context<K>>,
}

impl<K: Kind> Clone for CtxString<'_, K> {
    fn clone(&self) -> Self {
        CtxString { bytes: self.bytes.clone() }
    }
}

impl<'c, K: Kind> CtxString<'c, K> {
    /// An empty string that will grow in `ctx`.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// assert!(tmempool::CtxString::new_in(&ctx).is_empty());
    /// ```
    pub fn new_in(ctx: &'c Context<K>) -> Self {
        CtxString { bytes: allocator_api2::vec::Vec::new_in(ctx) }
    }

    /// A copy of `text` in `ctx`.
    ///
    /// # Panics
    /// If there is no memory.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let line = tmempool::CtxString::from_str_in("GET", &ctx);
    /// assert_eq!(line, "GET");
    /// ```
    #[track_caller]
    pub fn from_str_in(text: &str, ctx: &'c Context<K>) -> Self {
        let mut string = Self::new_in(ctx);
        string.push_str(text);
        string
    }

    /// Adds `text` at the end.
    ///
    /// # Panics
    /// If there is no memory: see [`try_push_str`](Self::try_push_str).
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let mut line = tmempool::CtxString::new_in(&ctx);
    /// line.push_str("GET");
    /// assert_eq!(line, "GET");
    /// ```
    #[inline]
    #[track_caller]
    pub fn push_str(&mut self, text: &str) {
        super::context::or_panic(self.try_push_str(text));
    }

    /// [`push_str`](Self::push_str), for those who can go on without.
    ///
    /// # Errors
    /// [`AllocError::OutOfMemory`], whatever the reason: the string is as it was.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let mut line = tmempool::CtxString::new_in(&ctx);
    /// line.try_push_str("GET")?;
    /// # Ok::<(), tmempool::AllocError>(())
    /// ```
    #[inline]
    pub fn try_push_str(&mut self, text: &str) -> Result<(), AllocError> {
        let len = self.bytes.len();
        if self.bytes.capacity() - len < text.len() {
            self.bytes.try_reserve(text.len()).map_err(|_| AllocError::OutOfMemory)?;
        }
        // SAFETY: there is room for the text behind what is there; the two do not overlap, as the string is
        // borrowed by `&mut`.
        unsafe {
            let end = self.bytes.as_mut_ptr().add(len);
            end.copy_from_nonoverlapping(text.as_ptr(), text.len());
            self.bytes.set_len(len + text.len());
        }
        Ok(())
    }

    /// Adds a character at the end.
    ///
    /// # Panics
    /// If there is no memory.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let mut line = tmempool::CtxString::new_in(&ctx);
    /// line.push('é');
    /// assert_eq!(line.len(), 2);
    /// ```
    #[track_caller]
    pub fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Empties the string. It keeps its memory.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let mut line = tmempool::CtxString::from_str_in("GET", &ctx);
    /// line.clear();
    /// assert_eq!(line, "");
    /// ```
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The text.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let line = tmempool::CtxString::from_str_in("GET", &ctx);
    /// assert_eq!(line.as_str(), "GET");
    /// ```
    pub fn as_str(&self) -> &str {
        // SAFETY: only whole strings are ever added.
        unsafe { core::str::from_utf8_unchecked(&self.bytes) }
    }

    /// The text, left to the context: it lives as long as that.
    ///
    /// ```
    /// let ctx = tmempool::Context::new("answer");
    /// let line: &str = tmempool::format_in!(&ctx, "{} {}", "GET", "/mill").into_str();
    /// assert_eq!(line, "GET /mill");
    /// ```
    pub fn into_str(self) -> &'c mut str {
        // SAFETY: only whole strings are ever added.
        unsafe { core::str::from_utf8_unchecked_mut(self.bytes.leak()) }
    }
}

/// A [`CtxString`](crate::CtxString) in a context, from a format and its arguments, as `format!` makes one.
///
/// ```
/// use tmempool::{Context, format_in};
///
/// let request = Context::new("request");
/// let number = 7;
/// let path = format_in!(&request, "/mill/{number}");
/// assert_eq!(path, "/mill/7");
/// ```
#[macro_export]
macro_rules! format_in {
    ($context:expr, $($argument:tt)*) => {{
        let mut string = $crate::face::CtxString::new_in($context);
        let written = ::core::fmt::Write::write_fmt(&mut string, ::core::format_args!($($argument)*));
        ::core::result::Result::expect(written, "a formatting trait gave an error, or there is no memory");
        string
    }};
}

impl<K: Kind> fmt::Write for CtxString<'_, K> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_push_str(text).map_err(|_| fmt::Error)
    }
}

impl<K: Kind> Deref for CtxString<'_, K> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<K: Kind> DerefMut for CtxString<'_, K> {
    fn deref_mut(&mut self) -> &mut str {
        // SAFETY: only whole strings are ever added.
        unsafe { core::str::from_utf8_unchecked_mut(&mut self.bytes) }
    }
}

impl<K: Kind> AsRef<str> for CtxString<'_, K> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<K: Kind> Borrow<str> for CtxString<'_, K> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<K: Kind> fmt::Debug for CtxString<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<K: Kind> fmt::Display for CtxString<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<K: Kind> PartialEq for CtxString<'_, K> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<K: Kind> Eq for CtxString<'_, K> {}

impl<K: Kind> PartialEq<str> for CtxString<'_, K> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl<K: Kind> PartialEq<&str> for CtxString<'_, K> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl<K: Kind> PartialOrd for CtxString<'_, K> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Kind> Ord for CtxString<'_, K> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl<K: Kind> Hash for CtxString<'_, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
