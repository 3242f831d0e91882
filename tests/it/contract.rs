//! What has to hold for every RPC and every field, read from the descriptors: whoever adds one cannot forget it.

use std::collections::BTreeSet;

use lightkeep::proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};
use serde_json::{Value as Json, json};
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::rest::{GRAPHS, client, send};

const PACKAGE: &str = "lightkeep.v1";
const KEY: &str = "k";
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// RPCs that are deliberately not served over REST.
const WITHOUT_REST: [&str; 8] =
    ["DescribeReplica", "FoundReplica", "FindMissing", "PutFile", "CommitSnapshot", "ListFiles", "GetFile", "RereadFiles"];

/// The service that peers call, with keys of their own: `replication_peers` tests it.
const OF_PEERS: &str = "lightkeep.v1.ReplicaService";

/// RPCs that take nothing which could be wrong.
const WITHOUT_REFUSALS: [&str; 11] = [
    "GetBackupStats",
    "GetRecoveryStatus",
    "GetRecoveryHealth",
    "CheckRecoveryHealth",
    "GetMetrics",
    "GetPrometheusMetrics",
    "GetMetricsSummary",
    "CollectMetrics",
    "GetHealth",
    "GetBackupStatistics",
    "GetRecoveryStatistics",
];

/// Its answer does not end.
const ENDLESS: &str = "WatchEvents";

fn pool() -> DescriptorPool {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()
}

fn rpcs() -> Vec<MethodDescriptor> {
    let ours = |service: &prost_reflect::ServiceDescriptor| service.package_name() == PACKAGE;
    let rpcs: Vec<_> = pool().services().filter(ours).flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(rpcs.len() > 25);
    rpcs
}

/// Method and path of an RPC in REST.
fn rule(rpc: &MethodDescriptor) -> Option<(String, String)> {
    let extension = rpc.parent_pool().get_extension_by_name("google.api.http").unwrap();
    let options = rpc.options();
    let rule: DynamicMessage = options.get_extension(&extension).as_message()?.clone();
    ["get", "put", "post", "delete", "patch"].into_iter().find_map(|method| match rule.get_field_by_name(method)?.as_ref() {
        Value::String(path) if !path.is_empty() => Some((method.to_uppercase(), path.clone())),
        _ => None,
    })
}

/// The numbers of google.api.FieldBehavior.
fn behaviors(field: &FieldDescriptor) -> BTreeSet<i32> {
    let extension = field.parent_message().parent_pool().get_extension_by_name("google.api.field_behavior").unwrap();
    let options = field.options();
    let value = options.get_extension(&extension).into_owned();
    value.as_list().unwrap().iter().map(|value| value.as_enum_number().unwrap()).collect()
}

