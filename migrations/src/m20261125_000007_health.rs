//! What was found when components were looked at.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, string, text};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The old Python server has a table `health_events` of its own.
        let table = Table::create()
            .table("health_checks")
            .col(string("health_check_id").primary_key())
            .col(string("component_type"))
            .col(string("component_id"))
            .col(string("status"))
            .col(text("message"))
            // A JSON object of texts.
            .col(text("details"))
            .col(big_integer("checked_at"))
            .to_owned();
        manager.create_table(table).await?;
        let by_component = Index::create()
            .name("health_checks_by_component")
            .table("health_checks")
            .col("component_type")
            .col("component_id")
            .col("checked_at")
            .to_owned();
        manager.create_index(by_component).await?;
        manager.create_index(Index::create().name("health_checks_by_time").table("health_checks").col("checked_at").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("health_checks").to_owned()).await
    }
}
