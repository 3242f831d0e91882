//! The client against a live server.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use lightkeep::app::args::Args;
use lightkeep::app::config::Config;
use lightkeep::app::server::{Listeners, Server};
use lightkeep::base::clock::SystemClock;
use lightkeep::base::ids::IdSource;
use lightkeep_client::{Client, Error, Options, Retry, v1};
use tonic::Code;

struct Live {
    directory: tempfile::TempDir,
    environment: HashMap<String, String>,
}

impl Live {
    fn new(more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let zero = ["LIGHTKEEP_HTTP_ADDR", "LIGHTKEEP_GRPC_ADDR", "LIGHTKEEP_METRICS_ADDR"].map(|name| (name, "127.0.0.1:0"));
        let environment = zero.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { directory, environment }
    }

    async fn start(&self) -> Server {
        let config = Config::load(&Args::parse_from(["lightkeep", "serve"]), &self.environment, self.directory.path()).unwrap();
        let listeners = Listeners::bind(&config).await.unwrap();
        Server::start(config, listeners, Arc::new(SystemClock), IdSource::Random).await.unwrap()
    }

    /// A copy of the real sample workspace.
    fn sample(&self) -> PathBuf {
        let to = self.directory.path().join("rag");
        std::fs::create_dir(&to).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/workspaces/sample");
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    }
}

fn options(server: &Server) -> Options {
    Options::new(server.grpc_addr().to_string())
}

