//! The file of hooks.

use std::fs;
use std::path::Path;

use super::paths;
use super::sources::Sources;
use super::table;
use crate::domain::hook::{HookFile, Hooks};

/// Reads and checks the file of hooks; none without one. All that is wrong with it is a problem.
pub(super) fn hooks(sources: &mut Sources<'_>, working_dir: &Path) -> Hooks {
    let Some(path) = sources.read(&table::HOOKS_FILE) else { return Hooks::default() };
    let path = paths::absolute(Path::new(&path), working_dir);
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            sources.problems.add(format!("`LIGHTKEEP_HOOKS_FILE` cannot be read: {shown}: {error}"));
            return Hooks::default();
        }
    };
    match toml::from_str::<HookFile>(&text).map_err(|error| vec![without_text(&error, &text)]).and_then(HookFile::check) {
        Ok(hooks) => hooks,
        Err(problems) => {
            problems.into_iter().for_each(|problem| sources.problems.add(format!("`LIGHTKEEP_HOOKS_FILE` {shown}: {problem}")));
            Hooks::default()
        }
    }
}

/// What is wrong and in which line, without what stands there: it may hold a token.
fn without_text(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
    format!("line {line}: {}", error.message())
}
