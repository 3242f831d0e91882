//! What can go wrong with the rows.

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// An error of the metadata database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot open the metadata database, check `LIGHTRAG_RECOVERY_DB_URL`")]
    Connect(#[source] DbErr),
    /// A newer program has changed the tables.
    #[error("the metadata database was written by a newer Lightkeep, use that version: migration `{migration}` is unknown")]
    SchemaTooNew {
        /// The migration that this program does not know.
        migration: String,
    },
    /// The store is being closed.
    #[error("the metadata database is closed")]
    Closed,
    /// A statement failed.
    #[error("cannot {operation}")]
    Query {
        /// What was to be done.
        operation: &'static str,
        /// Why it was not.
        #[source]
        source: DbErr,
    },
    /// The operation belongs to another worker by now: what this one did must not be recorded.
    #[error("the lease of operation `{operation_id}` was lost")]
    LeaseLost {
        /// The operation.
        operation_id: String,
    },
}

impl Error {
    /// Names the operation of a database error.
    pub(super) fn during(operation: &'static str) -> impl FnOnce(DbErr) -> Self {
        move |source| Self::Query { operation, source }
    }

    /// Whether the database does not answer, so that it may be worth trying again.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Closed => true,
            Self::Query { source, .. } => is_connection_lost(source),
            Self::SchemaTooNew { .. } | Self::LeaseLost { .. } => false,
        }
    }

    /// Whether a row with this key exists already.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Query { source, .. } if matches!(source.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }

    /// Whether what a row belongs to is not there.
    pub fn is_foreign_key_violation(&self) -> bool {
        matches!(self, Self::Query { source, .. } if matches!(source.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))))
    }
}

/// The classes of PostgreSQL's errors that say that it is going, not there yet, or that the connection is broken.
const GONE: [&str; 2] = ["08", "57P"];

fn is_connection_lost(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_));
    };
    match error.as_ref() {
        SqlxError::Io(_) | SqlxError::PoolTimedOut | SqlxError::PoolClosed | SqlxError::WorkerCrashed => true,
        SqlxError::Database(error) => error.code().is_some_and(|code| GONE.iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}
