//! Threads for bulk work, and whether processes live.

use std::num::NonZeroUsize;

use rustix::process::{Pid, setpriority_process, test_kill_process};

/// How many threads compress, verify and restore by default: one for each core.
pub(crate) fn default_count() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Puts the calling thread behind those that answer requests. Where the system refuses, it stays as it is.
pub(crate) fn lower_priority() {
    // on Linux a priority belongs to a thread, and a thread's id is taken where a process's is
    let _ = setpriority_process(Some(rustix::thread::gettid()), 10);
}

/// Whether a process of this id runs on this computer, of whichever user.
pub(crate) fn is_process_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    !matches!(test_kill_process(pid), Err(error) if error == rustix::io::Errno::SRCH)
}
