//! Which entries of a snapshot are restored, where it is not all.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use crate::repository::error::Error;
use crate::repository::format::id::RecordId;

/// Chosen paths as a tree of names, so that a walk asks each directory for its own names only.
pub(crate) struct Selection<'a> {
    record: RecordId,
    /// The chosen paths, and whether the walk has come by them.
    paths: Vec<(&'a PathBuf, bool)>,
    /// The first is the source itself. Not nested, as paths may be as long as their caller likes.
    choices: Vec<Choice<'a>>,
}

#[derive(Default)]
struct Choice<'a> {
    /// The path that ends here.
    path: Option<usize>,
    below: HashMap<&'a OsStr, usize>,
}

/// What is chosen at one place of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Whether it is chosen itself, with all that is in it. Else something in it is.
    pub(crate) all: bool,
    choice: Option<usize>,
}

impl<'a> Selection<'a> {
    /// Of paths relative to the source, where the empty one is all of it; `None` is all too. One that is absolute or has `..` in
    /// it is in no snapshot.
    pub(crate) fn of(record: &RecordId, only: Option<&'a [PathBuf]>) -> Result<Self, Error> {
        let mut selection = Self { record: *record, paths: Vec::new(), choices: vec![Choice::default()] };
        let Some(paths) = only else {
            selection.choices.clear();
            return Ok(selection);
        };
        for path in paths {
            let mut at = 0;
            for part in path.components() {
                let Component::Normal(name) = part else { return Err(selection.not_recorded(path)) };
                let next = selection.choices.len();
                at = *selection.choices[at].below.entry(name).or_insert(next);
                if at == next {
                    selection.choices.push(Choice::default());
                }
            }
            if selection.choices[at].path.is_none() {
                selection.choices[at].path = Some(selection.paths.len());
                selection.paths.push((path, false));
            }
        }
        Ok(selection)
    }

    /// What is chosen of the source.
    pub(crate) fn top(&mut self) -> Chosen {
        match self.choices.is_empty() {
            true => Chosen { all: true, choice: None },
            false => self.come_by(0, false),
        }
    }

    /// What is chosen of an entry of a directory; `None` when nothing is.
    pub(crate) fn of_entry(&mut self, directory: Chosen, name: &OsStr, is_directory: bool) -> Option<Chosen> {
        match directory.choice.and_then(|choice| self.choices[choice].below.get(name).copied()) {
            Some(choice) => Some(self.come_by(choice, directory.all)).filter(|chosen| chosen.all || is_directory),
            None => directory.all.then_some(Chosen { all: true, choice: None }),
        }
    }

    fn come_by(&mut self, choice: usize, all: bool) -> Chosen {
        let path = self.choices[choice].path;
        if let Some(path) = path {
            self.paths[path].1 = true;
        }
        Chosen { all: all || path.is_some(), choice: Some(choice) }
    }

    /// Fails when the walk has not come by a chosen path.
    pub(crate) fn check_found(&self) -> Result<(), Error> {
        self.paths.iter().find(|(_, found)| !found).map_or(Ok(()), |(path, _)| Err(self.not_recorded(path)))
    }

    fn not_recorded(&self, path: &Path) -> Error {
        Error::PathNotRecorded { id: self.record, path: path.to_path_buf() }
    }
}
