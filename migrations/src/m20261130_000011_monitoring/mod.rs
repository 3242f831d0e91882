//! Monitoring: facts and the tallies that they are folded into, events, and the history of metrics.

mod facts;

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, double, integer, string, string_null, text};

pub(crate) struct Migration;

/// The derived name would be the file's: `mod`.
impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261130_000011_monitoring"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [facts(), tallies(), events(), series(), points()] {
            manager.create_table(table).await?;
        }
        let indexes: [(&str, &str, &[&'static str]); 8] = [
            ("tallies_by_graph", "tallies", &["graph_id"]),
            ("tallies_by_owner", "tallies", &["owner_id"]),
            ("events_by_time", "events", &["created_at", "event_id"]),
            ("events_by_graph", "events", &["graph_id", "created_at"]),
            ("metric_points_by_time", "metric_points", &["resolution_seconds", "at_seconds"]),
            ("snapshots_by_status", "snapshots", &["status", "created_at"]),
            ("schedule_runs_by_operation", "schedule_runs", &["operation_id"]),
            ("replications_by_state", "replications", &["target_id", "state"]),
        ];
        for (name, table, columns) in indexes {
            let mut index = Index::create().name(name).table(table).to_owned();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        let by_name = Index::create().name("metric_series_by_name").table("metric_series").col("metric").col("labels").unique().to_owned();
        manager.create_index(by_name).await?;
        let damaged = "CREATE INDEX snapshots_damaged ON snapshots (graph_id) WHERE NOT verified_passed";
        manager.get_connection().execute_unprepared(damaged).await?;
        // On PostgreSQL this locks the tables: what another instance does meanwhile comes after it.
        facts::create_triggers(manager).await?;
        // What has happened before counts too.
        facts::fill(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        facts::drop_triggers(manager).await?;
        let indexes = [
            ("snapshots_damaged", "snapshots"),
            ("snapshots_by_status", "snapshots"),
            ("schedule_runs_by_operation", "schedule_runs"),
            ("replications_by_state", "replications"),
        ];
        for (name, table) in indexes {
            manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
        }
        for table in ["metric_points", "metric_series", "events", "tallies", "facts"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// What has happened and is not counted yet. Rows are only added and taken away: writers never wait for each other here.
fn facts() -> TableCreateStatement {
    Table::create()
        .table("facts")
        .col(big_integer("fact_id").primary_key().auto_increment())
        .col(string("kind"))
        .col(string_null("graph_id"))
        // The operation, target or schedule that it is about.
        .col(string_null("subject_id"))
        .col(string_null("schedule_id"))
        .col(string_null("word"))
        .col(double("amount").default(0.0))
        .col(big_integer("count").default(1))
        .col(big_integer("at"))
        .to_owned()
}

/// What was counted, by metric.
fn tallies() -> TableCreateStatement {
    Table::create()
        .table("tallies")
        .col(string("metric"))
        // A JSON list of the labels' values.
        .col(text("labels"))
        // Of a histogram; 0 for all else.
        .col(integer("bucket"))
        .col(string_null("graph_id"))
        // The schedule or target that it goes with.
        .col(string_null("owner_id"))
        .col(double("value"))
        // Of a histogram: the sum of what was counted in this bucket.
        .col(double("total"))
        .primary_key(Index::create().name("tallies_key").col("metric").col("labels").col("bucket"))
        .to_owned()
}

fn events() -> TableCreateStatement {
    Table::create()
        .table("events")
        .col(string("event_id").primary_key())
        .col(big_integer("created_at"))
        .col(string("kind"))
        .col(string("severity"))
        .col(string_null("graph_id"))
        // The operation, target or schedule that it is about.
        .col(string_null("subject_id"))
        .col(text("message"))
        .to_owned()
}

fn series() -> TableCreateStatement {
    Table::create()
        .table("metric_series")
        .col(big_integer("series_id").primary_key().auto_increment())
        .col(string("metric"))
        // A JSON list of the labels' values.
        .col(text("labels"))
        .col(big_integer_null("seen_at"))
        .to_owned()
}

fn points() -> TableCreateStatement {
    Table::create()
        .table("metric_points")
        .col(big_integer("series_id"))
        // How long a time it stands for; 0 for what was sampled.
        .col(integer("resolution_seconds"))
        // When that begins, seconds since the epoch.
        .col(big_integer("at_seconds"))
        .col(double("minimum"))
        .col(double("maximum"))
        .col(double("average"))
        .col(double("last"))
        .col(integer("samples"))
        .primary_key(Index::create().name("metric_points_key").col("series_id").col("resolution_seconds").col("at_seconds"))
        .to_owned()
}
