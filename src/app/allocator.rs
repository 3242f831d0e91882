//! Makes the C library give large buffers back when they are freed.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// glibc reads it when a process starts, and only then.
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";

/// Buffers of this size and more get pages of their own.
const THRESHOLD_BYTES: &str = "262144";

/// Starts the program anew in the same process, once, with the setting in its environment. By itself glibc raises the threshold
/// to the largest buffer that was freed, up to 32 MiB, and keeps the pages of smaller ones: a server that takes 1 GB snapshots
/// one after the other grows to twice the memory, and stays there (`benches/snapshot` shows both). With another C library, or
/// where it cannot be done, nothing changes.
#[expect(clippy::disallowed_methods, reason = "a setting of the C library, which reads nothing else")]
pub(super) fn settle() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    // Returns only when it fails; then the program goes on as it is.
    let _ = Command::new(program).arg0(name).args(arguments).env(VARIABLE, THRESHOLD_BYTES).exec();
}
