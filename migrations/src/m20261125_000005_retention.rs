//! Retention policies of graphs, tags and legal holds of snapshots, and since when a repository holds what nobody needs.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer_null, boolean, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            // A JSON object; null where snapshots are kept by age.
            ("graphs", text_null("retention_policy")),
            ("graphs", big_integer_null("unpruned_since_at")),
            ("snapshots", boolean("kept_by_policy").default(false).take()),
            // A JSON list of texts.
            ("snapshots", text_null("tags")),
            ("snapshots", text_null("hold_reason")),
            ("snapshots", big_integer_null("held_at")),
            ("snapshots", big_integer_null("held_until_at")),
            ("schedules", text_null("tags")),
        ];
        for (table, mut column) in columns {
            manager.alter_table(Table::alter().table(table).add_column(&mut column).to_owned()).await?;
        }
        // What was deleted so far may still be there.
        manager.get_connection().execute_unprepared("UPDATE graphs SET unpruned_since_at = created_at").await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let added = [
            ("schedules", "tags"),
            ("snapshots", "held_until_at"),
            ("snapshots", "held_at"),
            ("snapshots", "hold_reason"),
            ("snapshots", "tags"),
            ("snapshots", "kept_by_policy"),
            ("graphs", "unpruned_since_at"),
            ("graphs", "retention_policy"),
        ];
        for (table, column) in added {
            manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
