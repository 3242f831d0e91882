//! Checkpoints over many graphs, and their validations.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, boolean_null, integer, string, string_null, text, text_null};

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
            // How many checkpoints keep it.
            integer("checkpoints").default(0).take(),
            big_integer_null("captured_at"),
        ];
        for mut column in columns {
            manager.alter_table(Table::alter().table("snapshots").add_column(&mut column).to_owned()).await?;
        }
        for table in [checkpoints(), checkpoint_members(), validations(), validation_members()] {
            manager.create_table(table).await?;
        }
        let by_time = |name: &'static str, table: &'static str, id: &'static str| {
            Index::create().name(name).table(table).col("created_at").col(id).to_owned()
        };
        manager.create_index(by_time("checkpoints_by_time", "checkpoints", "checkpoint_id")).await?;
        manager.create_index(by_time("validations_by_time", "validations", "validation_id")).await?;
        for (name, table) in [("checkpoints_by_state", "checkpoints"), ("validations_by_state", "validations")] {
            manager.create_index(Index::create().name(name).table(table).col("state").to_owned()).await?;
        }
        let by_caller = Index::create().name("audit_events_by_caller").table("audit_events").col("caller").col("created_at").to_owned();
        manager.create_index(by_caller).await?;
        let by_checkpoint = Index::create().name("validations_by_checkpoint").table("validations").col("checkpoint_id").to_owned();
        manager.create_index(by_checkpoint).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("audit_events_by_caller").table("audit_events").to_owned()).await?;
        for table in ["validation_members", "validations", "checkpoint_members", "checkpoints"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        for column in ["captured_at", "checkpoints"] {
            manager.alter_table(Table::alter().table("snapshots").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn checkpoints() -> TableCreateStatement {
    Table::create()
        .table("checkpoints")
        .col(string("checkpoint_id").primary_key())
        .col(string("origin"))
        .col(string("state"))
        .col(text("description"))
        // A JSON object of texts.
        .col(text_null("labels"))
        .col(boolean("allow_partial"))
        .col(big_integer("window_seconds"))
        // How deep it is validated as soon as it is complete; null for not at all.
        .col(string_null("validate_level"))
        .col(big_integer("created_at"))
        .col(big_integer_null("completed_at"))
        .col(big_integer_null("captured_from_at"))
        .col(big_integer_null("captured_until_at"))
        .col(big_integer_null("retention_until"))
        // The last validation that has ended and counts.
        .col(boolean_null("validation_passed"))
        .col(string_null("validation_level"))
        .col(big_integer_null("validated_at"))
        .col(text_null("error_message"))
        .to_owned()
}

fn checkpoint_members() -> TableCreateStatement {
    Table::create()
        .table("checkpoint_members")
        .col(string("checkpoint_id"))
        .col(string("graph_id"))
        .col(integer("position"))
        // Null for a graph that could not join.
        .col(string_null("snapshot_id"))
        // Taken for the checkpoint, not named by its caller.
        .col(boolean("fresh"))
        .col(big_integer_null("captured_at"))
        .col(text_null("error_message"))
        .primary_key(Index::create().col("checkpoint_id").col("graph_id"))
        .foreign_key(&mut belongs("checkpoint_members", "checkpoint_id", "checkpoints"))
        .to_owned()
}

fn validations() -> TableCreateStatement {
    Table::create()
        .table("validations")
        .col(string("validation_id").primary_key())
        .col(string("checkpoint_id"))
        .col(string("state"))
        .col(string("level"))
        // JSON: what is wrong, by graph and snapshot.
        .col(text("problems"))
        .col(big_integer("created_at"))
        .col(big_integer_null("ended_at"))
        .foreign_key(&mut belongs("validations", "checkpoint_id", "checkpoints"))
        .to_owned()
}

fn validation_members() -> TableCreateStatement {
    Table::create()
        .table("validation_members")
        .col(string("validation_id"))
        .col(string("graph_id"))
        .col(string("snapshot_id"))
        // Null where there is nothing that could be verified.
        .col(string_null("operation_id"))
        .col(text_null("problem"))
        .primary_key(Index::create().col("validation_id").col("graph_id"))
        .foreign_key(&mut belongs("validation_members", "validation_id", "validations"))
        .to_owned()
}

fn belongs(table: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(to, column).on_delete(ForeignKeyAction::Cascade).to_owned()
}
