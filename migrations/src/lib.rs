//! Lightkeep's tables, as migrations: append-only, first expand, then contract. Types that SQLite and PostgreSQL share:
//! text, integers of 64 bits, booleans. Times are microseconds since the epoch in UTC (`*_at`), sizes are bytes.
//!
//! The database may be the one that the old Python server made. Its tables `backup_metadata`, `recovery_points`,
//! `replication_targets`, `replication_events` and `health_events` stay as they are, so ours never have these names.

use sea_orm_migration::prelude::*;

mod m20261122_000001_first_tables;
mod m20261123_000002_whole_backup;
mod m20261125_000003_inputs;
mod m20261125_000004_schedules;
mod m20261125_000005_retention;
mod m20261125_000006_checkpoints;
mod m20261125_000007_health;
mod m20261125_000008_drills;
mod m20261130_000009_failovers;
mod m20261130_000010_replication;
mod m20261130_000011_monitoring;
mod m20261130_000012_alerts;

/// All migrations, in their order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_first_tables::Migration),
            Box::new(m20261123_000002_whole_backup::Migration),
            Box::new(m20261125_000003_inputs::Migration),
            Box::new(m20261125_000004_schedules::Migration),
            Box::new(m20261125_000005_retention::Migration),
            Box::new(m20261125_000006_checkpoints::Migration),
            Box::new(m20261125_000007_health::Migration),
            Box::new(m20261125_000008_drills::Migration),
            Box::new(m20261130_000009_failovers::Migration),
            Box::new(m20261130_000010_replication::Migration),
            Box::new(m20261130_000011_monitoring::Migration),
            Box::new(m20261130_000012_alerts::Migration),
        ]
    }
}
