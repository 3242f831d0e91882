//! Files of snapshots come whole, or with an error: to readers that stop, that trickle, and when the server stops.

use std::fs;
use std::time::Duration;

use lightkeep::proto::google::api::HttpBody;
use lightkeep::proto::v1;
use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::rest::{GRAPHS, client};

/// More than all buffers on the way hold.
const SIZE: u32 = 36_000_000;

fn content() -> Vec<u8> {
    (0..SIZE / 4).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()).collect()
}

/// A server with a snapshot of one large file.
async fn start() -> (TestApp, v1::Snapshot) {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.data("plain");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("large"), content()).unwrap();
    let snapshot = app.snapshot("g", &source).await;
    (app, snapshot)
}

/// A reader with small buffers of its own: the server waits for it.
async fn open(app: &TestApp, snapshot: &v1::Snapshot) -> Streaming<HttpBody> {
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", app.server.grpc_addr())).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap()).max_decoding_message_size(1 << 20);
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let request = v1::ReadSnapshotFileRequest { graph_id, snapshot_id, path: "large".to_owned(), ..Default::default() };
    client.read_snapshot_file(request).await.unwrap().into_inner()
}

fn url(app: &TestApp, snapshot: &v1::Snapshot) -> String {
    app.url(&format!("{GRAPHS}/g/snapshots/{}/files/large", snapshot.backup_id))
}

async fn until_unlocked(app: &TestApp) {
    while fs::read_dir(app.storage().join("g/locks")).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Reads to the end, which has to be an error before the file's end.
async fn broken_off(mut stream: Streaming<HttpBody>) -> Status {
    let mut read = 0;
    loop {
        match stream.message().await {
            Ok(Some(piece)) => read += piece.data.len(),
            Ok(None) => panic!("{read} of {SIZE} bytes ended as if they were all"),
            Err(status) => {
                assert!(read < SIZE as usize, "all has come");
                return status;
            }
        }
    }
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_turned_away_and_knows_it() {
    let (app, snapshot) = start().await;
    let mut stream = open(&app, &snapshot).await;
    stream.message().await.unwrap().unwrap();
    let mut response = client().get(url(&app, &snapshot)).send().await.unwrap();
    assert_eq!(response.content_length(), Some(SIZE.into()));
    let mut read = response.chunk().await.unwrap().unwrap().to_vec();
    app.clock.advance(Duration::from_secs(3600));
    until_unlocked(&app).await;
    assert_eq!(reason(&broken_off(stream).await), (Code::Aborted, "READ_TOO_SLOW".to_owned()));
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken && read.len() < SIZE as usize, "{} bytes, broken off: {broken}", read.len());

    let rest = client().get(url(&app, &snapshot)).header("range", format!("bytes={}-", read.len())).send().await.unwrap();
    assert_eq!(rest.status(), 206);
    read.extend_from_slice(&rest.bytes().await.unwrap());
    assert!(read == content(), "the rest does not fit");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_trickles_does_not_keep_the_lock() {
    let (app, snapshot) = start().await;
    let mut stream = open(&app, &snapshot).await;
    let mut read = 0;
    let status = loop {
        match stream.message().await {
            Ok(piece) => read += piece.expect("a trickle has read it all").data.len(),
            Err(status) => break status,
        }
        app.clock.advance(Duration::from_secs(10));
    };
    assert_eq!(reason(&status), (Code::Aborted, "READ_TOO_SLOW".to_owned()));
    assert!(read < SIZE as usize / 2, "{read}");
    until_unlocked(&app).await;
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_a_download_with_an_error() {
    let (app, snapshot) = start().await;
    let mut stream = open(&app, &snapshot).await;
    stream.message().await.unwrap().unwrap();
    let response = client().get(url(&app, &snapshot)).send().await.unwrap();
    let TestApp { server, directory, .. } = app;
    let stopping = server.services().stopping().clone();
    let readers = async {
        stopping.cancelled().await;
        (broken_off(stream).await, response.bytes().await)
    };
    let (stopped, (status, body)) = tokio::join!(server.stop(), readers);
    stopped.unwrap();
    assert_eq!(reason(&status), (Code::Unavailable, "SERVER_STOPPING".to_owned()));
    assert!(body.is_err(), "{} bytes ended as if they were all", body.unwrap().len());
    drop(directory);
}
