//! Contexts of Rust and of C, one below the other: what one side makes, moves, refers to and frees, the other has.
//!
//! Attacks: values that are dropped twice or never, whoever frees; contexts that C keeps alive, moves away, or frees
//! from above; a destructor of C's that refuses; pointers that are stale, foreign, or into a shared context.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::rc::Rc;

use tmempool::{Context, Fault, Local, RawError};
use tmempool_capi::alloc::talloc_named_const;
use tmempool_capi::free::{_talloc_free, _talloc_set_destructor};
use tmempool_capi::names::talloc_get_name;
use tmempool_capi::reference::{_talloc_reference_loc, talloc_unlink};
use tmempool_capi::shared::tm_shared_context;
use tmempool_capi::steal::_talloc_steal_loc;

const HERE: *const std::ffi::c_char = c"contexts.rs".as_ptr();

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn c_chunk(parent: *const c_void) -> *mut c_void {
    // SAFETY: a context, or none; a literal.
    unsafe { talloc_named_const(parent, 100, c"C's".as_ptr()) }
}

fn c_free(chunk: *mut c_void) -> c_int {
    // SAFETY: a chunk of this thread's.
    unsafe { _talloc_free(chunk, HERE) }
}

#[test]
fn c_frees_a_context_and_its_values_are_dropped() {
    let drops = Rc::new(Cell::new(0));
    let ctx = Context::new("ours");
    ctx.alloc(Counted(drops.clone()));
    std::mem::forget(ctx.child("below"));
    let raw = ctx.into_raw();
    // SAFETY: a chunk, whose name is the context's.
    assert_eq!(unsafe { std::ffi::CStr::from_ptr(talloc_get_name(raw)) }, c"ours");
    assert_eq!(c_free(raw), 0);
    assert_eq!(drops.get(), 1);
    // SAFETY: any pointer may be asked about.
    let stale = unsafe { Context::<Local>::from_raw(raw) };
    assert!(matches!(stale.err(), Some(RawError::Fault(Fault::Freed { .. }))));
}

#[test]
fn a_context_below_a_chunk_of_c_s_goes_with_it() {
    let drops = Rc::new(Cell::new(0));
    let top = c_chunk(null_mut());
    let raw = Context::new("ours").into_raw();
    // SAFETY: both are chunks of this thread's, and C's to move.
    unsafe { _talloc_steal_loc(top, raw, HERE) };
    // SAFETY: as above; `top` is freed when nothing of it is in use.
    unsafe {
        Context::<Local>::with_raw(raw, |ctx| _ = ctx.alloc(Counted(drops.clone()))).unwrap();
        Context::<Local>::with_raw(top, |ctx| _ = ctx.alloc(Counted(drops.clone()))).unwrap();
    }
    assert_eq!(c_free(top), 0);
    assert_eq!(drops.get(), 2);
}

#[test]
fn chunks_of_c_s_below_a_context_go_with_it() {
    let ctx = Context::new("ours");
    for _ in 0..10 {
        c_chunk(c_chunk(ctx.as_raw()));
    }
    assert_eq!((ctx.child_count(), ctx.total_blocks()), (10, 21));
    assert!(ctx.report().to_string().contains("C's"));
    let first = ctx.report().root().children().next().map(|node| node.name().into_owned());
    assert_eq!(first.as_deref(), Some("C's"));
}

#[test]
fn a_reference_of_c_s_keeps_a_context_alive_until_c_lets_it_go() {
    let drops = Rc::new(Cell::new(0));
    let root = Context::new("root");
    let ctx = root.child("ours");
    ctx.alloc(Counted(drops.clone()));
    let (holder, raw) = (c_chunk(null_mut()), ctx.as_raw());
    // SAFETY: both are alive.
    assert!(!unsafe { _talloc_reference_loc(holder, raw, HERE) }.is_null());
    drop(ctx);
    assert_eq!((root.child_count(), drops.get()), (0, 0));
    // SAFETY: both are alive: the holder has the only hold.
    assert_eq!(unsafe { talloc_unlink(holder, raw) }, 0);
    assert_eq!(drops.get(), 1);
    c_free(holder);
}

#[test]
fn a_destructor_of_c_s_that_refuses_keeps_the_values() {
    unsafe extern "C" fn refuse(_: *mut c_void) -> c_int {
        -1
    }
    let drops = Rc::new(Cell::new(0));
    let top = c_chunk(null_mut());
    // SAFETY: chunks of this thread's; the destructor touches nothing.
    unsafe {
        _talloc_set_destructor(top, Some(refuse));
        let ctx = Context::<Local>::from_raw(top).unwrap();
        ctx.alloc(Counted(drops.clone()));
        let ctx = ctx.free().unwrap_err();
        assert_eq!((drops.get(), ctx.owned_values()), (0, 1));
        _talloc_set_destructor(top, None);
        assert!(ctx.free().is_ok());
    }
    assert_eq!(drops.get(), 1);
}

#[test]
fn what_is_no_context_of_this_thread_s_is_refused() {
    let number = Box::new(7);
    // SAFETY: any pointer may be asked about; a shared context without a parent.
    unsafe {
        for strange in [null_mut(), (&raw const *number).cast_mut().cast(), 8 as *mut c_void] {
            assert_eq!(Context::<Local>::from_raw(strange).err(), Some(RawError::Fault(Fault::Unknown)));
        }
        let shared = tm_shared_context(null_mut(), c"shared".as_ptr());
        assert_eq!(Context::<Local>::from_raw(shared).err(), Some(RawError::Shared));
        let member = c_chunk(shared);
        assert_eq!(Context::<Local>::with_raw(member, |_| ()), Err(RawError::Shared));
        c_free(shared);
    }
}

#[test]
fn a_panic_of_a_value_ends_with_the_verb_of_rust_s_that_began_the_free() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    let root = Context::new("root");
    let middle = c_chunk(root.as_raw());
    let drops = Rc::new(Cell::new(0));
    // SAFETY: a chunk of this thread's.
    unsafe {
        Context::<Local>::with_raw(middle, |ctx| {
            ctx.alloc(Counted(drops.clone()));
            ctx.alloc(Bomb);
        })
        .unwrap();
    }
    let freed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(root)));
    assert_eq!(*freed.unwrap_err().downcast::<&str>().unwrap(), "bomb");
    assert_eq!(drops.get(), 1);
}
