//! Rules of alerts, alerts, silences, and who is to be told of what.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, double, double_null, integer, string, string_null, text, text_null,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [rules(), alerts(), silences(), notifications()] {
            manager.create_table(table).await?;
        }
        // What a rule finds is one alert until it is over, on all instances.
        let one_open = "CREATE UNIQUE INDEX alerts_open ON alerts (rule, labels) WHERE state <> 'resolved'";
        // What has been told, or was given up, is not looked at any more.
        let waiting = "CREATE INDEX notifications_waiting ON notifications (channel, alert_id, notification_id) \
                       WHERE delivered_at IS NULL AND given_up_at IS NULL";
        for statement in [one_open, waiting] {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        let indexes: [(&str, &str, &[&'static str]); 3] = [
            ("alerts_by_time", "alerts", &["started_at", "alert_id"]),
            ("alerts_resolved", "alerts", &["resolved_at"]),
            ("notifications_by_alert", "notifications", &["alert_id"]),
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
        for table in ["notifications", "silences", "alerts", "alert_rules"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn rules() -> TableCreateStatement {
    Table::create()
        .table("alert_rules")
        .col(string("name").primary_key())
        .col(boolean("is_enabled"))
        .col(string("severity"))
        .col(string("metric"))
        // A JSON object of texts.
        .col(text("labels"))
        .col(boolean("is_age"))
        .col(string("condition"))
        .col(double("threshold"))
        .col(string_null("relative_to"))
        .col(big_integer("for_seconds"))
        .col(text("summary"))
        .col(big_integer("changed_at"))
        .to_owned()
}

fn alerts() -> TableCreateStatement {
    Table::create()
        .table("alerts")
        .col(string("alert_id").primary_key())
        .col(string("rule"))
        .col(string("severity"))
        // A JSON object of texts, its names in order: equal labels are equal texts.
        .col(text("labels"))
        .col(string_null("graph_id"))
        .col(string("state"))
        .col(double_null("value"))
        .col(double_null("threshold"))
        .col(text("summary"))
        .col(big_integer("started_at"))
        .col(big_integer_null("fired_at"))
        .col(big_integer_null("resolved_at"))
        // When it was decided to tell that it fires.
        .col(big_integer_null("told_at"))
        .col(big_integer_null("acknowledged_at"))
        .col(string_null("acknowledged_by"))
        .col(text_null("comment"))
        .to_owned()
}

fn silences() -> TableCreateStatement {
    Table::create()
        .table("silences")
        .col(string("silence_id").primary_key())
        // Null for all rules.
        .col(string_null("rule"))
        // A JSON object of texts.
        .col(text("labels"))
        .col(big_integer("until_at"))
        .col(text("reason"))
        .col(string("created_by"))
        .col(big_integer("created_at"))
        .to_owned()
}

fn notifications() -> TableCreateStatement {
    Table::create()
        .table("notifications")
        .col(string("notification_id").primary_key())
        .col(string("alert_id"))
        .col(string("channel"))
        .col(string("event"))
        // The whole of what is told, JSON.
        .col(text("body"))
        .col(big_integer("created_at"))
        .col(integer("attempts"))
        .col(big_integer("next_attempt_at"))
        .col(big_integer_null("delivered_at"))
        .col(big_integer_null("given_up_at"))
        .col(text_null("last_error"))
        .foreign_key(ForeignKey::create().from("notifications", "alert_id").to("alerts", "alert_id").on_delete(ForeignKeyAction::Cascade))
        .to_owned()
}