fn snapshot_of(graph_id: &str, source_dir: &Path) -> v1::CreateSnapshotRequest {
    v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), source_dir: source_dir.display().to_string(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_the_readme_works() {
    let (live, example) = (Live::new(&[]), Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/snapshot.rs"));
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let text = std::fs::read_to_string(example).unwrap();
    assert!(readme.contains(text.split_once("\n\n").unwrap().1), "README.md shows another example than examples/snapshot.rs");

    let server = live.start().await;
    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples").join("snapshot");
    let output = Command::new(program).arg(server.grpc_addr().to_string()).arg("g").arg(live.sample()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let last = told.lines().last().unwrap();
    assert!(last.contains(" Completed ") && last.ends_with(" bytes"), "{told}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_pages_and_waiting() {
    let live = Live::new(&[]);
    let server = live.start().await;
    let client = Client::new(options(&server)).await.unwrap();
    let source = live.sample();
    for _ in 0..3 {
        client.call(snapshot_of("g", &source)).await.unwrap();
    }
    let list = v1::ListSnapshotsRequest { graph_id: "g".to_owned(), page_size: 2, ..Default::default() };
    assert_eq!(client.all(list).await.unwrap().len(), 3);

    let begun = client.call(v1::CreateSnapshotRequest { wait: Some(false), ..snapshot_of("g", &source) }).await.unwrap();
    let mut states = Vec::new();
    let ended = client.wait(&begun.operation_id, |operation| states.push(operation.state())).await.unwrap();
    assert_eq!((ended.snapshot_id, states.last()), (begun.backup_id, Some(&v1::OperationState::Succeeded)));

    // What the caller names itself stays: the same request is answered once.
    let request_id = "01890000-0000-4000-8000-000000000000".to_owned();
    let named = v1::CreateSnapshotRequest { request_id, ..snapshot_of("g", &source) };
    let (first, again) = (client.call(named.clone()).await.unwrap(), client.call(named).await.unwrap());
    assert_eq!(first.backup_id, again.backup_id);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_the_servers_words() {
    let live = Live::new(&[("LIGHTRAG_API_KEY", "secret")]);
    let server = live.start().await;
    let nobody = Client::new(options(&server)).await.unwrap();
    assert_eq!(nobody.call(v1::ListGraphsRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);

    let client = Client::new(Options { token: Some("secret".to_owned()), ..options(&server) }).await.unwrap();
    let unknown = client.call(v1::GetGraphRequest { graph_id: "no".to_owned() }).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.reason(), unknown.to_string().as_str()), (Code::NotFound, "GRAPH_NOT_FOUND", "Graph no not found"));
    let Error::Refused(refusal) = unknown else { panic!("{unknown:?}") };
    assert!(!refusal.request_id.is_empty());

    let bad = client.call(v1::RegisterGraphRequest { graph_id: "..".to_owned(), source_dir: "/".to_owned(), ..Default::default() }).await;
    let Err(Error::Refused(refusal)) = bad else { panic!("{bad:?}") };
    assert_eq!(refusal.violations[0].field, "graph_id");

    let source = live.directory.path().join("nothing");
    let failed = client.call(snapshot_of("g", &source)).await.unwrap_err();
    assert_eq!(failed.reason(), "SOURCE_NOT_FOUND");
    assert!(!format!("{client:?}").contains("secret"));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_found_and_does_nothing_twice() {
    let mut live = Live::new(&[]);
    let (server, source) = (live.start().await, live.sample());
    let address = server.grpc_addr().to_string();
    live.environment.insert("LIGHTKEEP_GRPC_ADDR".to_owned(), address.clone());
    server.stop().await.unwrap();

    let never = Client::new(Options { retry: Retry::NEVER, ..Options::new(&address) }).await.unwrap();
    assert_eq!(never.call(v1::ListGraphsRequest::default()).await.unwrap_err().code(), Code::Unavailable);

    let patient = Retry { attempts: 1000, first_pause: Duration::from_millis(20), longest_pause: Duration::from_millis(20) };
    let client = Client::new(Options { retry: patient, ..Options::new(&address) }).await.unwrap();
    let (answer, server) = tokio::join!(client.call(snapshot_of("g", &source)), live.start());
    assert_eq!(answer.unwrap().status(), v1::SnapshotStatus::Completed);
    let list = v1::ListSnapshotsRequest { graph_id: "g".to_owned(), ..Default::default() };
    assert_eq!(client.all(list).await.unwrap().len(), 1);

    // A change that cannot be told from another one is not made again.
    server.stop().await.unwrap();
    let once = client.call(v1::CancelOperationRequest { operation_id: "x".to_owned() });
    let refused = tokio::time::timeout(Duration::from_secs(15), once).await.expect("it was made again and again").unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_waiting() {
    let forever = Retry { attempts: u32::MAX, first_pause: Duration::from_millis(10), longest_pause: Duration::from_millis(10) };
    let deadline = Some(Duration::from_millis(200));
    let list = async |address: String| {
        let client = Client::new(Options { deadline, retry: forever, ..Options::new(address) }).await.unwrap();
        client.call(v1::ListGraphsRequest::default()).await.unwrap_err().code()
    };
    // Somebody listens and never answers; nobody listens.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(list(silent.local_addr().unwrap().to_string()).await, Code::DeadlineExceeded);
    let closed = silent.local_addr().unwrap().to_string();
    drop(silent);
    assert_eq!(list(closed).await, Code::Unavailable);
}

/// Whoever listens there takes calls and hangs up in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client = Client::new(Options {
        retry: Retry { attempts: 3, first_pause: Duration::ZERO, longest_pause: Duration::ZERO },
        ..Options::new(address)
    });
    let client = client.await.unwrap();
    let hang_up = async {
        let mut calls = 0;
        loop {
            drop(listener.accept().await.unwrap());
            calls += 1;
            if calls == 3 {
                return calls;
            }
        }
    };
    let (answer, calls) = tokio::join!(client.call(v1::ListGraphsRequest::default()), hang_up);
    assert_eq!((answer.unwrap_err().code(), calls), (Code::Unavailable, 3));
    drop(listener);
    assert!(client.wait("x", |_| {}).await.unwrap_err().is_passing());
}

#[tokio::test]
async fn what_cannot_be_used_is_said_at_once() {
    for (options, word) in [
        (Options::new("http://[::"), "address"),
        (Options { token: Some("a\nb".to_owned()), ..Options::new("localhost:1") }, "token"),
        (Options { ca_file: Some("/nowhere.pem".into()), ..Options::new("https://localhost:1") }, "/nowhere.pem"),
    ] {
        let error = Client::new(options).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn every_rpc_is_there() {
    let pool = prost_reflect::DescriptorPool::decode(lightkeep::proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = pool.services().filter(|service| service.full_name() != "lightkeep.v1.ReplicaService");
    let rpcs: Vec<String> = services
        .flat_map(|service| service.methods().map(|method| format!("/{}/{}", service.full_name(), method.name())).collect::<Vec<_>>())
        .collect();
    let mut calls: Vec<&str> = lightkeep_client::CALLS.to_vec();
    calls.sort_unstable();
    let mut rpcs: Vec<&str> = rpcs.iter().map(String::as_str).collect();
    rpcs.sort_unstable();
    assert_eq!(calls, rpcs);
}
