//! The tables of the configuration reference, between markers in its prose.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use super::{head, row};
use crate::app::config::table::{CLIENT_VARIABLES, Names, Range, SECTIONS};

/// What a marker begins with: its table's name follows.
const BEGIN: &str = "<!-- generated: ";
const MARKER_END: &str = " -->";
const END: &str = "<!-- end -->";

/// The text with all its tables made anew.
pub(super) fn fill(text: &str) -> anyhow::Result<String> {
    let mut tables = tables();
    let mut filled = String::new();
    let mut rest = text;
    while let Some((prose, behind)) = rest.split_once(BEGIN) {
        let (name, behind) = behind.split_once(MARKER_END).context("a marker has no end")?;
        let (_, behind) = behind.split_once(END).with_context(|| format!("the table `{name}` has no end"))?;
        let table = tables.remove(name).with_context(|| format!("there is no table `{name}`, or it stands there twice"))?;
        filled.push_str(&format!("{prose}{BEGIN}{name}{MARKER_END}\n\n{table}\n{END}"));
        rest = behind;
    }
    ensure!(tables.is_empty(), "no place for the tables {:?}", tables.keys());
    Ok(filled + rest)
}

/// All tables, by the names in their markers.
fn tables() -> BTreeMap<String, String> {
    let settings = SECTIONS.iter().map(|section| {
        let head = head(["Variable (aliases)", "Flag", "TOML key", "Default", "Meaning"]);
        (format!("settings {}", section.name), head + &section.settings.iter().map(|names| setting(names)).collect::<String>())
    });
    let client = CLIENT_VARIABLES.iter().map(|(name, meaning)| row([&code(name), meaning]));
    let client = ("client variables".to_owned(), head(["Variable", "Meaning"]) + &client.collect::<String>());
    settings.chain([client]).collect()
}

fn setting(names: &Names) -> String {
    let variables: Vec<String> = names.variables.iter().map(|variable| code(variable)).collect();
    let variables = match variables.split_first() {
        Some((main, aliases)) if !aliases.is_empty() => format!("{main} ({})", aliases.join(", ")),
        _ => variables.concat(),
    };
    let given = |name: &str, when_list: &str| match (name, names.list) {
        ("", _) => "—".to_owned(),
        (name, true) => format!("{} ({when_list})", code(name)),
        (name, false) => code(name),
    };
    let default = match (names.default, names.otherwise) {
        ("", "") => "none".to_owned(),
        ("", otherwise) => otherwise.to_owned(),
        (default, _) => code(default),
    };
    let bounds = names.range.map(bounds).unwrap_or_default();
    let meaning = format!("{bounds}{}", names.meaning.trim());
    row([&variables, &given(names.flag, "may be repeated"), &given(names.key, "array"), &default, &meaning])
}

/// `Seconds, 1 to 86400: `.
fn bounds(range: Range) -> String {
    let Range { unit, low, high } = range;
    let mut letters = unit.chars();
    match letters.next() {
        Some(first) => format!("{}{}, {low} to {high}: ", first.to_uppercase(), letters.as_str()),
        None => format!("{low} to {high}: "),
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_are_made_anew() {
        let all: String = tables().keys().map(|name| format!("prose of {name}\n{BEGIN}{name}{MARKER_END} AN_OLD_TABLE {END}\n")).collect();
        let filled = fill(&all).unwrap();
        assert!(!filled.contains("AN_OLD_TABLE") && filled.contains("prose of settings alerts\n"), "{filled}");
        assert!(
            filled
                .contains("| `LIGHTKEEP_DRILL_TIMEOUT_SECONDS` | — | `recovery.drill_timeout_seconds` | `300` | Seconds, 1 to 86400: how ")
        );
        assert!(filled.contains("| `LIGHTRAG_LOG_LEVEL` (`LOG_LEVEL`) | `--log-level` | `server.log_level` | `INFO` | "));
        assert_eq!(fill(&filled).unwrap(), filled);
    }

    #[test]
    fn a_table_without_its_place_is_refused() {
        assert!(fill("").unwrap_err().to_string().contains("settings server"));
        let unknown = format!("{BEGIN}settings moon{MARKER_END}{END}");
        assert!(fill(&unknown).unwrap_err().to_string().contains("settings moon"));
    }
}
