//! The URL of the metadata database: SQLAlchemy's forms, as the old server's users have them, become ours.

use std::fmt;
use std::path::{Path, PathBuf};

use super::paths::absolute;

const FORMS: &str = "use `sqlite:///relative/file.db`, `sqlite:////absolute/file.db` or `postgresql://user:password@host/database`";

/// Where the metadata lies. Never shows a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file, by its absolute path.
    Sqlite(PathBuf),
    /// A PostgreSQL server, by a URL that begins with `postgres://`.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database. Never shown with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl DatabaseUrl {
    /// Reads a URL in SQLAlchemy's form or in ours. The error is the rest of a sentence and shows no value: it may hold a password.
    pub(in crate::app) fn parse(text: &str, working_dir: &Path) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("is no database URL: {FORMS}"));
        };
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => sqlite(rest, working_dir),
            "postgres" | "postgresql" if !rest.is_empty() => Ok(Self::Postgres(PostgresUrl(format!("postgres://{rest}")))),
            other => Err(format!("names no database that is supported, {FORMS}: {other}")),
        }
    }

    /// What the database driver connects to, password included: for that one place.
    pub fn connect_url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}?mode=rwc", percent_encoded(path)),
            Self::Postgres(url) => url.0.clone(),
        }
    }

    /// The file of a SQLite database.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// `rest` is what follows `sqlite://`. SQLAlchemy's third slash ends an empty host: what follows it is the path, relative or not.
fn sqlite(rest: &str, working_dir: &Path) -> Result<DatabaseUrl, String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // SQLAlchemy's option about threads means nothing here; the mode is ours.
    let known = |option: &&str| option.is_empty() || *option == "mode=rwc" || option.starts_with("check_same_thread=");
    if let Some(option) = query.split('&').find(|option| !known(option)) {
        let name = option.split('=').next().unwrap_or_default();
        return Err(format!("has an option that is not supported, remove it: {name}"));
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(format!("names a database in memory, which would be lost at the end: {FORMS}"));
    }
    Ok(DatabaseUrl::Sqlite(absolute(Path::new(path), working_dir)))
}

/// The driver decodes the path, so what it would take for something else is encoded.
fn percent_encoded(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.strip_prefix("postgres://").unwrap_or_default();
        // Options may hold a password too.
        let rest = rest.split('?').next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((user, host)) => write!(f, "postgres://{}:***@{host}", user.split(':').next().unwrap_or_default()),
            None => write!(f, "postgres://{rest}"),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(text: &str) -> Result<String, String> {
        DatabaseUrl::parse(text, Path::new("/w")).map(|url| url.connect_url())
    }

    #[test]
    fn sqlalchemy_forms_become_ours() {
        for (given, wanted) in [
            ("sqlite:///./a.db", "sqlite:///w/a.db?mode=rwc"),
            ("sqlite:///sub/a.db?check_same_thread=false", "sqlite:///w/sub/a.db?mode=rwc"),
            ("sqlite:////var/a.db", "sqlite:///var/a.db?mode=rwc"),
            ("sqlite+aiosqlite:////var/a.db", "sqlite:///var/a.db?mode=rwc"),
            ("sqlite://a.db?mode=rwc", "sqlite:///w/a.db?mode=rwc"),
            ("sqlite:////var/50%?mode=rwc", "sqlite:///var/50%25?mode=rwc"),
            ("postgres://u:p@h/d", "postgres://u:p@h/d"),
            ("postgresql://u:p@h:5433/d?sslmode=require", "postgres://u:p@h:5433/d?sslmode=require"),
            ("postgresql+psycopg2://u:p@h/d", "postgres://u:p@h/d"),
        ] {
            assert_eq!(connect(given).as_deref(), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn other_forms_are_refused_without_showing_them() {
        for given in
            ["", "lightrag.db", "mysql://u:hunter2@h/d", "sqlite://", "sqlite:///:memory:", "sqlite:///a?key=hunter2", "postgresql://"]
        {
            let error = connect(given).expect_err(given);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = DatabaseUrl::parse("postgresql://ann:hunter2@hunter2@h:1/d?password=hunter2", Path::new("/w")).expect("a URL");
        assert_eq!(url.to_string(), "postgres://ann:***@h:1/d");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
