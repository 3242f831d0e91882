//! What a restore would do. It is only told here: restoring stays with the API.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use serde_json::json;

use super::failure::Failure;
use super::marks::{Bytes, Count, Length};
use super::page::{Page, render};
use super::visit::{Visit, graph_id};
use crate::base::uri::encoded;
use crate::domain::graph_id::GraphId;
use crate::service::restore_plan::RestorePlan;
use crate::service::restores::NewRestore;

struct Plan {
    files: Count,
    size: Bytes,
    stored: Bytes,
    added: Count,
    changed: Count,
    unchanged: Count,
    removed: Count,
    free: Bytes,
    expected: Option<Length>,
    kept_as: Option<String>,
    examples: Vec<String>,
    conflicts: Vec<String>,
}

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage<'a> {
    page: Page,
    id: String,
    graph: String,
    snapshot: &'a str,
    target: String,
    plan: Option<Plan>,
    curl: String,
}

/// Shows the plan of a restore, once a directory is named.
pub(super) async fn show(visit: Visit, id: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let graph_id = graph_id(&id.map(|Path(id)| id).unwrap_or_default())?;
    let (services, snapshot, wanted) = (visit.services(), visit.asked("snapshot"), visit.asked("target_dir"));
    let row = services.get_snapshot(&graph_id, snapshot).await?;
    let target = if wanted.is_empty() { row.source_dir } else { wanted.to_owned() };
    let plan = if wanted.is_empty() { None } else { Some(services.plan_restore(&new_restore(&graph_id, snapshot, wanted)).await?) };
    render(&PreviewPage {
        page: visit.page(format!("Restore of {graph_id}")),
        id: encoded(graph_id.as_str()),
        graph: graph_id.to_string(),
        snapshot,
        curl: curl(&graph_id, snapshot, &target),
        target,
        plan: plan.map(told),
    })
}

fn new_restore(graph_id: &GraphId, snapshot: &str, target: &str) -> NewRestore {
    NewRestore {
        graph_id: graph_id.clone(),
        snapshot_id: snapshot.to_owned(),
        target_dir: target.to_owned(),
        inputs_target_dir: None,
        force: false,
        paths: Vec::new(),
        safety_snapshot: true,
        fork_graph_id: None,
        request_id: None,
    }
}

/// The command that does it, for a shell.
fn curl(graph_id: &GraphId, snapshot: &str, target: &str) -> String {
    let body = json!({ "target_dir": target }).to_string().replace('\'', r"'\''");
    format!(
        "curl -X POST \"$LIGHTKEEP/api/backup/backup/graphs/{}/snapshots/{snapshot}/restore\" -H \"X-API-Key: $LIGHTRAG_API_KEY\" -d '{body}'",
        encoded(graph_id.as_str())
    )
}

fn told(plan: RestorePlan) -> Plan {
    let count = |number: u64| Count(i64::try_from(number).unwrap_or(i64::MAX));
    let bytes = |number: u64| Bytes(i64::try_from(number).unwrap_or(i64::MAX));
    Plan {
        files: count(plan.files),
        size: bytes(plan.size_bytes),
        stored: bytes(plan.stored_bytes),
        added: count(plan.files_added),
        changed: count(plan.files_changed),
        unchanged: count(plan.files_unchanged),
        removed: count(plan.files_removed),
        free: bytes(plan.free_bytes),
        expected: plan.expected_seconds.map(Length::seconds),
        kept_as: plan.kept_as.map(|path| path.display().to_string()),
        examples: plan.examples,
        conflicts: plan.conflicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_safe_in_a_shell() {
        let graph_id = GraphId::parse("知@site").unwrap();
        let command = curl(&graph_id, "id", "/data/it's \"$HOME\"");
        assert!(command.contains("/graphs/%E7%9F%A5%40site/snapshots/id/restore"), "{command}");
        assert!(command.ends_with(r#"-d '{"target_dir":"/data/it'\''s \"$HOME\""}'"#), "{command}");
    }
}
