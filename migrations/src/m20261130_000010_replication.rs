//! Targets of replication, what they have, and what has happened to them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, boolean, double, integer, string, string_null, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [targets(), replicas(), replications(), events(), standbys()] {
            manager.create_table(table).await?;
        }
        for column in ["copies", "off_site_copies"] {
            let add = ColumnDef::new(column).integer().not_null().default(0).to_owned();
            manager.alter_table(Table::alter().table("graphs").add_column(add).to_owned()).await?;
        }
        let indexes: [(&str, &str, &[&'static str]); 3] = [
            ("replications_by_graph", "replications", &["target_id", "graph_id"]),
            ("target_events_by_time", "target_events", &["created_at", "event_id"]),
            ("target_events_by_target", "target_events", &["target_id", "created_at"]),
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
        for table in ["standbys", "target_events", "replications", "replicas", "targets"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        for column in ["copies", "off_site_copies"] {
            manager.alter_table(Table::alter().table("graphs").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

fn targets() -> TableCreateStatement {
    Table::create()
        .table("targets")
        .col(string("target_id").primary_key())
        .col(string("name").unique_key())
        // Either an address or a directory.
        .col(text_null("base_url"))
        .col(text_null("grpc_url"))
        .col(text_null("path"))
        // Sealed.
        .col(text_null("api_key"))
        // Sealed; null where copies have ours.
        .col(text_null("repository_password"))
        .col(boolean("enabled"))
        .col(string("graph_selector"))
        .col(boolean("on_request"))
        .col(integer("parallelism"))
        // 0 for no limit.
        .col(big_integer("bytes_per_second"))
        .col(string("send_order"))
        .col(boolean("off_site"))
        .col(double("reread_percent_per_day"))
        .col(string("status"))
        // JSON: what was found when it was looked at last.
        .col(text_null("condition"))
        .col(big_integer_null("checked_at"))
        .col(big_integer("created_at"))
        .col(big_integer("revision"))
        .to_owned()
}

fn replicas() -> TableCreateStatement {
    Table::create()
        .table("replicas")
        .col(string("target_id"))
        .col(string("graph_id"))
        .col(big_integer_null("last_attempt_at"))
        .col(big_integer_null("last_success_at"))
        .col(text_null("last_error"))
        .col(integer("failures"))
        .col(big_integer_null("reread_at"))
        // The last name that was read again, hex.
        .col(string_null("reread_after"))
        .col(big_integer("reread_files"))
        .col(big_integer("damaged_files"))
        .col(big_integer("repaired_files"))
        .primary_key(Index::create().col("target_id").col("graph_id"))
        .foreign_key(&mut goes_with("replicas", "target_id", "targets"))
        .foreign_key(&mut goes_with("replicas", "graph_id", "graphs"))
        .to_owned()
}

fn replications() -> TableCreateStatement {
    Table::create()
        .table("replications")
        .col(string("target_id"))
        .col(string("snapshot_id"))
        .col(string("graph_id"))
        .col(string("state"))
        .col(integer("failures"))
        .col(text_null("error_message"))
        .col(big_integer("sent_bytes"))
        .col(big_integer_null("replicated_at"))
        .primary_key(Index::create().col("target_id").col("snapshot_id"))
        .foreign_key(&mut goes_with("replications", "target_id", "targets"))
        .foreign_key(&mut goes_with("replications", "snapshot_id", "snapshots"))
        .to_owned()
}

fn events() -> TableCreateStatement {
    Table::create()
        .table("target_events")
        .col(string("event_id").primary_key())
        .col(big_integer("created_at"))
        // It may have been removed since.
        .col(string("target_id"))
        .col(string_null("graph_id"))
        .col(string_null("snapshot_id"))
        .col(string("kind"))
        .col(text("message"))
        .col(big_integer("sent_bytes"))
        .col(double("duration_seconds"))
        .to_owned()
}

fn standbys() -> TableCreateStatement {
    Table::create()
        .table("standbys")
        .col(string("graph_id").primary_key())
        .col(string("directory"))
        // The restore that refreshes it.
        .col(string_null("operation_id"))
        .col(string_null("snapshot_id"))
        .col(big_integer_null("refreshed_at"))
        .col(string_null("fingerprint"))
        .col(string_null("restored"))
        .foreign_key(&mut goes_with("standbys", "graph_id", "graphs"))
        .to_owned()
}

fn goes_with(table: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(to, column).on_delete(ForeignKeyAction::Cascade).to_owned()
}
