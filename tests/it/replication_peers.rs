//! What another Lightkeep may do here, and what becomes of one that lies.

use std::collections::BTreeSet;
use std::fs;

use lightkeep::base::secret::Secret;
use lightkeep::base::timestamp::Timestamp;
use lightkeep::proto::v1;
use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
use lightkeep::proto::v1::replica_service_client::ReplicaServiceClient;
use lightkeep::repository::{Founding, Repository};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::fake_peer::{FakePeer, Lie};
use crate::support::files::small;
use crate::support::pair::{PEER, PEER_KEY, Pair, TARGETS, in_step, replica};
use crate::support::rest::{GRAPHS, delete, get, post, send};

const API_KEY: &str = "the-api-key";

fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// By the HTTP port, as peers come.
async fn client(app: &TestApp) -> ReplicaServiceClient<Channel> {
    ReplicaServiceClient::new(Endpoint::new(app.url("")).unwrap().connect().await.unwrap())
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn name(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Sends a file under a name.
async fn put(
    client: &mut ReplicaServiceClient<Channel>,
    graph_id: &str,
    name: Vec<u8>,
    size_bytes: i64,
    pieces: Vec<Vec<u8>>,
) -> Result<(), Status> {
    put_kind(client, v1::StoredFileKind::Pack, graph_id, name, size_bytes, pieces).await
}

async fn put_kind(
    client: &mut ReplicaServiceClient<Channel>,
    kind: v1::StoredFileKind,
    graph_id: &str,
    name: Vec<u8>,
    size_bytes: i64,
    pieces: Vec<Vec<u8>>,
) -> Result<(), Status> {
    let header = Some(v1::FileHeader { graph_id: graph_id.into(), kind: kind.into(), name, size_bytes });
    let mut messages = vec![v1::PutFileRequest { header, bytes: Default::default() }];
    messages.extend(pieces.into_iter().map(|piece| v1::PutFileRequest { header: None, bytes: piece.into() }));
    client.put_file(with_key(tokio_stream::iter(messages), PEER_KEY)).await.map(|_| ())
}

/// Begins a copy of a repository of which the receiving side has not the password; gives its config.
async fn found(client: &mut ReplicaServiceClient<Channel>, graph_id: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let password = Secret::new("another password".into());
    let repository = Repository::init(directory.path(), &password, Timestamp::default(), "elsewhere").unwrap();
    let Founding { config, key: (key_name, key_file) } = repository.founding().unwrap();
    let key_name = key_name.as_bytes().to_vec();
    let request = v1::FoundReplicaRequest { graph_id: graph_id.into(), config: config.clone(), key_name, key_file };
    client.found_replica(with_key(request, PEER_KEY)).await.unwrap();
    config
}

async fn receiving() -> TestApp {
    let keys = format!("{PEER}:{PEER_KEY},paris:peer-key-of-paris-0123456789");
    TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_PEER_KEYS", &keys), ("LIGHTRAG_API_KEY", API_KEY)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_key_opens_its_own_copies_and_nothing_else() {
    let app = receiving().await;
    let mut replicas = client(&app).await;
    let config = found(&mut replicas, "g").await;
    let describe = |key: &str| with_key(v1::DescribeReplicaRequest { graph_id: "g".into() }, key);
    assert_eq!(replicas.describe_replica(describe(PEER_KEY)).await.unwrap().into_inner().config, config);
    assert_eq!(replicas.describe_replica(describe("peer-key-of-paris-0123456789")).await.unwrap().into_inner().config, b"");
    for key in [API_KEY, "peer-key-of-nobody-012345678", ""] {
        let refused = replicas.describe_replica(describe(key)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "PEER_KEY_INVALID"), "{key}");
    }
    let mut backups = BackupServiceClient::new(app.channel().await);
    let delete = v1::UnregisterGraphRequest { graph_id: format!("g@{PEER}"), ..Default::default() };
    let refused = backups.unregister_graph(with_key(delete.clone(), PEER_KEY)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "API_KEY_INVALID"));
    let listed = backups.list_graphs(with_key(v1::ListGraphsRequest::default(), API_KEY)).await.unwrap().into_inner().graphs;
    assert_eq!(listed.iter().map(|graph| graph.graph_id.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(["g@berlin"]));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_what_its_name_says_is_not_taken() {
    let app = receiving().await;
    let mut client = client(&app).await;
    let early = put(&mut client, "g", name(b"x"), 1, vec![b"x".to_vec()]).await.unwrap_err();
    assert_eq!(reason(&early), "REPLICA_NOT_FOUND");
    found(&mut client, "g").await;
    let bytes = vec![7; 100_000];
    let size = bytes.len() as i64;
    let endless = vec![vec![7; 64 << 10]; 2000];
    for (what, name, size, pieces, expected) in [
        ("another content", name(b"other"), size, vec![bytes.clone()], "FILE_MISMATCH"),
        ("too little", name(&bytes), size, vec![bytes[..10].to_vec()], "FILE_MISMATCH"),
        ("nothing", name(&bytes), size, vec![], "FILE_MISMATCH"),
        ("without end", name(&bytes), size, endless, "FILE_MISMATCH"),
        ("too large", name(&bytes), i64::MAX, vec![], "FILE_TOO_LARGE"),
        ("negative", name(&bytes), -1, vec![], "INVALID_ARGUMENT"),
        ("no name", vec![1, 2, 3], size, vec![], "INVALID_ARGUMENT"),
    ] {
        let refused = put(&mut client, "g", name, size, pieces).await.unwrap_err();
        assert_eq!(reason(&refused), expected, "{what}: {refused}");
    }
    // A copy has the key that it was founded with, and one that can be opened in reasonable time.
    let key = put_kind(&mut client, v1::StoredFileKind::Key, "g", name(&bytes), size, vec![bytes.clone()]).await.unwrap_err();
    assert_eq!(reason(&key), "INVALID_ARGUMENT");
    for (n, r, p, salt) in [(1 << 20, 8, 1, 64), (1 << 15, 8, 17, 64), (2, 2048, 64, 64), (1 << 15, 8, 1, 4096)] {
        let file = json!({ "created": "", "username": "", "hostname": "", "kdf": "scrypt", "N": n, "r": r, "p": p, "salt": "A".repeat(salt), "data": "" });
        let file = file.to_string().into_bytes();
        let (key_name, config) = (name(&file), b"config".to_vec());
        let costly = v1::FoundReplicaRequest { graph_id: "costly".into(), config, key_name, key_file: file };
        let refused = client.found_replica(with_key(costly, PEER_KEY)).await.unwrap_err();
        assert_eq!(reason(&refused), "FILE_MISMATCH", "{n} {r} {p} {salt}: {refused}");
    }
    assert!(!app.storage().join("replicas").join(PEER).join("costly").exists());
    for graph_id in ["../g", "g@paris", "", "a/b"] {
        let refused = put(&mut client, graph_id, name(&bytes), size, vec![bytes.clone()]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{graph_id}: {refused}");
    }
    // Nothing of it has stayed.
    let copy = app.storage().join("replicas").join(PEER).join("g");
    let left = fs::read_dir(copy.join("data")).unwrap().count() + fs::read_dir(copy.join("snapshots")).unwrap().count();
    assert_eq!(left, 0);
    assert!(!fs::read_dir(&copy).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with(".tmp")));

    put(&mut client, "g", name(&bytes), size, vec![bytes.clone()]).await.unwrap();
    let commit = |packs: Vec<u8>, record: v1::SmallFile| v1::CommitSnapshotRequest {
        graph_id: "g".into(),
        packs,
        record: Some(record),
        ..Default::default()
    };
    let record = v1::SmallFile { name: name(b"record"), bytes: b"record".to_vec() };
    let lacking = client.commit_snapshot(with_key(commit(name(b"other"), record.clone()), PEER_KEY)).await.unwrap_err();
    assert_eq!(reason(&lacking), "REPLICA_INCOMPLETE");
    let lying = v1::SmallFile { name: name(b"other"), bytes: b"record".to_vec() };
    let lying = client.commit_snapshot(with_key(commit(name(&bytes), lying), PEER_KEY)).await.unwrap_err();
    assert_eq!(reason(&lying), "FILE_MISMATCH");
    assert_eq!(fs::read_dir(copy.join("snapshots")).unwrap().count(), 0);
    // A repository that nobody here can open is held all the same.
    client.commit_snapshot(with_key(commit(name(&bytes), record), PEER_KEY)).await.unwrap();
    assert_eq!(fs::read_dir(copy.join("snapshots")).unwrap().count(), 1);
    let headers = [("x-api-key", API_KEY), ("content-type", "application/json")];
    let health = send(&app, "POST", "/api/backup/recovery/health-check", &headers, "{}").await.ok();
    let known = &health["backups"][format!("g@{PEER}")];
    assert_eq!(known["status"], json!("unknown"), "{health}");
    assert!(known["message"].as_str().unwrap().contains("another password"), "{health}");
    // Another one does not take its place.
    let key = fs::read_dir(copy.join("keys")).unwrap().next().unwrap().unwrap().path();
    let key_file = fs::read(key).unwrap();
    let other = v1::FoundReplicaRequest { graph_id: "g".into(), config: b"another config".to_vec(), key_name: name(&key_file), key_file };
    let refused = client.found_replica(with_key(other, PEER_KEY)).await.unwrap_err();
    assert_eq!(reason(&refused), "REPLICA_OF_ANOTHER_REPOSITORY");
    // Whoever has the API key can give its room back.
    let purge = format!("{GRAPHS}/g@{PEER}?repository=purge&confirm_graph_id=g@{PEER}");
    send(&app, "DELETE", &purge, &headers, "").await.ok();
    assert!(!copy.exists());
    finish(app).await;
}

/// Registers a fake target, has a graph sent there, and gives what was said of it.
async fn told_of(lie: Lie) -> (String, String) {
    let app = TestApp::start(Kind::Sqlite).await;
    let fake = FakePeer::start(lie).await;
    let target = post(&app, TARGETS, &json!({ "name": "fake", "base_url": fake.url, "api_key": PEER_KEY })).await.ok();
    let id = target["target_id"].as_str().unwrap().to_owned();
    post(&app, &format!("{TARGETS}/{id}/health"), &json!({})).await.ok();
    let condition = get(&app, &format!("{TARGETS}/{id}")).await.ok()["condition"].clone();
    let source = small(&app.data("rag"));
    app.snapshot("g", &source).await;
    while replica(&app, "g").await["last_error"].is_null() {
        tokio::task::yield_now().await;
    }
    let error = replica(&app, "g").await["last_error"].as_str().unwrap().to_owned();
    finish(app).await;
    (format!("{} {}", condition["status"].as_str().unwrap(), condition["reason"].as_str().unwrap()), error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_of_another_protocol_is_told() {
    let (condition, error) = told_of(Lie::Protocol).await;
    assert_eq!(condition, "degraded TARGET_PROTOCOL");
    assert!(error.contains("protocol 2") && error.contains("same version"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_server_is_told_as_such() {
    let (condition, error) = told_of(Lie::OldServer).await;
    assert_eq!(condition, "healthy TARGET_NO_LIGHTKEEP");
    assert!(error.contains("old server"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_sense_end_the_attempt() {
    let (condition, error) = told_of(Lie::MissingWithoutEnd).await;
    assert_eq!(condition, "healthy ");
    assert!(error.contains("makes no sense"), "{error}");
    let (_, error) = told_of(Lie::RefusesFiles).await;
    assert!(error.contains("not what its name says"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_goes_nowhere_else() {
    let (app, thief) = (TestApp::start(Kind::Sqlite).await, FakePeer::start(Lie::OldServer).await);
    let fake = FakePeer::start(Lie::RedirectsTo(format!("{}/health", thief.url))).await;
    let target = post(&app, TARGETS, &json!({ "name": "fake", "base_url": fake.url, "api_key": PEER_KEY })).await.ok();
    let health = post(&app, &format!("{TARGETS}/{}/health", target["target_id"].as_str().unwrap()), &json!({})).await.ok();
    assert_eq!(health["status"], json!("degraded"));
    assert_eq!(fake.asked(), 1);
    assert_eq!(thief.asked(), 0);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_delays_only_itself() {
    let pair = Pair::start(Kind::Sqlite).await;
    // A port that nobody listens on.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = post(&pair.source, TARGETS, &json!({ "name": "down", "base_url": format!("http://{closed}"), "api_key": "k" })).await.ok();
    let source = small(&pair.source.data("rag"));
    pair.source.snapshot("g", &source).await;
    // It stands first in the list.
    while replica(&pair.source, "g").await["failures"] == json!(0) {
        tokio::task::yield_now().await;
    }
    pair.register().await;
    let lags = async || {
        let status = get(&pair.source, "/api/backup/replication/graphs/g/status").await.ok();
        let replicas = status["replicas"].as_array().unwrap().clone();
        replicas.iter().map(|replica| replica["lag_snapshots"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    while lags().await != [1, 0] {
        tokio::task::yield_now().await;
    }
    let status = get(&pair.source, "/api/backup/replication/graphs/g/status").await.ok();
    assert_eq!((&status["total_targets"], &status["enabled_targets"]), (&json!(2), &json!(2)));
    // Switched off it counts no more, and back on it is tried at once.
    let path = format!("{TARGETS}/{}", down["target_id"].as_str().unwrap());
    send(&pair.source, "PATCH", &path, &[], json!({ "enabled": false }).to_string()).await.ok();
    let asked = post(&pair.source, "/api/backup/replication/graphs/g/replicate", &json!({ "wait": true })).await.ok();
    assert_eq!(asked["state"], json!("succeeded"));
    delete(&pair.source, &path).await.ok();
    in_step(&pair.source, "g").await;
    pair.finish().await;
}
