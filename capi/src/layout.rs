//! The description of the heap's layout, under a name that debuggers and `tmempool tree` find. No header
//! declares it: it is for those who read the memory of a process, not for its program.

use tmempool::report::layout::Layout;

/// What the heap of this process looks like: `docs/inside.md` describes it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "a name of the C interface")]
pub static tm_layout: Layout = Layout::of_this_process(&raw const tm_layout);