#[test]
fn every_field_says_who_sets_it() {
    let [optional, required, output_only, immutable] = [1, 2, 3, 5];
    let pool = pool();
    let ours: Vec<MessageDescriptor> =
        pool.all_messages().filter(|message| message.package_name() == PACKAGE && !message.is_map_entry()).collect();
    let mut wrong = vec![];
    for field in ours.iter().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let said = behaviors(&field);
        let words = [optional, required, output_only, immutable].iter().filter(|word| said.contains(word)).count();
        let message = field.parent_message().name().to_owned();
        let fits = match () {
            () if message.ends_with("Request") => !said.contains(&output_only),
            () if message.ends_with("Response") => said.contains(&output_only),
            () => true,
        };
        if words != 1 || !fits {
            wrong.push(format!("{}: {said:?}", field.full_name()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_rpc_is_served_over_rest() {
    let without: Vec<String> = rpcs().iter().filter(|rpc| rule(rpc).is_none()).map(|rpc| rpc.name().to_owned()).collect();
    assert_eq!(without, WITHOUT_REST);
}

/// Calls an RPC with an empty request; what it answers does not matter.
async fn call(app: &TestApp, rpc: &MethodDescriptor, key: Option<&str>) -> Result<(), Status> {
    let mut client = Grpc::new(app.channel().await);
    client.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(key) = key {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()).parse().unwrap();
    client.server_streaming(request, path, ProstCodec::<(), ()>::default()).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_needs_the_key_on_both_doors() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_API_KEY", KEY)]).await;
    for rpc in rpcs() {
        if rpc.parent_service().full_name() == OF_PEERS {
            continue;
        }
        let code = |result: Result<(), Status>| result.err().map_or(Code::Ok, |status| status.code());
        assert_eq!(code(call(&app, &rpc, None).await), Code::Unauthenticated, "{}", rpc.full_name());
        let let_in = code(call(&app, &rpc, Some(KEY)).await);
        assert!(![Code::Unauthenticated, Code::Unimplemented, Code::Internal].contains(&let_in), "{}: {let_in:?}", rpc.full_name());
        let Some((method, path)) = rule(&rpc) else { continue };
        let path: String =
            path.split('/').map(|step| if step.starts_with('{') { "/none".to_owned() } else { format!("/{step}") }).collect();
        let path = path.trim_start_matches('/');
        for (headers, let_in) in [(&[][..], false), (&[("x-api-key", KEY)][..], true)] {
            if rpc.name() == ENDLESS && let_in {
                let answer = client().get(app.url(&format!("/{path}"))).header("x-api-key", KEY).send().await.unwrap();
                assert_eq!(answer.status(), 200, "{path}");
                continue;
            }
            let answer = send(&app, &method, &format!("/{path}"), headers, "").await;
            assert_eq!(answer.status != 401, let_in, "{method} {path}: {}", answer.text);
        }
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_refuses_what_is_wrong_with_a_reason() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let (snapshot, missing) = (format!("{GRAPHS}/g/snapshots/{}", taken.backup_id), format!("{GRAPHS}/g/snapshots/{NOBODY}"));
    let operation = format!("/api/operations/{NOBODY}");
    let nothing = json!({});
    let schedules = "/api/backup/backup/schedules".to_owned();
    let schedule = format!("{schedules}/{NOBODY}");
    let checkpoints = "/api/backup/recovery/checkpoints".to_owned();
    let checkpoint = format!("{checkpoints}/{NOBODY}");
    let drills = "/api/backup/recovery/drills".to_owned();
    let failovers = "/api/backup/recovery/failovers".to_owned();
    let failover = format!("{failovers}/{NOBODY}");
    let targets = "/api/backup/replication/targets".to_owned();
    let (target, replicated) = (format!("{targets}/{NOBODY}"), "/api/backup/replication/graphs".to_owned());
    let monitoring = |what: &str| format!("/api/monitoring/{what}");
    let (alerts, silences, rules) = (monitoring("alerts"), monitoring("silences"), monitoring("alert-rules"));
    let rows: [(&str, &str, String, Json, u16, &str); 87] = [
        ("RegisterGraph", "POST", GRAPHS.to_owned(), json!({ "graph_id": "g", "source_dir": source }), 409, "GRAPH_EXISTS"),
        ("GetGraph", "GET", format!("{GRAPHS}/none"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("ListGraphs", "GET", format!("{GRAPHS}?page_size=-1"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("UpdateGraph", "PATCH", format!("{GRAPHS}/g"), json!({ "etag": "other", "source_dir": source }), 409, "ETAG_MISMATCH"),
        ("UnregisterGraph", "DELETE", format!("{GRAPHS}/g"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("CreateSnapshot", "POST", format!("{GRAPHS}/new/snapshots"), nothing.clone(), 422, "REQUIRED_FIELD_MISSING"),
        ("ListSnapshots", "GET", format!("{GRAPHS}/none/snapshots"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("GetSnapshot", "GET", missing.clone(), nothing.clone(), 404, "SNAPSHOT_NOT_FOUND"),
        ("RestoreSnapshot", "POST", format!("{snapshot}/restore"), json!({ "target_dir": "/proc/x" }), 403, "PATH_FORBIDDEN"),
        ("DeleteSnapshot", "DELETE", missing.clone(), nothing.clone(), 404, "SNAPSHOT_NOT_FOUND"),
        ("BrowseSnapshot", "GET", format!("{snapshot}/files?path=none"), nothing.clone(), 404, "FILE_NOT_FOUND"),
        ("ReadSnapshotFile", "GET", format!("{snapshot}/files/none"), nothing.clone(), 404, "FILE_NOT_FOUND"),
        ("DiffSnapshots", "GET", format!("{snapshot}/diff"), nothing.clone(), 409, "NO_BASE_SNAPSHOT"),
        ("PinSnapshot", "POST", format!("{snapshot}/pin"), json!({ "reason": " " }), 400, "INVALID_ARGUMENT"),
        ("UnpinSnapshot", "POST", format!("{missing}/unpin"), nothing.clone(), 404, "SNAPSHOT_NOT_FOUND"),
        ("CleanupSnapshots", "POST", "/api/backup/backup/cleanup".to_owned(), json!({ "graph_id": "a/b" }), 400, "INVALID_ARGUMENT"),
        ("VerifySnapshot", "POST", format!("{missing}/verify"), nothing.clone(), 404, "SNAPSHOT_NOT_FOUND"),
        ("ListVerifications", "GET", format!("{missing}/verifications"), nothing.clone(), 404, "SNAPSHOT_NOT_FOUND"),
        ("GetOperation", "GET", operation.clone(), nothing.clone(), 404, "OPERATION_NOT_FOUND"),
        ("ListOperations", "GET", "/api/operations?page_token=x".to_owned(), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("CancelOperation", "POST", format!("{operation}/cancel"), nothing.clone(), 404, "OPERATION_NOT_FOUND"),
        ("WatchOperation", "GET", format!("{operation}/watch"), nothing.clone(), 404, "OPERATION_NOT_FOUND"),
        ("PruneRepository", "POST", format!("{GRAPHS}/g/repository/prune"), json!({ "max_unused_percent": 101 }), 400, "INVALID_ARGUMENT"),
        ("CheckRepository", "POST", format!("{GRAPHS}/g/repository/check"), json!({ "sample_bytes": -1 }), 400, "INVALID_ARGUMENT"),
        ("RepairRepository", "POST", format!("{GRAPHS}/none/repository/repair"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("ReconcileRepository", "POST", format!("{GRAPHS}/none/repository/reconcile"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("ReconcileRepository", "POST", format!("{GRAPHS}/g/repository/reconcile"), json!({ "request_id": "x" }), 400, "INVALID_ARGUMENT"),
        ("CreateSchedule", "POST", schedules.clone(), json!({ "schedule": { "graph_id": "g", "cron": "x" } }), 400, "INVALID_ARGUMENT"),
        ("GetSchedule", "GET", schedule.clone(), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
        ("ListSchedules", "GET", format!("{schedules}?graph_id=none"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("UpdateSchedule", "PATCH", schedule.clone(), json!({ "cron": "0 0 * * *" }), 404, "SCHEDULE_NOT_FOUND"),
        ("DeleteSchedule", "DELETE", schedule.clone(), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
        ("RunSchedule", "POST", format!("{schedule}/run"), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
        ("PauseSchedule", "POST", format!("{schedule}/pause"), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
        ("ResumeSchedule", "POST", format!("{schedule}/resume"), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
        ("ListScheduleRuns", "GET", format!("{schedule}/runs"), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
        (
            "SetGraphSchedule",
            "POST",
            "/api/backup/backup/schedule".to_owned(),
            json!({ "graph_id": "none", "interval_hours": 1 }),
            404,
            "GRAPH_NOT_FOUND",
        ),
        ("CreateCheckpoint", "POST", checkpoints.clone(), json!({ "graph_ids": ["g", "none"] }), 404, "GRAPH_NOT_FOUND"),
        ("GetCheckpoint", "GET", checkpoint.clone(), nothing.clone(), 404, "CHECKPOINT_NOT_FOUND"),
        ("ListCheckpoints", "GET", format!("{checkpoints}?page_size=-1"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("DeleteCheckpoint", "DELETE", checkpoint.clone(), nothing.clone(), 404, "CHECKPOINT_NOT_FOUND"),
        ("ValidateCheckpoint", "POST", format!("{checkpoint}/validate"), nothing.clone(), 404, "CHECKPOINT_NOT_FOUND"),
        ("ListValidations", "GET", format!("{checkpoint}/validations"), nothing.clone(), 404, "CHECKPOINT_NOT_FOUND"),
        ("RunDrill", "POST", drills.clone(), json!({ "graph_id": "none" }), 404, "GRAPH_NOT_FOUND"),
        ("RunCheckpointDrill", "POST", format!("{checkpoint}/drill"), nothing.clone(), 404, "CHECKPOINT_NOT_FOUND"),
        ("GetDrill", "GET", format!("{drills}/{NOBODY}"), nothing.clone(), 404, "DRILL_NOT_FOUND"),
        ("ListDrills", "GET", format!("{drills}?graph_id=none"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("RunFailover", "POST", format!("{checkpoint}/failover"), nothing.clone(), 404, "CHECKPOINT_NOT_FOUND"),
        ("GetFailover", "GET", failover.clone(), nothing.clone(), 404, "FAILOVER_NOT_FOUND"),
        ("ListFailovers", "GET", format!("{failovers}?checkpoint_id=x"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("RollBackFailover", "POST", format!("{failover}/rollback"), nothing.clone(), 404, "FAILOVER_NOT_FOUND"),
        ("FailBack", "POST", format!("{failover}/failback"), nothing.clone(), 404, "FAILOVER_NOT_FOUND"),
        ("SetProbes", "PUT", "/api/backup/recovery/graphs/none/probes".to_owned(), json!({ "sample": 1 }), 404, "GRAPH_NOT_FOUND"),
        ("GetProbes", "GET", "/api/backup/recovery/graphs/none/probes".to_owned(), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("SetRetentionPolicy", "PUT", format!("{GRAPHS}/g/retention"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("GetRetentionPolicy", "GET", format!("{GRAPHS}/none/retention"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("ClearRetentionPolicy", "DELETE", format!("{GRAPHS}/none/retention"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("PreviewRetention", "POST", format!("{GRAPHS}/none/retention/preview"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("HoldSnapshot", "POST", format!("{snapshot}/hold"), json!({ "reason": " " }), 400, "INVALID_ARGUMENT"),
        ("ReleaseSnapshot", "POST", format!("{missing}/release"), json!({ "reason": "r" }), 404, "SNAPSHOT_NOT_FOUND"),
        ("RegisterTarget", "POST", targets.clone(), json!({ "name": "t", "base_url": "ftp://x" }), 400, "INVALID_ARGUMENT"),
        ("GetTarget", "GET", target.clone(), nothing.clone(), 404, "TARGET_NOT_FOUND"),
        ("ListTargets", "GET", format!("{targets}?page_size=-1"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("UpdateTarget", "PATCH", target.clone(), json!({ "enabled": false }), 404, "TARGET_NOT_FOUND"),
        ("RemoveTarget", "DELETE", target.clone(), nothing.clone(), 404, "TARGET_NOT_FOUND"),
        ("CheckTargetHealth", "POST", format!("{target}/health"), nothing.clone(), 404, "TARGET_NOT_FOUND"),
        ("GetReplicationStatus", "GET", format!("{replicated}/none/status"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("ReplicateGraph", "POST", format!("{replicated}/g/replicate"), nothing.clone(), 409, "NO_TARGET"),
        ("VerifyReplica", "POST", format!("{target}/graphs/g/verify"), nothing.clone(), 404, "TARGET_NOT_FOUND"),
        ("RecoverGraph", "POST", format!("{target}/graphs/g/recover"), nothing.clone(), 404, "TARGET_NOT_FOUND"),
        ("SetCopiesPolicy", "PUT", format!("{replicated}/none/copies-policy"), json!({ "copies": 1 }), 404, "GRAPH_NOT_FOUND"),
        ("SetStandby", "PUT", format!("{replicated}/none/standby"), nothing.clone(), 404, "GRAPH_NOT_FOUND"),
        ("ListReplicationEvents", "GET", "/api/backup/replication/logs?target_id=x".to_owned(), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("QueryMetricHistory", "GET", monitoring("history?metric=none"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("ListEvents", "GET", monitoring("events?page_size=-1"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("WatchEvents", "GET", monitoring("events/watch?severity=none"), nothing.clone(), 400, "PARAMETER_INVALID"),
        ("ListAlerts", "GET", format!("{alerts}?page_size=-1"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("GetAlert", "GET", format!("{alerts}/{NOBODY}"), nothing.clone(), 404, "ALERT_NOT_FOUND"),
        ("AcknowledgeAlert", "POST", format!("{alerts}/{NOBODY}/acknowledge"), nothing.clone(), 404, "ALERT_NOT_FOUND"),
        ("CreateSilence", "POST", silences.clone(), json!({ "until": "2000-01-01T00:00:00Z", "reason": "r" }), 400, "INVALID_ARGUMENT"),
        ("ListSilences", "GET", format!("{silences}?page_token=x"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("DeleteSilence", "DELETE", format!("{silences}/{NOBODY}"), nothing.clone(), 404, "SILENCE_NOT_FOUND"),
        ("ListAlertRules", "GET", format!("{rules}?page_size=-1"), nothing.clone(), 400, "INVALID_ARGUMENT"),
        ("PutAlertRule", "PUT", format!("{rules}/New"), json!({ "metric": "none" }), 400, "INVALID_ARGUMENT"),
        ("DeleteAlertRule", "DELETE", format!("{rules}/New"), nothing.clone(), 404, "RULE_NOT_FOUND"),
        ("TestNotification", "POST", "/api/monitoring/notifications/test".to_owned(), nothing.clone(), 409, "NO_NOTIFICATION_CHANNEL"),
        ("GetGraphSchedule", "GET", "/api/backup/backup/schedule/g".to_owned(), nothing.clone(), 404, "SCHEDULE_NOT_FOUND"),
    ];
    let covered: BTreeSet<String> = rows.iter().map(|row| row.0.to_owned()).collect();
    let wanted = rpcs()
        .into_iter()
        .map(|rpc| rpc.name().to_owned())
        .filter(|name| !WITHOUT_REFUSALS.contains(&name.as_str()) && !WITHOUT_REST.contains(&name.as_str()));
    assert_eq!(covered, wanted.collect());
    for (rpc, method, path, body, status, reason) in rows {
        let answer = send(&app, method, &path, &[], body.to_string()).await;
        assert_eq!((answer.refusal().0, &answer.json["reason"]), (status, &json!(reason)), "{rpc}: {}", answer.text);
    }
    finish(app).await;
}
