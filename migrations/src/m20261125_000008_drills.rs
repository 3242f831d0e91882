//! Probes of graphs, what snapshots retrieve for them, and drills.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, string, string_null, text, text_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [probe_sets(), retrievals(), drills()] {
            manager.create_table(table).await?;
        }
        let indexes: [(&str, &str, &[&'static str]); 5] = [
            ("probe_sets_by_graph", "probe_sets", &["graph_id", "created_at"]),
            ("drills_by_time", "drills", &["created_at", "drill_id"]),
            ("drills_by_graph", "drills", &["graph_id", "created_at"]),
            ("drills_by_run", "drills", &["run_id"]),
            ("drills_by_operation", "drills", &["operation_id"]),
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
        for table in ["drills", "retrievals", "probe_sets"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn probe_sets() -> TableCreateStatement {
    Table::create()
        .table("probe_sets")
        .col(string("probe_set_id").primary_key())
        .col(string("graph_id"))
        // A JSON list.
        .col(text("probes"))
        .col(big_integer("created_at"))
        .foreign_key(&mut goes_with("probe_sets", "graph_id", "graphs"))
        .to_owned()
}

fn retrievals() -> TableCreateStatement {
    Table::create()
        .table("retrievals")
        .col(string("snapshot_id").primary_key())
        .col(string("probe_set_id"))
        // A JSON list, in the order of the probes; null where they could not be asked.
        .col(text_null("retrieved"))
        .col(text_null("error_message"))
        .col(big_integer("created_at"))
        .foreign_key(&mut goes_with("retrievals", "snapshot_id", "snapshots"))
        .to_owned()
}

fn drills() -> TableCreateStatement {
    Table::create()
        .table("drills")
        .col(string("drill_id").primary_key())
        // The drills of one checkpoint that were asked for together.
        .col(string("run_id"))
        .col(string("graph_id"))
        // It may have been deleted since.
        .col(string("snapshot_id"))
        .col(string_null("checkpoint_id"))
        // Null where there was nothing that could be restored.
        .col(string_null("operation_id"))
        .col(string("state"))
        // JSON: why it has failed.
        .col(text("reasons"))
        // JSON: what was measured.
        .col(text_null("report"))
        .col(big_integer("created_at"))
        .col(big_integer_null("ended_at"))
        .foreign_key(&mut goes_with("drills", "graph_id", "graphs"))
        .to_owned()
}

fn goes_with(table: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(to, column).on_delete(ForeignKeyAction::Cascade).to_owned()
}
