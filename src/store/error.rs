//! What can go wrong with the rows.

use sea_orm::{DbErr, SqlErr};

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

    /// Whether a row with this key exists already.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Query { source, .. } if matches!(source.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }

    /// Whether what a row belongs to is not there.
    pub fn is_foreign_key_violation(&self) -> bool {
        matches!(self, Self::Query { source, .. } if matches!(source.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))))
    }
}
