//! Questions before something is replaced or deleted.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::failure::Failure;

/// Asks, on standard error, unless the answer was given by `--yes`.
///
/// # Errors
/// [`Failure::Here`] where the answer is no, and where nobody can be asked.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    match answer(&format!("{question} [y/N] "), "--yes")?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Here("nothing was done".to_owned())),
    }
}

/// Wants a name typed again, unless it was given by a flag.
///
/// # Errors
/// As [`confirm`].
pub(super) fn type_again(question: &str, name: &str, yes: bool) -> Result<(), Failure> {
    if yes || answer(&format!("{question} Type `{name}` to go on: "), "--yes")? == name {
        return Ok(());
    }
    Err(Failure::Here("nothing was done".to_owned()))
}

fn answer(question: &str, flag: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Here(format!("nothing was done: this has to be confirmed. Say {flag}, or run it in a terminal")));
    }
    let mut line = String::new();
    eprint!("{question}");
    std::io::stderr().flush().ok();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::Here(format!("cannot read the answer: {error}")))?;
    Ok(line.trim().to_owned())
}
