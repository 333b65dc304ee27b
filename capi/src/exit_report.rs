//! The report on all that a process still has: every tree, the largest first.
//!
//! Other threads may still run, and a tree change while it is reported: the numbers are then those of
//! the moment.

use core::cmp::Reverse;
use core::ffi::{c_char, c_int, c_ulong};
use tmempool::tree::Chunk;
use tmempool::{ops, report as trees};

use crate::report::write_tree;

/// How many trees are shown; of the rest, the totals.
const SHOWN: usize = 256;

/// A tree and its totals.
#[derive(Clone, Copy)]
struct Tree {
    root: Chunk,
    bytes: usize,
    blocks: usize,
}

impl Tree {
    /// The largest tree is the least.
    fn order(&self) -> impl Ord + use<> {
        (Reverse(self.bytes), Reverse(self.blocks), self.root.ptr().addr())
    }
}

/// Counts and totals of trees.
#[derive(Default)]
struct Sum {
    trees: usize,
    bytes: usize,
    blocks: usize,
}

impl Sum {
    fn add(&mut self, tree: &Tree) {
        self.trees += 1;
        self.bytes += tree.bytes;
        self.blocks += tree.blocks;
    }
}

/// Writes the report to the open file `file`, and closes it.
pub(crate) fn write(file: c_int) {
    let mut largest: [Option<Tree>; SHOWN] = [None; SHOWN];
    let mut all = Sum::default();
    let mut rest = Sum::default();
    // SAFETY: the end of the process: what other threads still do is theirs to answer for.
    unsafe {
        trees::roots(&mut |root| {
            let Ok((entry, root)) = ops::enter_one(root.ptr()) else { return };
            let tree = Tree { root, bytes: ops::total_size(root), blocks: ops::total_blocks(root) };
            drop(entry);
            all.add(&tree);
            if let Some(out) = insert(&mut largest, tree) {
                rest.add(&out);
            }
        });
    }
    // SAFETY: an open file, which the stream takes over; the formats are given what they ask for.
    unsafe {
        let stream = libc::fdopen(file, c"a".as_ptr());
        if stream.is_null() {
            libc::close(file);
            return;
        }
        libc::fprintf(
            stream,
            c"tmempool report of %s[%d]: %lu bytes in %lu blocks under %lu top-level context%s\n".as_ptr(),
            program_name(),
            libc::getpid(),
            all.bytes as c_ulong,
            all.blocks as c_ulong,
            all.trees as c_ulong,
            plural(all.trees),
        );
        for tree in largest.iter().flatten() {
            write_tree(tree.root, stream);
        }
        if rest.trees > 0 {
            libc::fprintf(
                stream,
                c"and %lu more top-level context%s: %lu bytes in %lu blocks\n".as_ptr(),
                rest.trees as c_ulong,
                plural(rest.trees),
                rest.bytes as c_ulong,
                rest.blocks as c_ulong,
            );
        }
        libc::fputs(c"\n".as_ptr(), stream);
        libc::fclose(stream);
    }
}

/// Puts `tree` into its place among the `largest`; gives what has no place any more.
fn insert(largest: &mut [Option<Tree>; SHOWN], tree: Tree) -> Option<Tree> {
    let place = largest.partition_point(|there| there.is_some_and(|t| t.order() < tree.order()));
    if place == SHOWN {
        return Some(tree);
    }
    let out = largest[SHOWN - 1];
    largest.copy_within(place..SHOWN - 1, place + 1);
    largest[place] = Some(tree);
    out
}

fn plural(count: usize) -> *const c_char {
    if count == 1 { c"" } else { c"s" }.as_ptr()
}

/// The name that the program was started by.
fn program_name() -> *const c_char {
    unsafe extern "C" {
        static program_invocation_short_name: *const c_char;
    }
    // SAFETY: the C library defines the variable and sets it before any of our code runs.
    unsafe { program_invocation_short_name }
}
