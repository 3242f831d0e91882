//! The reference of the command line, as a document and as manual pages, made from what the program itself understands.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::NOTICE_OF_COMMANDS;
use crate::app::args::Args;

/// The document's path in the folder of the documents.
pub(super) const PATH: &str = "CLI.md";

/// What stands before the commands.
const INTRODUCTION: &str = include_str!("commands.md");

/// Flags that nearly all commands have: told once.
const COMMON: [&str; 8] = ["help", "version", "config", "address", "token_file", "token", "ca_file", "timeout"];

/// The document.
pub(super) fn text() -> String {
    let mut text = format!("{NOTICE_OF_COMMANDS}\n\n{INTRODUCTION}");
    let mut root = Args::command();
    root.build();
    for command in root.get_subcommands().filter(|command| is_shown(command)) {
        section(&mut text, "lightkeep", command, 2);
    }
    text
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn section(text: &mut String, above: &str, command: &Command, depth: usize) {
    let name = format!("{above} {}", command.get_name());
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    let about = about.trim_end_matches('.').replace('\n', " ");
    let _ = write!(text, "\n{} {name}\n\n{about}.\n", "#".repeat(depth));
    let subcommands: Vec<&Command> = command.get_subcommands().filter(|command| is_shown(command)).collect();
    if subcommands.is_empty() {
        let usage = command.clone().render_usage().to_string();
        let _ = write!(text, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
        arguments(text, command);
    }
    for subcommand in subcommands {
        section(text, &name, subcommand, depth + 1);
    }
}

fn arguments(text: &mut String, command: &Command) {
    let is_told =
        |argument: &&Arg| !argument.is_hide_set() && !COMMON.contains(&argument.get_id().as_str()) && argument.get_id() != "output";
    let told: Vec<&Arg> = command.get_arguments().filter(is_told).collect();
    if told.is_empty() {
        return;
    }
    text.push_str("\n| Argument | Meaning |\n| --- | --- |\n");
    for argument in told {
        let _ = writeln!(text, "| `{}` | {} |", form(argument), meaning(argument));
    }
}

/// As it is written: `GRAPH`, `-y, --yes`, `--keep-last <N>`.
fn form(argument: &Arg) -> String {
    let values: Vec<String> = argument.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let flags: Vec<String> = argument
        .get_short()
        .map(|short| format!("-{short}"))
        .into_iter()
        .chain(argument.get_long().map(|long| format!("--{long}")))
        .collect();
    match (flags.is_empty(), takes_value) {
        (true, _) => values.join(" "),
        (false, true) => format!("{} {}", flags.join(", "), values.join(" ")),
        (false, false) => flags.join(", "),
    }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|").replace('\n', " ");
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && !["true", "false"].contains(&value.get_name()))
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let defaults: Vec<String> = argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let mut parts = vec![help];
    if !choices.is_empty() {
        parts.push(format!("One of {}.", choices.join(", ")));
    }
    if !argument.is_hide_default_value_set() && !defaults.is_empty() && argument.get_action().takes_values() {
        parts.push(format!("Default: `{}`.", defaults.join(" ")));
    }
    parts.join(" ").trim().to_owned()
}

/// Writes a manual page for each command.
///
/// # Errors
/// A page cannot be written.
pub fn write_man_pages(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    clap_mangen::generate_to(Args::command(), directory).with_context(|| format!("cannot write to {}", directory.display()))
}
