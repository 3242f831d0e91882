//! Graphs, their snapshots, and the operations that make them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, integer, string, string_null, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too: a process that ends half-way leaves what was there.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [graphs(), snapshots(), operations(), leases(), audit_events(), idempotency_keys()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // At most one operation runs on a graph: the database itself refuses a second claim, on all instances.
        let one_running = "CREATE UNIQUE INDEX operations_running ON operations (graph_id) WHERE state = 'running'";
        manager.get_connection().execute_unprepared(one_running).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["idempotency_keys", "audit_events", "leases", "operations", "snapshots", "graphs"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn graphs() -> TableCreateStatement {
    Table::create()
        .table("graphs")
        .col(string("graph_id").primary_key())
        .col(text("source_dir"))
        .col(text_null("server_url"))
        // Sealed with a key that is derived from the repository password.
        .col(text_null("server_api_key"))
        .col(integer("quiet_wait_seconds"))
        .col(string("busy_policy"))
        .col(string("inconsistent_policy"))
        .col(big_integer("created_at"))
        .to_owned()
}

fn snapshots() -> TableCreateStatement {
    Table::create()
        .table("snapshots")
        .col(string("snapshot_id").primary_key())
        .col(string("graph_id"))
        .col(string("operation_id"))
        .col(string("status"))
        .col(text("source_dir"))
        .col(text_null("metadata"))
        .col(big_integer("created_at"))
        .col(big_integer_null("started_at"))
        .col(big_integer_null("completed_at"))
        .col(big_integer_null("retention_until"))
        .col(string_null("record_id"))
        .col(string_null("data_hash"))
        .col(string_null("consistency"))
        .col(text_null("findings"))
        .col(big_integer("files"))
        .col(big_integer("size_bytes"))
        .col(big_integer("stored_bytes"))
        .col(big_integer("documents"))
        .col(big_integer("chunks"))
        .col(big_integer("entities"))
        .col(big_integer("relations"))
        .col(big_integer("vectors"))
        .col(big_integer("documents_in_flight"))
        .col(text_null("error_message"))
        .foreign_key(ForeignKey::create().from("snapshots", "graph_id").to("graphs", "graph_id"))
        .to_owned()
}

fn operations() -> TableCreateStatement {
    Table::create()
        .table("operations")
        .col(string("operation_id").primary_key())
        .col(string("kind"))
        .col(string("state"))
        .col(string("graph_id"))
        .col(string("snapshot_id"))
        // What the kind needs beyond its subject, as JSON.
        .col(text("payload"))
        .col(string("stage"))
        .col(big_integer("done_bytes"))
        .col(big_integer("total_bytes"))
        .col(integer("attempt"))
        .col(string_null("instance_id"))
        .col(big_integer_null("lease_until_at"))
        .col(boolean("cancel_requested"))
        // The error that ended it, as JSON.
        .col(text_null("error"))
        .col(big_integer("created_at"))
        .col(big_integer_null("started_at"))
        .col(big_integer_null("ended_at"))
        .to_owned()
}

fn leases() -> TableCreateStatement {
    Table::create().table("leases").col(string("name").primary_key()).col(string("instance_id")).col(big_integer("until_at")).to_owned()
}

fn audit_events() -> TableCreateStatement {
    Table::create()
        .table("audit_events")
        .col(string("audit_event_id").primary_key())
        .col(big_integer("created_at"))
        .col(string("caller"))
        .col(string_null("request_id"))
        .col(string("action"))
        .col(string("graph_id"))
        .col(string_null("subject_id"))
        .to_owned()
}

fn idempotency_keys() -> TableCreateStatement {
    Table::create()
        .table("idempotency_keys")
        .col(string("request_id").primary_key())
        .col(string("action"))
        .col(string("body_hash"))
        .col(string("subject_id"))
        .col(big_integer("created_at"))
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &'static str, table: &'static str, columns: &[&'static str]| {
        let mut statement = Index::create();
        statement.name(name).table(table);
        for column in columns {
            statement.col(*column);
        }
        statement.to_owned()
    };
    vec![
        index("snapshots_by_graph", "snapshots", &["graph_id", "created_at", "snapshot_id"]),
        index("snapshots_by_time", "snapshots", &["created_at", "snapshot_id"]),
        index("operations_by_state", "operations", &["state", "created_at", "operation_id"]),
        index("operations_by_graph", "operations", &["graph_id", "created_at", "operation_id"]),
        index("operations_by_time", "operations", &["created_at", "operation_id"]),
        index("audit_events_by_time", "audit_events", &["created_at"]),
        index("idempotency_keys_by_time", "idempotency_keys", &["created_at"]),
    ]
}
