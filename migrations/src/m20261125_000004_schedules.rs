//! Schedules and their runs; labels of graphs.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, integer, string, string_null, text_null};
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A JSON object of texts.
        let mut labels = text_null("labels");
        manager.alter_table(Table::alter().table("graphs").add_column(&mut labels).to_owned()).await?;
        manager.create_table(schedules()).await?;
        manager.create_table(schedule_runs()).await?;
        allow_events_without_graph(manager).await?;
        let index = |name: &'static str, table: &'static str, columns: &[&'static str]| {
            let mut statement = Index::create();
            statement.name(name).table(table);
            for column in columns {
                statement.col(*column);
            }
            statement
        };
        manager.create_index(index("schedules_by_next_run", "schedules", &["next_run_at", "schedule_id"])).await?;
        manager.create_index(index("schedules_by_time", "schedules", &["created_at", "schedule_id"])).await?;
        manager.create_index(index("schedules_by_graph", "schedules", &["graph_id"])).await?;
        // A graph has one schedule that was set for it, or the default one.
        let only = "CREATE UNIQUE INDEX schedules_of_graph ON schedules (graph_id) WHERE origin <> 'created'";
        manager.get_connection().execute_unprepared(only).await?;
        let on_change = "CREATE INDEX schedules_on_change ON schedules (schedule_id) WHERE debounce_seconds IS NOT NULL";
        manager.get_connection().execute_unprepared(on_change).await?;
        // A second leader fires nothing twice.
        let once = index("schedule_runs_once", "schedule_runs", &["schedule_id", "graph_id", "fire_at"]).unique().to_owned();
        manager.create_index(once).await?;
        manager
            .create_index(index("schedule_runs_by_schedule", "schedule_runs", &["schedule_id", "created_at", "schedule_run_id"]))
            .await?;
        manager.create_index(index("schedule_runs_by_time", "schedule_runs", &["created_at"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("schedule_runs").to_owned()).await?;
        manager.drop_table(Table::drop().table("schedules").to_owned()).await?;
        manager.alter_table(Table::alter().table("graphs").drop_column("labels").to_owned()).await
    }
}

/// SQLite cannot change a column: there, a new one takes its place.
async fn allow_events_without_graph(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let statements: &[&str] = match manager.get_database_backend() {
        DbBackend::Postgres => &["ALTER TABLE audit_events ALTER COLUMN graph_id DROP NOT NULL"],
        _ => &[
            "ALTER TABLE audit_events ADD COLUMN of_graph varchar",
            "UPDATE audit_events SET of_graph = graph_id",
            "ALTER TABLE audit_events DROP COLUMN graph_id",
            "ALTER TABLE audit_events RENAME COLUMN of_graph TO graph_id",
        ],
    };
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

fn schedules() -> TableCreateStatement {
    Table::create()
        .table("schedules")
        .col(string("schedule_id").primary_key())
        .col(string("origin"))
        // One of both.
        .col(string_null("graph_id"))
        .col(string_null("graph_selector"))
        // One of the three forms of cadence.
        .col(string_null("cron"))
        .col(string("time_zone"))
        .col(big_integer_null("interval_seconds"))
        .col(big_integer_null("debounce_seconds"))
        .col(big_integer_null("minimum_interval_seconds"))
        // What intervals are counted from.
        .col(big_integer("anchored_at"))
        .col(big_integer("jitter_seconds"))
        .col(string("missed_run_policy"))
        .col(big_integer("missed_run_grace_seconds"))
        .col(string("overlap_policy"))
        .col(boolean("paused"))
        // Null while paused, and for those that follow changes.
        .col(big_integer_null("next_run_at"))
        .col(big_integer_null("last_run_at"))
        .col(big_integer("created_at"))
        .col(big_integer("revision"))
        .foreign_key(ForeignKey::create().from("schedules", "graph_id").to("graphs", "graph_id").on_delete(ForeignKeyAction::Cascade))
        .to_owned()
}

fn schedule_runs() -> TableCreateStatement {
    Table::create()
        .table("schedule_runs")
        .col(string("schedule_run_id").primary_key())
        .col(string("schedule_id"))
        .col(string("graph_id"))
        .col(big_integer("fire_at"))
        .col(big_integer("created_at"))
        .col(string("outcome"))
        .col(string_null("operation_id"))
        .col(string_null("snapshot_id"))
        .col(integer("count"))
        .col(text_null("message"))
        .foreign_key(
            ForeignKey::create().from("schedule_runs", "schedule_id").to("schedules", "schedule_id").on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}
