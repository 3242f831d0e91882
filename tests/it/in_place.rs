//! Snapshots of a source that is written in place, as LightRAG before 1.5 does: each file is cut to nothing and grows again.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lightkeep::base::control::Control;
use lightkeep::domain::finding::Consistency;
use lightkeep::lightrag::audit::audit_directory;
use lightkeep::proto::v1;
use serde_json::{Map, Value as Json, json};
use tonic_types::StatusExt as _;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::files;

const COMMIT: &str = "kv_store_doc_status.json";
const TEXTS: &str = "kv_store_full_docs.json";
const CHUNKS: &str = "kv_store_text_chunks.json";
const VECTORS: &str = "vdb_chunks.json";

/// Longer than five captures take that follow each other at once.
const BURST: Duration = Duration::from_secs(1);

/// A LightRAG 1.4 that takes in the documents of the sample, one after the other, and forgets them all when it has the last.
struct Writer {
    root: PathBuf,
    contents: Vec<(String, Json)>,
    documents: Vec<String>,
}

impl Writer {
    fn new(root: &Path) -> Self {
        files::copy_tree(&files::sample().with_file_name("sample-1.4.9"), root);
        let json = |name: &str| -> Json { serde_json::from_slice(&fs::read(root.join(name)).unwrap()).unwrap() };
        let contents: Vec<_> = [COMMIT, TEXTS, CHUNKS, VECTORS].map(|name| (name.to_owned(), json(name))).into();
        let documents = contents[0].1.as_object().unwrap().keys().cloned().collect();
        Self { root: root.to_path_buf(), contents, documents }
    }

    /// Cuts the file to nothing, then writes it piece by piece.
    fn write(&self, name: &str, content: &[u8]) {
        let mut file = File::create(self.root.join(name)).unwrap();
        content.chunks(2048).for_each(|piece| file.write_all(piece).unwrap());
    }

    /// A store with the rows of these documents.
    fn write_store(&self, name: &str, documents: &[String]) {
        let (_, whole) = self.contents.iter().find(|(other, _)| other == name).unwrap();
        let is_of = |key: &str, row: &Json| documents.iter().any(|document| document == row["full_doc_id"].as_str().unwrap_or(key));
        let content = if name == VECTORS {
            let matrix = STANDARD.decode(whole["matrix"].as_str().unwrap()).unwrap();
            let rows = whole["data"].as_array().unwrap();
            let kept: Vec<_> = rows.iter().zip(matrix.chunks(matrix.len() / rows.len())).filter(|(row, _)| is_of("", row)).collect();
            let (rows, vectors): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
            json!({"embedding_dim": whole["embedding_dim"], "data": rows, "matrix": STANDARD.encode(vectors.concat())})
        } else {
            let rows = whole.as_object().unwrap().iter().filter(|(key, row)| is_of(key, row));
            Json::Object(rows.map(|(key, row)| (key.clone(), row.clone())).collect::<Map<_, _>>())
        };
        self.write(name, &serde_json::to_vec_pretty(&content).unwrap());
    }

    /// Takes the documents in, or forgets them. A document counts when its status is written, which is last.
    fn round(&self) {
        for count in 0..=self.documents.len() {
            let documents = &self.documents[..count];
            if count == 0 {
                self.write_store(COMMIT, documents);
            }
            for item in fs::read_dir(&self.root).unwrap().map(Result::unwrap) {
                let name = item.file_name().into_string().unwrap();
                match name.as_str() {
                    COMMIT => {}
                    TEXTS | CHUNKS | VECTORS => self.write_store(&name, documents),
                    // What all documents share is written anew each time, too.
                    _ => self.write(&name, &fs::read(item.path()).unwrap()),
                }
            }
            self.write_store(COMMIT, documents);
        }
    }

    /// Writes for a while, during which a snapshot is begun.
    fn burst(&self, is_writing: &Barrier) {
        self.round();
        is_writing.wait();
        let begun = Instant::now();
        while begun.elapsed() < BURST {
            self.round();
        }
    }
}

/// What was restored is what the snapshot says it is.
async fn check(app: &TestApp, snapshot: &v1::Snapshot, name: &str) {
    let target = app.data(name);
    app.restore(snapshot, &target).await.unwrap();
    let verdict = audit_directory(&target, &Control::default()).unwrap();
    let is_consistent = snapshot.consistency() == v1::Consistency::Consistent;
    assert_eq!(verdict.consistency == Consistency::Consistent, is_consistent, "{:?}", verdict.findings);
    assert_eq!(i64::try_from(verdict.census.documents).unwrap(), snapshot.documents);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_waits_for_files_that_are_written_in_place() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.data("rag");
    let writer = Writer::new(&source);
    for number in 0..3 {
        let is_writing = Barrier::new(2);
        let snapshot = thread::scope(|scope| {
            let writing = scope.spawn(|| writer.burst(&is_writing));
            is_writing.wait();
            let snapshot = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(app.snapshot("g", &source)));
            writing.join().unwrap();
            snapshot
        });
        assert_eq!(snapshot.consistency(), v1::Consistency::Consistent, "{:?}", snapshot.findings);
        check(&app, &snapshot, &format!("restored-{number}")).await;
    }
    // A writer that was killed: what it left is kept, and called what it is.
    let vectors = File::options().write(true).open(source.join(VECTORS)).unwrap();
    vectors.set_len(vectors.metadata().unwrap().len() / 2).unwrap();
    let snapshot = app.snapshot("g", &source).await;
    assert_eq!(snapshot.consistency(), v1::Consistency::Inconsistent);
    assert!(snapshot.findings.iter().any(|finding| finding.rule == "Parses"), "{:?}", snapshot.findings);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_never_rests_is_refused_or_called_what_it_is() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.data("rag");
    let writer = Writer::new(&source);
    // Nobody listens there: the snapshot goes on without the server, but has its patience.
    let server = v1::LightragServer { url: "http://127.0.0.1:1".to_owned(), quiet_wait_seconds: 1, ..Default::default() };
    let source_dir = source.to_str().unwrap().to_owned();
    let request = v1::RegisterGraphRequest { graph_id: "g".to_owned(), source_dir, server: Some(server), ..Default::default() };
    app.backup().await.register_graph(request).await.unwrap();
    let stop = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                writer.round();
            }
        });
        let limit = Duration::from_secs(60);
        let taking = async { tokio::time::timeout(limit, app.try_snapshot("g", &source)).await };
        let taken = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(taking));
        stop.store(true, Ordering::Relaxed);
        taken
    });
    match taken.expect("the snapshot ends in time") {
        Ok(snapshot) => check(&app, &snapshot, "restored").await,
        Err(status) => assert_eq!(status.get_details_error_info().unwrap().reason, "SOURCE_CHANGED", "{status}"),
    }
    finish(app).await;
}
