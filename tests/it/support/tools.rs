//! Referees from outside: programs that know nothing of ours.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the stock restic on a graph's repository.
pub(crate) fn restic(storage: &Path, graph_id: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("restic");
    command.arg("-r").arg(storage.join(graph_id)).arg("--password-file").arg(storage.join("repository.key"));
    command.args(["--no-cache", "--quiet"]).args(arguments);
    command.output().expect("restic is installed by tests/run")
}

/// Runs restic and expects it to be content.
pub(crate) fn restic_ok(storage: &Path, graph_id: &str, arguments: &[&str]) -> String {
    let output = restic(storage, graph_id, arguments);
    assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
