//! Rows of the old Python server about its copies, in whatever tables they stand. That database is only read.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use migrations::Migrator;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement};
use sea_orm_migration::MigratorTrait as _;
use serde_json::{Map, Value};

use super::Error;

const READ: &str = "read the old server's database";

/// The columns that make a table one about copies.
const KEYS: [&str; 2] = ["backup_id", "graph_id"];

/// What follows the name of a SQLite file in those of the files that hold changes which are not in it yet.
const LOGS: [&str; 2] = ["-wal", "-journal"];

/// A database that is open for reading only.
#[derive(Debug)]
pub struct Reading {
    connection: DatabaseConnection,
    _copy: Option<Copy>,
}

/// A table with rows about copies.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its rows: columns by their names, in small letters.
    pub rows: Vec<Map<String, Value>>,
    /// How many of its rows hold something that cannot be read.
    pub unreadable: usize,
}

/// A copy of a SQLite file with its logs. Gone when dropped.
#[derive(Debug)]
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        // A temporary directory: what is left of it, the system sweeps.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Reading {
    /// Opens a database; `file` is its path where it is a SQLite file. Nothing is made or changed, no log and no lock either.
    ///
    /// # Errors
    /// It is not there, cannot be reached, or a copy of it cannot be made.
    pub async fn open(url: &str, file: Option<&Path>) -> Result<Self, Error> {
        let logged = file.filter(|file| LOGS.iter().any(|log| fs::metadata(beside(file, log)).is_ok_and(|log| log.len() > 0)));
        // To read a file and its log, SQLite would write beside them.
        let copy = logged
            .map(copy)
            .transpose()
            .map_err(|error| Error::during("copy the database to read it")(DbErr::Custom(error.to_string())))?;
        let place = copy.as_ref().zip(file).map(|(copy, file)| copy.0.join(file.file_name().unwrap_or_default()));
        let mut options = ConnectOptions::new(url);
        options.sqlx_logging(false).max_connections(1);
        options.map_sqlx_sqlite_opts(move |options| match &place {
            Some(copied) => options.filename(copied).create_if_missing(false),
            None => options.create_if_missing(false).read_only(true).immutable(true),
        });
        options.map_sqlx_postgres_opts(|options| options.options([("default_transaction_read_only", "on")]));
        let connection = Database::connect(options).await.map_err(Error::during("open the database to read it"))?;
        Ok(Self { connection, _copy: copy })
    }

    /// The connection.
    pub fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Closes it.
    ///
    /// # Errors
    /// The database reports one.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(Error::during("close the database"))
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn copy(file: &Path) -> io::Result<Copy> {
    let copy = temporary_directory()?;
    for suffix in [""].into_iter().chain(LOGS) {
        let from = beside(file, suffix);
        match fs::copy(&from, copy.0.join(from.file_name().unwrap_or_default())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound || suffix.is_empty() => return Err(error),
            _ => {}
        }
    }
    Ok(copy)
}

fn temporary_directory() -> io::Result<Copy> {
    let mut number = 0;
    loop {
        let path = std::env::temp_dir().join(format!("lightkeep-legacy-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| Copy(path)),
        }
    }
}

/// Whether there are tables of Lightkeep in a database.
///
/// # Errors
/// The database's.
pub async fn has_own_tables(connection: &impl ConnectionTrait) -> Result<bool, Error> {
    let is_own = |((_, table), columns): (&(String, String), &Vec<String>)| {
        table == "snapshots" && columns.iter().any(|column| column == "snapshot_id")
    };
    Ok(tables(connection).await?.iter().any(is_own))
}

/// Whether the tables of Lightkeep are as this program has them, or newer.
///
/// # Errors
/// The database's.
pub async fn has_current_tables(connection: &impl ConnectionTrait) -> Result<bool, Error> {
    Ok(Migrator::get_pending_migrations_read_only(connection).await.map_err(Error::during("read the migrations"))?.is_empty())
}

/// All rows of all tables that have the columns `backup_id` and `graph_id`, with all their columns.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait) -> Result<Vec<Table>, Error> {
    let mut found = Vec::new();
    for ((schema, name), columns) in tables(connection).await? {
        if !KEYS.iter().all(|key| columns.iter().any(|column| column.eq_ignore_ascii_case(key))) {
            continue;
        }
        let backend = connection.get_database_backend();
        let statement = if backend == DbBackend::Sqlite {
            let fields: Vec<String> = columns.iter().map(|column| sqlite_field(column)).collect();
            // As bytes: a text need not be UTF-8 there.
            format!("SELECT CAST(json_object({}) AS BLOB) FROM {}", fields.join(", "), quoted(&name))
        } else {
            format!("SELECT CAST(row_to_json(t) AS TEXT) FROM {}.{} t", quoted(&schema), quoted(&name))
        };
        let mut table = Table { name, ..Table::default() };
        for row in rows(connection, statement).await? {
            match fields(&row) {
                Some(fields) => table.rows.push(fields),
                None => table.unreadable += 1,
            }
        }
        found.push(table);
    }
    Ok(found)
}

/// The columns of a row; none where one holds what JSON cannot, such as a number that is too large.
fn fields(row: &QueryResult) -> Option<Map<String, Value>> {
    let bytes = row.try_get_by_index(0).or_else(|_| row.try_get_by_index(0).map(String::into_bytes)).ok()?;
    let fields: Map<String, Value> = serde_json::from_str(&String::from_utf8_lossy(&bytes)).ok()?;
    Some(fields.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect())
}

/// A field of SQLite's `json_object`, which refuses bytes, and an id may be kept so. Infinity has no place in JSON.
fn sqlite_field(column: &str) -> String {
    let (name, value) = (column.replace('\'', "''"), quoted(column));
    format!(
        "'{name}', CASE WHEN typeof({value}) = 'blob' THEN hex({value}) \
         WHEN typeof({value}) = 'real' AND abs({value}) > 1.7976931348623157e308 THEN CAST({value} AS TEXT) ELSE {value} END"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns of all tables, by schema and table.
async fn tables(connection: &impl ConnectionTrait) -> Result<BTreeMap<(String, String), Vec<String>>, Error> {
    let statement = if connection.get_database_backend() == DbBackend::Sqlite {
        "SELECT '', m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
    } else {
        "SELECT c.table_schema::text, c.table_name::text, c.column_name::text \
         FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) \
         WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('pg_catalog', 'information_schema')"
    };
    let mut tables: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for row in rows(connection, statement.to_owned()).await? {
        let read = |index| row.try_get_by_index::<String>(index).map_err(Error::during(READ));
        tables.entry((read(0)?, read(1)?)).or_default().push(read(2)?);
    }
    Ok(tables)
}

async fn rows(connection: &impl ConnectionTrait, statement: String) -> Result<Vec<QueryResult>, Error> {
    let statement = Statement::from_string(connection.get_database_backend(), statement);
    connection.query_all_raw(statement).await.map_err(Error::during(READ))
}
