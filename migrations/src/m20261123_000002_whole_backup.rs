//! Operations without a snapshot and with a result; pins, verifications, losses and deletions of snapshots; revisions of graphs.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer_null, boolean_null, string_null, text_null};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too: a process that ends half-way leaves what was there.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        allow_operations_without_snapshot(manager).await?;
        // What came out, as JSON by the operation's kind.
        add(manager, "operations", text_null("result")).await?;
        let snapshot_columns = [
            text_null("pin_reason"),
            big_integer_null("pinned_at"),
            // Null with a reason: pinned until it is unpinned.
            big_integer_null("pinned_until_at"),
            // The last verification.
            big_integer_null("verified_at"),
            string_null("verified_level"),
            boolean_null("verified_passed"),
            // What a repair found lost, as JSON; null for a snapshot that is whole.
            text_null("losses"),
            // The layout of its stores, such as `1.5`.
            string_null("lightrag_layout"),
            // The operation that is deleting it: no pin comes any more.
            string_null("deleting_operation_id"),
        ];
        for column in snapshot_columns {
            add(manager, "snapshots", column).await?;
        }
        add(manager, "graphs", ColumnDef::new("revision").big_integer().not_null().default(1).to_owned()).await?;
        manager.create_table(verifications()).await?;
        let by_snapshot =
            Index::create().name("verifications_by_snapshot").table("verifications").col("snapshot_id").col("ended_at").to_owned();
        manager.create_index(by_snapshot).await?;
        // Operations find their snapshots by it.
        manager.create_index(Index::create().name("snapshots_by_operation").table("snapshots").col("operation_id").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("verifications").to_owned()).await?;
        manager.drop_index(Index::drop().name("snapshots_by_operation").table("snapshots").to_owned()).await?;
        let added = [
            ("graphs", "revision"),
            ("snapshots", "deleting_operation_id"),
            ("snapshots", "lightrag_layout"),
            ("snapshots", "losses"),
            ("snapshots", "verified_passed"),
            ("snapshots", "verified_level"),
            ("snapshots", "verified_at"),
            ("snapshots", "pinned_until_at"),
            ("snapshots", "pinned_at"),
            ("snapshots", "pin_reason"),
            ("operations", "result"),
        ];
        for (table, column) in added {
            manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
        }
        // The column may hold nulls now and stays as it is: an older program reads all rows that it made itself.
        Ok(())
    }
}

async fn add(manager: &SchemaManager<'_>, table: &'static str, column: ColumnDef) -> Result<(), DbErr> {
    let mut column = column;
    manager.alter_table(Table::alter().table(table).add_column(&mut column).to_owned()).await
}

/// SQLite cannot change a column: there, a new one takes its place.
async fn allow_operations_without_snapshot(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let statements: &[&str] = match manager.get_database_backend() {
        DbBackend::Postgres => &["ALTER TABLE operations ALTER COLUMN snapshot_id DROP NOT NULL"],
        _ => &[
            "ALTER TABLE operations ADD COLUMN subject varchar",
            "UPDATE operations SET subject = snapshot_id",
            "ALTER TABLE operations DROP COLUMN snapshot_id",
            "ALTER TABLE operations RENAME COLUMN subject TO snapshot_id",
        ],
    };
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

fn verifications() -> TableCreateStatement {
    use sea_orm_migration::schema::{big_integer, boolean, string, text};
    Table::create()
        .table("verifications")
        .col(string("verification_id").primary_key())
        .col(string("graph_id"))
        .col(string("snapshot_id"))
        .col(string("operation_id"))
        .col(string("level"))
        .col(boolean("passed"))
        // Problems of the repository and findings of the audit, as JSON.
        .col(text("problems"))
        .col(text_null("verdict"))
        .col(big_integer("read_bytes"))
        .col(big_integer("started_at"))
        .col(big_integer("ended_at"))
        .foreign_key(
            ForeignKey::create().from("verifications", "snapshot_id").to("snapshots", "snapshot_id").on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}
