//! Graphs.

use super::{all_there, page, request_id, timestamp};
use crate::base::secret::Secret;
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::objective::{MAX_SECONDS, Objectives};
use crate::domain::page::PageRequest;
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::graph_updates::{GraphUpdate, etag};
use crate::service::graphs::{DEFAULT_QUIET_WAIT_SECONDS, Graph, NewGraph, Server};
use crate::service::operations::Operation;
use crate::store::graphs::{GraphFilter, GraphStats};

/// The longest that a snapshot may be told to wait for a server, seconds.
const MAX_QUIET_WAIT_SECONDS: i32 = 24 * 3600;

pub(in crate::api::grpc) fn parse_id(text: &str) -> Result<GraphId, Error> {
    GraphId::parse(text).map_err(|error| Error::invalid("graph_id", error))
}

pub(in crate::api::grpc) fn parse_list(request: v1::ListGraphsRequest) -> Result<(GraphFilter, PageRequest<String>), Error> {
    let mut violations = Violations::default();
    let page = page(&mut violations, request.page_size, &request.page_token);
    let mut text = |field: &str, text: String| {
        if text.contains(char::is_control) {
            violations.add(field, "must be one line of text");
        }
        Some(text).filter(|text| !text.is_empty())
    };
    let id_prefix = text("graph_id_prefix", request.graph_id_prefix);
    let source_dir = text("source_dir", request.source_dir);
    Ok((GraphFilter { id_prefix, source_dir }, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn parse_new(request: v1::RegisterGraphRequest) -> Result<NewGraph, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    if request.source_dir.is_empty() {
        violations.add("source_dir", "must not be empty");
    }
    let inconsistent_policy = inconsistent_policy(&mut violations, request.inconsistent_policy);
    let server = request.server.map(|server| parse_server(&mut violations, server));
    let request_id = request_id(&mut violations, &request.request_id);
    let labels = Labels::parse(&mut violations, "labels", request.labels);
    let inputs_dir = Some(request.inputs_dir).filter(|inputs| !inputs.is_empty());
    let source_dir = request.source_dir;
    let objectives = objectives(&mut violations, request.objectives.unwrap_or_default());
    let new =
        graph_id.map(|graph_id| NewGraph { graph_id, source_dir, inputs_dir, server, inconsistent_policy, labels, objectives, request_id });
    all_there(violations, new)
}

fn objectives(violations: &mut Violations, given: v1::RecoveryObjectives) -> Objectives {
    let mut seconds = |field: &str, seconds: i64| {
        if !(0..=MAX_SECONDS).contains(&seconds) {
            violations.add(field, format_args!("must be from 0 to {MAX_SECONDS}: {seconds}"));
        }
        Some(seconds).filter(|seconds| *seconds > 0)
    };
    Objectives {
        rpo_seconds: seconds("objectives.rpo_seconds", given.rpo_seconds),
        rto_seconds: seconds("objectives.rto_seconds", given.rto_seconds),
    }
}

fn inconsistent_policy(violations: &mut Violations, number: i32) -> InconsistentPolicy {
    match v1::InconsistentPolicy::try_from(number) {
        Ok(v1::InconsistentPolicy::Unspecified | v1::InconsistentPolicy::Keep) => InconsistentPolicy::Keep,
        Ok(v1::InconsistentPolicy::Fail) => InconsistentPolicy::Fail,
        Err(_) => {
            violations.add("inconsistent_policy", format_args!("is not a policy that is known: {number}"));
            InconsistentPolicy::Keep
        }
    }
}

pub(in crate::api::grpc) fn parse_update(request: v1::UpdateGraphRequest) -> Result<GraphUpdate, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let graph = request.graph.unwrap_or_default();
    let mut etags: Vec<String> = [request.etag, graph.etag.clone()].into_iter().filter(|etag| !etag.is_empty()).collect();
    etags.dedup();
    if etags.len() > 1 {
        violations.add("etag", "differs from `graph.etag`: send one of them");
    }
    // A mask that names nothing is as none: AIP-134.
    let mask = request.update_mask.filter(|mask| !mask.paths.is_empty());
    let paths = mask.map_or_else(|| set_fields(&graph), |mask| mask.paths);
    let mut update = graph_id.map(|graph_id| GraphUpdate {
        graph_id,
        source_dir: None,
        inputs_dir: None,
        server: None,
        inconsistent_policy: None,
        labels: None,
        objectives: None,
        etag: etags.pop(),
        request_id,
    });
    for path in &paths {
        let Some(update) = &mut update else { break };
        match path.as_str() {
            "source_dir" if graph.source_dir.is_empty() => violations.add("graph.source_dir", "must not be empty"),
            "source_dir" => update.source_dir = Some(graph.source_dir.clone()),
            "inputs_dir" => update.inputs_dir = Some(graph.inputs_dir.clone().filter(|inputs| !inputs.is_empty())),
            "server" => update.server = Some(graph.server.clone().map(|server| parse_server(&mut violations, server))),
            "inconsistent_policy" => update.inconsistent_policy = Some(inconsistent_policy(&mut violations, graph.inconsistent_policy)),
            "labels" => update.labels = Some(Labels::parse(&mut violations, "labels", graph.labels.clone())),
            "objectives" => update.objectives = Some(objectives(&mut violations, graph.objectives.unwrap_or_default())),
            // What comes back with an answer is no change.
            "graph_id" | "etag" | "created_at" | "total_snapshots" | "latest_snapshot_id" | "last_snapshot_time" => {}
            other => violations.add("update_mask", format_args!("names a field that cannot be changed: `{other}`")),
        }
    }
    all_there(violations, update)
}

fn set_fields(graph: &v1::Graph) -> Vec<String> {
    let fields = [
        ("source_dir", !graph.source_dir.is_empty()),
        ("inputs_dir", graph.inputs_dir.is_some()),
        ("server", graph.server.is_some()),
        ("inconsistent_policy", graph.inconsistent_policy != 0),
        ("labels", !graph.labels.is_empty()),
        ("objectives", graph.objectives.is_some()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect()
}

pub(in crate::api::grpc) fn parse_unregister(request: &v1::UnregisterGraphRequest) -> Result<(GraphId, bool, Option<String>), Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let purge = match v1::RepositoryFate::try_from(request.repository) {
        Ok(v1::RepositoryFate::Keep) => false,
        Ok(v1::RepositoryFate::Purge) => true,
        Ok(v1::RepositoryFate::Unspecified) | Err(_) => {
            violations.add("repository", "must be `keep` or `purge`");
            false
        }
    };
    if purge && request.confirm_graph_id != request.graph_id {
        violations.add("confirm_graph_id", "must be the graph's id again, as a purge deletes all its snapshots for ever");
    }
    let graph_id = all_there(violations, graph_id)?;
    Ok((graph_id, purge, request_id))
}

pub(in crate::api::grpc) fn unregister_done(graph_id: &GraphId) -> v1::UnregisterGraphResponse {
    v1::UnregisterGraphResponse { status: "success".to_owned(), message: format!("Unregistered graph {graph_id}"), operation: None }
}

pub(in crate::api::grpc) fn unregister_accepted(operation: Operation) -> v1::UnregisterGraphResponse {
    let message = format!("Graph {} will be unregistered", operation.row.graph_id);
    let operation = Some(super::operation::to_proto(operation));
    v1::UnregisterGraphResponse { status: "accepted".to_owned(), message, operation }
}

fn parse_server(violations: &mut Violations, server: v1::LightragServer) -> Server {
    if !server.url.starts_with("http://") && !server.url.starts_with("https://") {
        violations.add("server.url", format_args!("must begin with `http://` or `https://`: {}", server.url));
    }
    let authority = server.url.split("://").nth(1).and_then(|rest| rest.split('/').next());
    if server.url.contains(['?', '#']) {
        violations.add("server.url", "must not contain a query or a fragment, give the key as `server.api_key`");
    }
    if authority.is_some_and(|authority| authority.contains('@')) {
        violations.add("server.url", "must not contain a user or password, give the key as `server.api_key`");
    }
    let quiet_wait_seconds = match server.quiet_wait_seconds {
        0 => DEFAULT_QUIET_WAIT_SECONDS,
        seconds @ 1..=MAX_QUIET_WAIT_SECONDS => seconds,
        seconds => {
            violations.add("server.quiet_wait_seconds", format_args!("must be from 1 to {MAX_QUIET_WAIT_SECONDS}: {seconds}"));
            DEFAULT_QUIET_WAIT_SECONDS
        }
    };
    let busy_policy = match v1::BusyPolicy::try_from(server.busy_policy) {
        Ok(v1::BusyPolicy::Unspecified | v1::BusyPolicy::Proceed) => BusyPolicy::Proceed,
        Ok(v1::BusyPolicy::Fail) => BusyPolicy::Fail,
        Err(_) => {
            violations.add("server.busy_policy", format_args!("is not a policy that is known: {}", server.busy_policy));
            BusyPolicy::Proceed
        }
    };
    let api_key = (!server.api_key.is_empty()).then(|| Secret::new(server.api_key));
    Server { url: server.url, api_key, quiet_wait_seconds, busy_policy }
}

pub(in crate::api::grpc) fn to_proto(graph: Graph) -> v1::Graph {
    let Graph { row, stats } = graph;
    let busy_policy = match row.busy_policy {
        BusyPolicy::Proceed => v1::BusyPolicy::Proceed,
        BusyPolicy::Fail => v1::BusyPolicy::Fail,
    };
    let inconsistent_policy = match row.inconsistent_policy {
        InconsistentPolicy::Keep => v1::InconsistentPolicy::Keep,
        InconsistentPolicy::Fail => v1::InconsistentPolicy::Fail,
    };
    let server = row.server_url.clone().map(|url| v1::LightragServer {
        url,
        api_key: String::new(),
        quiet_wait_seconds: row.quiet_wait_seconds,
        busy_policy: busy_policy.into(),
    });
    v1::Graph {
        graph_id: row.graph_id.to_string(),
        source_dir: row.source_dir.clone(),
        server,
        inconsistent_policy: inconsistent_policy.into(),
        created_at: Some(timestamp(row.created_at)),
        total_snapshots: stats.total_snapshots,
        latest_snapshot_id: stats.latest_snapshot_id.map(|id| id.to_string()),
        last_snapshot_time: stats.last_snapshot_at.map(timestamp),
        labels: Labels::from_json(row.labels.as_deref()).into_iter().collect(),
        etag: etag(&row),
        inputs_dir: row.inputs_dir,
        objectives: objectives_to_proto(row.rpo_objective_seconds, row.rto_objective_seconds),
    }
}

fn objectives_to_proto(rpo_seconds: Option<i64>, rto_seconds: Option<i64>) -> Option<v1::RecoveryObjectives> {
    rpo_seconds.or(rto_seconds)?;
    Some(v1::RecoveryObjectives { rpo_seconds: rpo_seconds.unwrap_or(0), rto_seconds: rto_seconds.unwrap_or(0) })
}

pub(in crate::api::grpc) fn stats_to_proto(stats: Vec<GraphStats>) -> v1::BackupStats {
    let sum = |value: fn(&GraphStats) -> i64| stats.iter().map(value).sum();
    v1::BackupStats {
        total_graphs: i64::try_from(stats.len()).unwrap_or(i64::MAX),
        total_snapshots: sum(|graph| graph.total_snapshots),
        total_size_bytes: sum(|graph| graph.total_size_bytes),
        graphs: stats.into_iter().map(graph_stats_to_proto).collect(),
    }
}

fn graph_stats_to_proto(stats: GraphStats) -> v1::GraphStats {
    v1::GraphStats {
        graph_id: stats.graph_id.to_string(),
        total_snapshots: stats.total_snapshots,
        total_size_bytes: stats.total_size_bytes,
        last_snapshot_time: stats.last_snapshot_at.map(timestamp),
        stored_bytes: stats.stored_bytes,
    }
}
