//! Repositories as tests work on them: by their RPCs, and behind their backs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lightkeep::base::secret::Secret;
use lightkeep::proto::v1;
use lightkeep::repository::{NewRecord, Record, RecordId, Repository, Stored, Summary};
use serde_json::{Value as Json, json};

use super::app::TestApp;
use super::rest::{GRAPHS, get, post, watch};

/// Prunes, checks, repairs or reconciles, and gives the report.
pub(crate) async fn work(app: &TestApp, graph_id: &str, what: &str, body: Json) -> Json {
    post(app, &format!("{GRAPHS}/{graph_id}/repository/{what}"), &body).await.ok()["report"].clone()
}

/// Waits for the reconciliation of a graph that was queued last, and gives what came out.
pub(crate) async fn reconciled(app: &TestApp, graph_id: &str) -> Json {
    loop {
        let listed = get(app, &format!("/api/operations?kind=reconcile&graph_id={graph_id}")).await.ok();
        if let Some(id) = listed["operations"][0]["operation_id"].as_str() {
            let ended = watch(app, id).await.pop().unwrap();
            assert_eq!(ended["state"], json!("succeeded"), "{ended}");
            return ended["result"].clone();
        }
        tokio::task::yield_now().await;
    }
}

/// Verifies a snapshot.
pub(crate) async fn verify(app: &TestApp, snapshot: &v1::Snapshot, level: &str) -> Json {
    let path = format!("{GRAPHS}/{}/snapshots/{}/verify", snapshot.graph_id, snapshot.backup_id);
    post(app, &path, &json!({ "level": level })).await.ok()["verification"].clone()
}

/// The packs of a repository and their sizes, the largest last.
pub(crate) fn packs(repository: &Path) -> Vec<(PathBuf, u64)> {
    let mut packs = vec![];
    for directory in fs::read_dir(repository.join("data")).unwrap() {
        for pack in fs::read_dir(directory.unwrap().path()).unwrap() {
            let pack = pack.unwrap();
            packs.push((pack.path(), pack.metadata().unwrap().len()));
        }
    }
    packs.sort_by_key(|(_, bytes)| *bytes);
    packs
}

/// Writes content that does not compress, another for each seed.
pub(crate) fn noise(path: &Path, seed: u32, length: u32) {
    let next = |state: &mut u32| {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        *state
    };
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    fs::write(path, (0..length / 4).flat_map(|_| next(&mut state).to_le_bytes()).collect::<Vec<u8>>()).unwrap();
}

/// Changes bytes all over a file; doing it twice makes it whole again.
pub(crate) fn flip(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().step_by(100).for_each(|byte| *byte ^= 0x55);
    fs::write(path, bytes).unwrap();
}

/// Changes one bit in the middle of a file.
pub(crate) fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The repository of a graph, opened as another process would.
pub(crate) fn open(app: &TestApp, graph_id: &str) -> Repository {
    let password = fs::read_to_string(app.storage().join("repository.key")).unwrap();
    Repository::open(&app.storage().join(graph_id), &Secret::new(password.trim().to_owned())).unwrap()
}

/// The name of a snapshot's record.
pub(crate) fn record_of(snapshot: &v1::Snapshot) -> RecordId {
    RecordId::parse(Path::new(snapshot.checkpoint_path()).file_name().unwrap().to_str().unwrap()).unwrap()
}

/// What is to be written for a record that says the same as this one, of another record's content: as `restic rewrite` does it.
pub(crate) fn rewritten(record: &Record, content: &Record) -> (Stored, NewRecord) {
    let summary = Summary::default();
    let (tree, data_hash) = (content.tree, [0; 32]);
    let stored = Stored { tree, files: 0, size_bytes: 0, data_hash, beside: None, added_bytes: 0, files_unchanged: 0, summary };
    let new = NewRecord {
        time: record.time,
        hostname: record.hostname.clone(),
        username: record.username.clone(),
        paths: record.paths.clone(),
        tags: record.tags.clone(),
        parent: None,
    };
    (stored, new)
}
