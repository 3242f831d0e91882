//! Floor 2: the rows. One file of queries per noun; what belongs together is written in one transaction.

pub mod alert_rules;
pub mod alerts;
pub mod audit_events;
pub mod checkpoints;
mod columns;
pub mod drills;
pub mod entity;
mod error;
pub mod events;
pub mod facts;
pub mod failovers;
pub mod fences;
pub mod graphs;
pub mod health_checks;
pub mod idempotency_keys;
pub mod leases;
pub mod legacy;
pub mod metric_history;
pub mod notifications;
pub mod operations;
pub mod overview;
pub mod pins;
pub mod probes;
pub mod replicas;
pub mod replications;
pub mod retention;
pub mod sampling;
pub mod schedule_runs;
pub mod schedules;
pub mod silences;
pub mod snapshots;
pub mod standbys;
pub mod statistics;
pub mod tallies;
pub mod target_events;
pub mod targets;
pub mod validations;
pub mod verifications;
pub mod waiting_operations;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use migrations::Migrator;
use sea_orm::{
    AccessMode, ConnAcquireErr, ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use error::Error;

/// How many connections there are, and how many of them writers may hold: reads are never kept waiting by writes.
const CONNECTIONS: u32 = 8;
const WRITERS_ON_SQLITE: usize = 1;
const WRITERS_ON_POSTGRES: usize = 4;

/// Who migrates a PostgreSQL database holds this advisory lock: `lightkee` in ASCII.
const MIGRATION_LOCK: i64 = 0x6c69_6768_746b_6565;

/// How long the database has to answer to whoever asks whether it does.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The metadata database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    connection: DatabaseConnection,
    writers: Arc<Semaphore>,
}

/// A transaction; what is written in it is gone unless it is [committed](commit).
#[derive(Debug)]
pub struct Transaction {
    inner: DatabaseTransaction,
    _writer: OwnedSemaphorePermit,
}

impl Deref for Transaction {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.inner
    }
}

impl Store {
    /// Connects, without touching the tables.
    ///
    /// # Errors
    /// The database cannot be reached or opened.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let mut options = ConnectOptions::new(url);
        options.sqlx_logging(false).min_connections(1).max_connections(CONNECTIONS).acquire_timeout(Duration::from_secs(30));
        options.map_sqlx_sqlite_opts(|options| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            // A write-ahead log lets reads go on beside a write. NORMAL: kill -9 loses nothing; after a power cut the last
            // moments may be missing, and their snapshots are still in the repositories.
            options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .busy_timeout(Duration::from_secs(30))
                // KiB, for each connection as it is used. With the default of 2 MiB, transactions over large tables spill.
                .pragma("cache_size", "-16384")
                .foreign_keys(true)
        });
        let connection = Database::connect(options).await.map_err(Error::Connect)?;
        let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
        let writers = if sqlite { WRITERS_ON_SQLITE } else { WRITERS_ON_POSTGRES };
        Ok(Self { connection, writers: Arc::new(Semaphore::new(writers)) })
    }

    /// Brings the tables to this program's version.
    ///
    /// # Errors
    /// [`Error::SchemaTooNew`] when a newer program has been here.
    pub async fn migrate(&self) -> Result<(), Error> {
        // Of two processes that start at once, the second finds the tables that the first has made.
        let turn = if self.is_sqlite() { None } else { Some(self.take_turn().await?) };
        self.name_migration().await?;
        let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        if let Ok(applied) = Migrator::get_migration_models(&self.connection).await
            && let Some(unknown) = applied.into_iter().find(|applied| !known.contains(&applied.version))
        {
            return Err(Error::SchemaTooNew { migration: unknown.version });
        }
        Migrator::up(&self.connection, None).await.map_err(Error::during("migrate the database"))?;
        if let Some(turn) = turn {
            turn.commit().await.map_err(Error::during("let others migrate the database"))?;
        }
        Ok(())
    }

    async fn take_turn(&self) -> Result<DatabaseTransaction, Error> {
        let turn = self.connection.begin().await.map_err(Error::during("migrate the database"))?;
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
        turn.execute_unprepared(&lock).await.map_err(Error::during("wait for another process that migrates the database"))?;
        Ok(turn)
    }

    /// Early servers noted the eleventh migration under its file's name.
    async fn name_migration(&self) -> Result<(), Error> {
        let applied = Migrator::get_migration_models(&self.connection).await.map_err(Error::during("read the migrations"))?;
        let is_noted = |version: &str| applied.iter().any(|applied| applied.version == version);
        if is_noted("mod") {
            let statement = match is_noted("m20261130_000011_monitoring") {
                true => "DELETE FROM seaql_migrations WHERE version = 'mod'",
                false => "UPDATE seaql_migrations SET version = 'm20261130_000011_monitoring' WHERE version = 'mod'",
            };
            self.connection.execute_unprepared(statement).await.map_err(Error::during("name a migration"))?;
        }
        Ok(())
    }

    /// Whether only one process uses the database.
    pub fn is_sqlite(&self) -> bool {
        self.connection.get_database_backend() == DbBackend::Sqlite
    }

    /// The connection, for reads outside a transaction.
    pub fn read(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Begins a transaction: what is written in it is there after [`commit`], or not at all. What a transaction reads and then
    /// relies on has a unique key, a lock or a fence behind it, so the databases' ordinary isolation is enough. (The number of waiting
    /// operations is no such thing: on PostgreSQL a few more than the limit may come to wait.)
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        // Never closed, so this only waits.
        let writer = Arc::clone(&self.writers).acquire_owned().await.map_err(|_| Error::Closed)?;
        // A deferred transaction that reads first and writes later fails under other writers; IMMEDIATE waits its turn.
        let options =
            TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..TransactionOptions::default() };
        let inner = self.connection.begin_with_options(options).await.map_err(Error::during("begin a transaction"))?;
        Ok(Transaction { inner, _writer: writer })
    }

    /// Begins a transaction that only reads: all that it reads is as of one moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_reading(&self) -> Result<DatabaseTransaction, Error> {
        let isolation = (!self.is_sqlite()).then_some((Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)));
        let (isolation_level, access_mode) = isolation.unwrap_or_default();
        let options = TransactionOptions { isolation_level, access_mode, ..TransactionOptions::default() };
        self.connection.begin_with_options(options).await.map_err(Error::during("begin to read"))
    }

    /// Makes all that was committed last through a power cut, where the database does not do so by itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn flush(&self) -> Result<(), Error> {
        if self.is_sqlite() {
            // Before it copies pages, a checkpoint syncs the log that they are in.
            let flushed = self.connection.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await;
            flushed.map_err(Error::during("flush the database"))?;
        }
        Ok(())
    }

    /// How many connections are open, and how many of them are idle.
    pub fn connections(&self) -> (u32, u32) {
        let figures = |size: u32, idle: usize| (size, u32::try_from(idle).unwrap_or(u32::MAX));
        if self.is_sqlite() {
            let pool = self.connection.get_sqlite_connection_pool();
            figures(pool.size(), pool.num_idle())
        } else {
            let pool = self.connection.get_postgres_connection_pool();
            figures(pool.size(), pool.num_idle())
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), Error> {
        // Without a limit it waits as long as for a free connection.
        let late = || Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
        let answered = timeout(ANSWER_LIMIT, self.connection.ping()).await.unwrap_or_else(|_| late());
        answered.map_err(Error::during("reach the database"))
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
pub async fn commit(transaction: Transaction) -> Result<(), Error> {
    transaction.inner.commit().await.map_err(Error::during("commit a transaction"))
}
