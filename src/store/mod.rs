//! Floor 2: the rows. One file of queries per noun; what belongs together is written in one transaction.

pub mod audit_events;
mod columns;
pub mod entity;
mod error;
pub mod graphs;
pub mod idempotency_keys;
pub mod leases;
pub mod operations;
pub mod snapshots;

use std::time::Duration;

use migrations::Migrator;
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;

pub use error::Error;

/// The metadata database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    connection: DatabaseConnection,
}

impl Store {
    /// Connects, without touching the tables.
    ///
    /// # Errors
    /// The database cannot be reached or opened.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let mut options = ConnectOptions::new(url);
        options.sqlx_logging(false).min_connections(1).max_connections(8).acquire_timeout(Duration::from_secs(30));
        options.map_sqlx_sqlite_opts(|options| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            // A write-ahead log lets reads go on beside a write. NORMAL: kill -9 loses nothing; after a power cut the last
            // moments may be missing, and their snapshots are still in the repositories.
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .busy_timeout(Duration::from_secs(30))
                .foreign_keys(true)
        });
        let connection = Database::connect(options).await.map_err(Error::Connect)?;
        Ok(Self { connection })
    }

    /// Brings the tables to this program's version.
    ///
    /// # Errors
    /// [`Error::SchemaTooNew`] when a newer program has been here.
    pub async fn migrate(&self) -> Result<(), Error> {
        let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        if let Ok(applied) = Migrator::get_migration_models(&self.connection).await
            && let Some(unknown) = applied.into_iter().find(|applied| !known.contains(&applied.version))
        {
            return Err(Error::SchemaTooNew { migration: unknown.version });
        }
        Migrator::up(&self.connection, None).await.map_err(|source| Error::Query { operation: "migrate the database", source })
    }

    /// Whether only one process uses the database.
    pub fn is_sqlite(&self) -> bool {
        self.connection.get_database_backend() == DbBackend::Sqlite
    }

    /// The connection, for reads outside a transaction.
    pub fn read(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Begins a transaction: what is written in it is there after [`commit`], or not at all. No transaction here reads what it
    /// then relies on without a unique key or a fence behind it, so the databases' ordinary isolation is enough.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        // A deferred transaction that reads first and writes later fails under other writers; IMMEDIATE waits its turn.
        let options =
            TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..TransactionOptions::default() };
        self.connection.begin_with_options(options).await.map_err(Error::during("begin a transaction"))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.connection.ping().await.map_err(|source| Error::Query { operation: "reach the database", source })
    }

    /// Closes the connections.
    ///
    /// # Errors
    /// The database reports one.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(|source: DbErr| Error::Query { operation: "close the database", source })
    }
}

/// Makes all that was written in a transaction last.
///
/// # Errors
/// The database's; then nothing of it is there.
pub async fn commit(transaction: DatabaseTransaction) -> Result<(), Error> {
    transaction.commit().await.map_err(Error::during("commit a transaction"))
}
