//! Facts are noted by triggers: whatever changes a row notes it in its own transaction, and none can forget it.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// A trigger: on a table, after what, when, and the columns and values of the facts that it notes.
struct Trigger {
    name: &'static str,
    table: &'static str,
    after: &'static str,
    when: &'static str,
    facts: &'static [(&'static str, &'static str)],
}

/// How an operation ended. It may not have begun.
const OPERATION: (&str, &str) = (
    "kind, graph_id, subject_id, schedule_id, word, amount, at",
    "'operation', NEW.graph_id, NEW.operation_id, (SELECT MIN(schedule_id) FROM schedule_runs WHERE operation_id = NEW.operation_id), \
     NEW.kind || ' ' || NEW.state, COALESCE((NEW.ended_at - NEW.started_at) * 0.000001, -1), NEW.ended_at",
);

const TAKEN: (&str, &str) = (
    "kind, graph_id, subject_id, schedule_id, word, at",
    "'snapshot', NEW.graph_id, NEW.snapshot_id, (SELECT MIN(schedule_id) FROM schedule_runs WHERE operation_id = NEW.operation_id), \
     COALESCE(NEW.consistency, ''), NEW.completed_at",
);

/// Snapshots that can be restored, by the hour in which they were asked for.
const KEPT: (&str, &str) = (
    "kind, graph_id, word, amount, count, at",
    "'kept', NEW.graph_id, CAST(NEW.created_at / 3600000000 AS VARCHAR), NEW.size_bytes, 1, NEW.created_at",
);
const STORED: (&str, &str) = ("kind, graph_id, amount, at", "'stored', NEW.graph_id, NEW.stored_bytes, NEW.created_at");
const NO_LONGER_KEPT: (&str, &str) = (
    "kind, graph_id, word, amount, count, at",
    "'kept', OLD.graph_id, CAST(OLD.created_at / 3600000000 AS VARCHAR), -OLD.size_bytes, -1, OLD.created_at",
);
const NO_LONGER_STORED: (&str, &str) = ("kind, graph_id, amount, at", "'stored', OLD.graph_id, -OLD.stored_bytes, OLD.created_at");
const FAILED: (&str, &str) = ("kind, graph_id, count, at", "'failed', NEW.graph_id, 1, NEW.created_at");
const NO_LONGER_FAILED: (&str, &str) = ("kind, graph_id, count, at", "'failed', OLD.graph_id, -1, OLD.created_at");
const DELETED: (&str, &str) = ("kind, graph_id, at", "'deleted', OLD.graph_id, OLD.created_at");

const VALIDATED: (&str, &str) =
    ("kind, subject_id, word, at", "'validation', NEW.checkpoint_id, NEW.state, COALESCE(NEW.ended_at, NEW.created_at)");
const DRILLED: (&str, &str) =
    ("kind, graph_id, subject_id, word, at", "'drill', NEW.graph_id, NEW.drill_id, NEW.state, COALESCE(NEW.ended_at, NEW.created_at)");
const VERIFIED: (&str, &str) = (
    "kind, graph_id, subject_id, word, count, at",
    "'verification', NEW.graph_id, NEW.snapshot_id, NEW.level, CASE WHEN NEW.passed THEN 1 ELSE 0 END, NEW.ended_at",
);
const MISSED: (&str, &str) =
    ("kind, graph_id, subject_id, count, at", "'missed', NEW.graph_id, NEW.schedule_id, NEW.count, NEW.created_at");
const OF_TARGET: (&str, &str) = (
    "kind, graph_id, subject_id, word, amount, at",
    "'target', NEW.graph_id, NEW.target_id, NEW.kind || ' ' || NEW.message, NEW.sent_bytes, NEW.created_at",
);
const UNHEALTHY: (&str, &str) = ("kind, subject_id, word, at", "'unhealthy', NEW.component_id, NEW.component_type, NEW.checked_at");
const EVENT: (&str, &str) = ("kind, word, at", "'event', NEW.severity, NEW.created_at");

