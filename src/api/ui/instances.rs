//! Instances: this process, who has the right to do what alone, and who works on what.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;

use super::failure::Failure;
use super::marks::{Mark, Moment, Tone, mark};
use super::page::{Page, render};
use super::visit::Visit;
use crate::domain::operation::OperationState;

/// How many open operations are looked at.
const OPEN: u64 = 1000;

struct InstanceRow {
    id: String,
    is_this: bool,
    running: usize,
    leases: String,
}

struct LeaseRow {
    name: String,
    holder: String,
    is_this: bool,
    state: Mark,
    until: Moment,
}

#[derive(Template)]
#[template(path = "instances.html")]
struct InstancesPage {
    page: Page,
    name: String,
    host: String,
    database: &'static str,
    rows: Vec<InstanceRow>,
    leases: Vec<LeaseRow>,
}

/// Shows them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let (services, now) = (visit.services(), visit.now);
    let this = services.instance_id();
    let mut known: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::from([(this.to_string(), (0, Vec::new()))]);
    let open = services.open_operations(OPEN).await?;
    let working = open.iter().filter(|row| row.state == OperationState::Running).filter_map(|row| row.instance_id);
    working.for_each(|id| known.entry(id.to_string()).or_default().0 += 1);
    let mut leases = services.leases().await?;
    // A row is left where its holder has gone.
    leases.retain(|lease| lease.until_at > now || lease.instance_id == this);
    for lease in leases.iter().filter(|lease| lease.until_at > now) {
        known.entry(lease.instance_id.to_string()).or_default().1.push(lease.name.clone());
    }
    let row = |(id, (running, leases)): (String, (usize, Vec<String>))| InstanceRow {
        is_this: id == this.to_string(),
        id,
        running,
        leases: leases.join(", "),
    };
    let lease = |lease: crate::store::entity::lease::Model| LeaseRow {
        name: lease.name,
        is_this: lease.instance_id == this,
        holder: lease.instance_id.to_string(),
        state: if lease.until_at > now { mark(Tone::Good, "held") } else { mark(Tone::Quiet, "over") },
        until: Moment::new(lease.until_at, now),
    };
    let settings = services.settings();
    render(&InstancesPage {
        page: visit.page("Instances"),
        name: settings.instance_name.clone(),
        host: settings.host_name.clone(),
        database: if services.store().is_sqlite() { "SQLite, used by one process" } else { "PostgreSQL, shared by instances" },
        rows: known.into_iter().map(row).collect(),
        leases: leases.into_iter().map(lease).collect(),
    })
}
