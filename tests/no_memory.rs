//! A process that has no more memory: every `try_…` gives an error, nothing that was there changes, and when
//! something is freed it goes on.
//!
//! The test runs itself again as a child whose address space is limited.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tmempool::{AllocError, Context, CtxString, CtxVec, SharedContext};

const CHILD: &str = "TMEMPOOL_TEST_WITHOUT_MEMORY";

/// Counts how many there are.
struct Counted(Arc<AtomicUsize>, [u8; 1000]);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, SeqCst);
        Counted(count.clone(), [0x5e; 1000])
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.1, [0x5e; 1000]);
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Lets this process have `bytes` of address space more, and no more than that.
fn limit(bytes: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    let limit = libc::rlimit { rlim_cur: pages * 4096 + bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a limit to be read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

fn in_the_child() {
    let count = Arc::new(AtomicUsize::new(0));
    let root = Context::new("root");
    let kept = root.alloc_slice_copy(&[7_u8; 3000]);
    let shared = SharedContext::new("shared");
    let mut text = CtxString::from_str_in("text", &root);
    limit(48 << 20);
    for round in 0..3 {
        let ctx = root.child("round");
        let mut values = 0;
        while ctx.try_alloc(Counted::new(&count)).is_ok() {
            values += 1;
        }
        assert!(values > 10_000, "{values} values in round {round}");
        assert_eq!(count.load(SeqCst), values, "the one without memory was dropped");
        // Whatever is too large for what may be left here and there.
        let out = Some(AllocError::OutOfMemory);
        assert_eq!(ctx.try_alloc_with(|| -> [u8; 8 << 20] { panic!("not called") }).err(), out);
        assert_eq!(ctx.try_alloc_slice_with(8 << 20, |_| -> u8 { panic!("not called") }).err(), out);
        assert_eq!(ctx.try_alloc_slice_copy(&[0_u8; 100_000]).err(), out);
        assert_eq!(ctx.try_pool(64 << 20).err(), out);
        assert_eq!(text.try_push_str(&"x".repeat(100_000)), Err(AllocError::OutOfMemory));
        assert_eq!(shared.try_alloc_slice_copy(&[0_u8; 100_000]).err(), out);
        let mut vector = CtxVec::new_in(&ctx);
        assert!(vector.try_reserve(4 << 20).is_err());
        vector.extend_from_slice(&[]);
        let _: &[u64] = &vector;
        assert_eq!((text.as_str(), kept.iter().all(|&byte| byte == 7)), ("text", true));
        drop(vector);
        drop(ctx);
        assert_eq!(count.load(SeqCst), 0);
    }
    assert!(root.try_alloc([0_u8; 100_000]).is_ok());
    println!("went on");
}

#[test]
fn without_memory_every_try_is_an_error_and_nothing_else() {
    if std::env::var_os(CHILD).is_some() {
        return in_the_child();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_memory_every_try_is_an_error_and_nothing_else", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("went on"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
