//! Where a repository's files lie. Six verbs: list, read, read a range, write once, delete, exists. A local directory today;
//! an object store has the same six and would stand beside [`local::Local`].

pub(crate) mod local;
pub(crate) mod staged;

/// The kinds of files of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Key files.
    Key,
    /// Lock files.
    Lock,
    /// Snapshot records.
    Snapshot,
    /// Index files.
    Index,
    /// Packs.
    Pack,
}

impl FileKind {
    /// The directory of this kind in restic's layout.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Snapshot => "snapshots",
            Self::Index => "index",
            Self::Pack => "data",
        }
    }

    /// What a message calls one.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Key => "key file",
            Self::Lock => "lock file",
            Self::Snapshot => "snapshot record",
            Self::Index => "index file",
            Self::Pack => "pack",
        }
    }
}
