//! Values that show how they were dropped: they note it, or panic.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Notes its number when it is dropped.
pub struct Noted(pub u32, pub Notes);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

pub type Notes = Rc<RefCell<Vec<u32>>>;

/// What has been noted since the last time.
pub fn taken(notes: &Notes) -> Vec<u32> {
    notes.borrow_mut().split_off(0)
}

pub struct PanicsOnDrop(pub &'static str);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

pub fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or(payload.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap()
}