const TRIGGERS: [Trigger; 22] = [
    Trigger {
        name: "facts_operation_ended",
        table: "operations",
        after: "UPDATE OF state",
        when: "OLD.state IN ('queued', 'running') AND NEW.state IN ('succeeded', 'failed', 'cancelled')",
        facts: &[OPERATION],
    },
    Trigger {
        name: "facts_snapshot_taken",
        table: "snapshots",
        after: "UPDATE OF status",
        when: "OLD.status IN ('pending', 'in_progress') AND NEW.status = 'completed'",
        facts: &[TAKEN],
    },
    Trigger {
        name: "facts_snapshot_adopted",
        table: "snapshots",
        after: "INSERT",
        when: "NEW.status IN ('completed', 'restored')",
        facts: &[KEPT, STORED],
    },
    Trigger {
        name: "facts_snapshot_kept",
        table: "snapshots",
        after: "UPDATE OF status, graph_id, size_bytes, stored_bytes",
        when: "NEW.status IN ('completed', 'restored') AND (OLD.status NOT IN ('completed', 'restored') OR OLD.graph_id <> NEW.graph_id \
               OR OLD.size_bytes <> NEW.size_bytes OR OLD.stored_bytes <> NEW.stored_bytes)",
        facts: &[KEPT, STORED],
    },
    Trigger {
        name: "facts_snapshot_not_kept",
        table: "snapshots",
        after: "UPDATE OF status, graph_id, size_bytes, stored_bytes",
        when: "OLD.status IN ('completed', 'restored') AND (NEW.status NOT IN ('completed', 'restored') OR OLD.graph_id <> NEW.graph_id \
               OR OLD.size_bytes <> NEW.size_bytes OR OLD.stored_bytes <> NEW.stored_bytes)",
        facts: &[NO_LONGER_KEPT, NO_LONGER_STORED],
    },
    Trigger {
        name: "facts_snapshot_removed",
        table: "snapshots",
        after: "DELETE",
        when: "OLD.status IN ('completed', 'restored')",
        facts: &[NO_LONGER_KEPT, NO_LONGER_STORED, DELETED],
    },
    Trigger { name: "facts_snapshot_lost", table: "snapshots", after: "INSERT", when: "NEW.status = 'failed'", facts: &[FAILED] },
    Trigger {
        name: "facts_snapshot_failed",
        table: "snapshots",
        after: "UPDATE OF status, graph_id",
        when: "NEW.status = 'failed' AND (OLD.status <> 'failed' OR OLD.graph_id <> NEW.graph_id)",
        facts: &[FAILED],
    },
    Trigger {
        name: "facts_snapshot_revived",
        table: "snapshots",
        after: "UPDATE OF status, graph_id",
        when: "OLD.status = 'failed' AND (NEW.status <> 'failed' OR OLD.graph_id <> NEW.graph_id)",
        facts: &[NO_LONGER_FAILED],
    },
    Trigger {
        name: "facts_failure_removed",
        table: "snapshots",
        after: "DELETE",
        when: "OLD.status = 'failed'",
        facts: &[NO_LONGER_FAILED],
    },
    Trigger {
        name: "facts_validation_ended",
        table: "validations",
        after: "UPDATE OF state",
        when: "OLD.state = 'running' AND NEW.state <> 'running'",
        facts: &[VALIDATED],
    },
    Trigger { name: "facts_validation_made", table: "validations", after: "INSERT", when: "NEW.state <> 'running'", facts: &[VALIDATED] },
    Trigger {
        name: "facts_drill_ended",
        table: "drills",
        after: "UPDATE OF state",
        when: "OLD.state = 'running' AND NEW.state <> 'running'",
        facts: &[DRILLED],
    },
    Trigger { name: "facts_drill_refused", table: "drills", after: "INSERT", when: "NEW.state <> 'running'", facts: &[DRILLED] },
    Trigger { name: "facts_verified", table: "verifications", after: "INSERT", when: "1 = 1", facts: &[VERIFIED] },
    Trigger { name: "facts_missed", table: "schedule_runs", after: "INSERT", when: "NEW.outcome = 'missed'", facts: &[MISSED] },
    Trigger { name: "facts_of_target", table: "target_events", after: "INSERT", when: "1 = 1", facts: &[OF_TARGET] },
    Trigger {
        name: "facts_unhealthy",
        table: "health_checks",
        after: "INSERT",
        when: "NEW.status IN ('critical', 'offline')",
        facts: &[UNHEALTHY],
    },
    Trigger { name: "facts_event", table: "events", after: "INSERT", when: "1 = 1", facts: &[EVENT] },
    Trigger {
        name: "facts_graph_gone",
        table: "graphs",
        after: "DELETE",
        when: "1 = 1",
        facts: &[("kind, graph_id, at", "'gone', OLD.graph_id, OLD.created_at")],
    },
    Trigger {
        name: "facts_target_gone",
        table: "targets",
        after: "DELETE",
        when: "1 = 1",
        facts: &[("kind, subject_id, at", "'gone', OLD.target_id, OLD.created_at")],
    },
    Trigger {
        name: "facts_schedule_gone",
        table: "schedules",
        after: "DELETE",
        when: "1 = 1",
        facts: &[("kind, subject_id, at", "'gone', OLD.schedule_id, OLD.created_at")],
    },
];

