//! The inputs directory: where a graph's is, and what a snapshot holds of it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer_null, string_null, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too: a process that ends half-way leaves what was there.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("graphs", text_null("inputs_dir")),
            // All null for a snapshot without inputs.
            ("snapshots", text_null("inputs_dir")),
            ("snapshots", big_integer_null("inputs_files")),
            ("snapshots", big_integer_null("inputs_size_bytes")),
            ("snapshots", string_null("inputs_data_hash")),
        ];
        for (table, mut column) in columns {
            manager.alter_table(Table::alter().table(table).add_column(&mut column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let added = [
            ("snapshots", "inputs_data_hash"),
            ("snapshots", "inputs_size_bytes"),
            ("snapshots", "inputs_files"),
            ("snapshots", "inputs_dir"),
            ("graphs", "inputs_dir"),
        ];
        for (table, column) in added {
            manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}
