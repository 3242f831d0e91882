//! Referees from outside: programs that know nothing of ours.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the stock restic on a graph's repository and expects it to be content.
pub(crate) fn restic_ok(storage: &Path, graph_id: &str, arguments: &[&str]) -> String {
    restic_ok_at(&storage.join(graph_id), &storage.join("repository.key"), arguments)
}

/// Runs the stock restic on any repository, with the password that is in a file.
pub(crate) fn restic_at(repository: &Path, password_file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("restic");
    command.arg("-r").arg(repository).arg("--password-file").arg(password_file);
    command.args(["--no-cache", "--quiet"]).args(arguments);
    command.output().expect("restic is installed by tests/run")
}

/// As [`restic_at`], and expects it to be content.
pub(crate) fn restic_ok_at(repository: &Path, password_file: &Path, arguments: &[&str]) -> String {
    let output = restic_at(repository, password_file, arguments);
    assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
