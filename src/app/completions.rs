//! `lightkeep completions`: the shell asks the program itself what may follow, so that ids complete too.

use anyhow::Context as _;
use clap_complete::env::Shells;

/// The variable by which the shell's script asks; the one that `main` looks at.
const VARIABLE: &str = "COMPLETE";

/// Prints the script for a shell.
///
/// # Errors
/// For a shell that has none, and when it cannot be written.
pub(super) fn print(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let script = shells.completer(&name).with_context(|| format!("{name} cannot complete ids"))?;
    script.write_registration(VARIABLE, "lightkeep", "lightkeep", "lightkeep", &mut std::io::stdout()).context("cannot write the script")
}