/// What was there before the triggers: which of their facts, of which rows.
const BEFORE: [((&str, &str), &str); 11] = [
    (
        OPERATION,
        "operations AS NEW WHERE NEW.state IN ('succeeded', 'failed', 'cancelled') AND NEW.ended_at IS NOT NULL ORDER BY NEW.ended_at",
    ),
    (
        TAKEN,
        "snapshots AS NEW WHERE NEW.status IN ('completed', 'restored') AND NEW.completed_at IS NOT NULL AND EXISTS (SELECT 1 FROM operations \
         WHERE operations.operation_id = NEW.operation_id AND operations.kind = 'snapshot') ORDER BY NEW.completed_at",
    ),
    (KEPT, "snapshots AS NEW WHERE NEW.status IN ('completed', 'restored')"),
    (STORED, "snapshots AS NEW WHERE NEW.status IN ('completed', 'restored')"),
    (FAILED, "snapshots AS NEW WHERE NEW.status = 'failed'"),
    (VALIDATED, "validations AS NEW WHERE NEW.state <> 'running'"),
    (DRILLED, "drills AS NEW WHERE NEW.state <> 'running' ORDER BY NEW.created_at"),
    (VERIFIED, "verifications AS NEW ORDER BY NEW.ended_at"),
    (MISSED, "schedule_runs AS NEW WHERE NEW.outcome = 'missed'"),
    (OF_TARGET, "target_events AS NEW WHERE EXISTS (SELECT 1 FROM targets WHERE targets.target_id = NEW.target_id)"),
    (UNHEALTHY, "health_checks AS NEW WHERE NEW.status IN ('critical', 'offline')"),
];

pub(super) async fn fill(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for ((columns, values), rows) in BEFORE {
        manager.get_connection().execute_unprepared(&format!("INSERT INTO facts ({columns}) SELECT {values} FROM {rows}")).await?;
    }
    Ok(())
}

pub(super) async fn create_triggers(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for trigger in TRIGGERS {
        let Trigger { name, table, after, when, facts } = trigger;
        let body: String = facts.iter().map(|(columns, values)| format!("INSERT INTO facts ({columns}) VALUES ({values}); ")).collect();
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => vec![
                format!("CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"),
                format!("CREATE TRIGGER {name} AFTER {after} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()"),
            ],
            _ => vec![format!("CREATE TRIGGER {name} AFTER {after} ON {table} FOR EACH ROW WHEN {when} BEGIN {body} END")],
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
    }
    Ok(())
}

pub(super) async fn drop_triggers(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for Trigger { name, table, .. } in TRIGGERS {
        let statements = match manager.get_database_backend() {
            DbBackend::Postgres => vec![format!("DROP TRIGGER {name} ON {table}"), format!("DROP FUNCTION {name}()")],
            _ => vec![format!("DROP TRIGGER {name}")],
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
    }
    Ok(())
}
