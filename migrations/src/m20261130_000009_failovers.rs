//! Failovers, the graphs that they hold, the objectives of graphs, and what schedules do.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, string, string_null, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns that come to `graphs`.
const OBJECTIVES: [&str; 2] = ["rpo_objective_seconds", "rto_objective_seconds"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(failovers()).await?;
        manager.create_table(fences()).await?;
        for column in OBJECTIVES {
            manager.alter_table(Table::alter().table("graphs").add_column(big_integer_null(column)).to_owned()).await?;
        }
        let epoch = big_integer("fence_epoch").default(0).to_owned();
        manager.alter_table(Table::alter().table("graphs").add_column(epoch).to_owned()).await?;
        let action = string("action").default("snapshot").to_owned();
        manager.alter_table(Table::alter().table("schedules").add_column(action).to_owned()).await?;
        let indexes: [(&str, &str, &[&'static str]); 5] = [
            ("failovers_by_time", "failovers", &["created_at", "failover_id"]),
            ("failovers_by_checkpoint", "failovers", &["checkpoint_id", "created_at"]),
            ("failovers_by_state", "failovers", &["state"]),
            ("failovers_by_operation", "failovers", &["operation_id"]),
            ("fences_by_failover", "fences", &["failover_id"]),
        ];
        for (name, table, columns) in indexes {
            let mut index = Index::create().name(name).table(table).to_owned();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in OBJECTIVES.into_iter().chain(["fence_epoch"]) {
            manager.alter_table(Table::alter().table("graphs").drop_column(column).to_owned()).await?;
        }
        manager.alter_table(Table::alter().table("schedules").drop_column("action").to_owned()).await?;
        for table in ["fences", "failovers"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn failovers() -> TableCreateStatement {
    Table::create()
        .table("failovers")
        .col(string("failover_id").primary_key())
        .col(string("kind"))
        // It may have been deleted since.
        .col(string("checkpoint_id"))
        // Of a failback: the failover that it takes back.
        .col(string_null("failed_over_by"))
        // What is being done, or was done last; null while the snapshots of a failback are taken.
        .col(string_null("operation_id"))
        .col(string("state"))
        .col(string("phase"))
        .col(boolean("force"))
        // A JSON list of the graphs, and where each goes.
        .col(text("plan"))
        // A JSON list of the steps that were done.
        .col(text("report"))
        .col(text_null("error_message"))
        .col(big_integer("created_at"))
        .col(big_integer_null("ended_at"))
        .to_owned()
}

/// A graph is in at most one failover: the table says in which, from its request to its end.
fn fences() -> TableCreateStatement {
    Table::create()
        .table("fences")
        .col(string("graph_id").primary_key())
        .col(string("failover_id"))
        // Nothing else works on the graph.
        .col(boolean("is_up"))
        .to_owned()
}
