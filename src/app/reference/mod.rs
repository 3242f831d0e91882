//! The documents that are generated from the code: the tables of the configuration reference, and the reference of the API.

mod commands;
mod descriptors;
mod index;
mod page;
mod settings;
mod types;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::descriptors::Api;

pub use self::commands::write_man_pages;

/// Has prose of its own; only its tables are generated.
const CONFIGURATION: &str = "CONFIGURATION.md";

/// Stands in each document that is generated whole.
const NOTICE: &str = "<!-- generated from proto/lightkeep/v1: cargo run -- reference documents docs -->";

/// Likewise.
const NOTICE_OF_COMMANDS: &str = "<!-- generated from src/cli and src/app/args.rs: cargo run -- reference documents docs -->";

/// The generated documents: their paths in the folder of the documents, and their texts.
///
/// # Errors
/// The configuration reference in `docs` cannot be read, or lacks the place of a table.
pub fn documents(docs: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let configuration = docs.join(CONFIGURATION);
    let text = fs::read_to_string(&configuration).with_context(|| format!("cannot read {}", configuration.display()))?;
    let api = Api::new()?;
    let mut documents: BTreeMap<PathBuf, String> = api.files().map(|file| (page::path(&file), page::text(&api, &file))).collect();
    documents.insert(index::PATH.into(), index::text(&api));
    documents.insert(CONFIGURATION.into(), settings::fill(&text)?);
    documents.insert(commands::PATH.into(), commands::text());
    Ok(documents)
}

/// Writes the generated documents into the folder of the documents.
///
/// # Errors
/// As of [`documents`], or a file cannot be written.
pub fn write(docs: &Path) -> anyhow::Result<()> {
    for (path, text) in documents(docs)? {
        let path = docs.join(path);
        let folder = path.parent().unwrap_or(docs);
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A row of a Markdown table.
fn row<const CELLS: usize>(cells: [&str; CELLS]) -> String {
    let cells = cells.map(|cell| if cell.is_empty() { " ".to_owned() } else { format!(" {} ", cell.replace('|', "\\|")) });
    format!("|{}|\n", cells.join("|"))
}

/// The first two rows of a Markdown table.
fn head<const CELLS: usize>(names: [&str; CELLS]) -> String {
    row(names) + &row(["---"; CELLS])
}
