//! Each kind of file of a repository, damaged in each way, one at a time, by the public door: a check names it, a repair does what can
//! be done, what is lost is marked, and nothing good is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::files;
use crate::support::repositories::{noise, reconciled, work};
use crate::support::rest::{GRAPHS, get, post};
use crate::support::tools::restic_ok;

/// What is damaged: of the first snapshot, whose source has changed since, or of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Config,
    Key,
    Lock,
    Index,
    Record,
    FirstData,
    SecondData,
    FirstTrees,
    SecondTrees,
}

/// A graph with two snapshots, of whose repository one file is damaged.
struct Case {
    victim: Victim,
    how: &'static str,
    graph_id: String,
    source: PathBuf,
    snapshots: [v1::Snapshot; 2],
    states: [Vec<String>; 2],
    path: PathBuf,
}

impl Case {
    async fn new(app: &TestApp, victim: Victim, how: &'static str) -> Self {
        let graph_id = format!("{victim:?}-{how}").replace(' ', "-");
        let source = app.data(&graph_id);
        fs::create_dir_all(source.join("below")).unwrap();
        noise(&source.join("below/same"), 1, 30_000);
        noise(&source.join("old"), 2, 40_000);
        let root = app.storage().join(&graph_id);
        let take = async || {
            let before = all_files(&root);
            let snapshot = app.snapshot(&graph_id, &source).await;
            let new: Vec<PathBuf> = all_files(&root).difference(&before).cloned().collect();
            (snapshot, files::describe(&source), new)
        };
        let (first, first_state, first_files) = take().await;
        fs::remove_file(source.join("old")).unwrap();
        noise(&source.join("new"), 3, 50_000);
        let (second, second_state, second_files) = take().await;
        let of = |files: &[PathBuf], kind: &str| -> Vec<PathBuf> {
            let mut found: Vec<_> = files.iter().filter(|path| path.starts_with(root.join(kind))).cloned().collect();
            found.sort_by_key(|path| fs::metadata(path).unwrap().len());
            found
        };
        for files in [&first_files, &second_files] {
            assert_eq!(of(files, "data").len(), 2, "a pack of trees and one of data: {files:?}");
        }
        let path = match victim {
            Victim::Config => root.join("config"),
            Victim::Key => of(&first_files, "keys").remove(0),
            Victim::Lock => root.join("locks").join("ab".repeat(32)),
            Victim::Index => of(&second_files, "index").remove(0),
            Victim::Record => PathBuf::from(first.checkpoint_path()),
            Victim::FirstData => of(&first_files, "data").remove(1),
            Victim::SecondData => of(&second_files, "data").remove(1),
            Victim::FirstTrees => of(&first_files, "data").remove(0),
            Victim::SecondTrees => of(&second_files, "data").remove(0),
        };
        if victim == Victim::Lock {
            noise(&path, 4, 300);
        }
        damage_file(&path, how);
        Self { victim, how, graph_id, source, snapshots: [first, second], states: [first_state, second_state], path }
    }

    fn is_pack(&self) -> bool {
        !matches!(self.victim, Victim::Config | Victim::Key | Victim::Lock | Victim::Index | Victim::Record)
    }

    /// What a check must say: the file's name, or where it is gone without a trace, whose it was.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap().to_str().unwrap().to_owned();
        match (self.victim, self.how) {
            (Victim::Key, "gone") => "key".to_owned(),
            (Victim::Index, "gone") => "missing from the index".to_owned(),
            _ => name,
        }
    }

    async fn work(&self, app: &TestApp, what: &str) -> Json {
        self.try_work(app, what).await.ok()["report"].clone()
    }

    async fn try_work(&self, app: &TestApp, what: &str) -> crate::support::rest::Answer {
        post(app, &format!("{GRAPHS}/{}/repository/{what}", self.graph_id), &json!({})).await
    }

    /// The check of the damaged repository.
    async fn is_named(&self, app: &TestApp) {
        let checked = self.try_work(app, "check").await;
        let text = match self.victim {
            // Nothing can be read without them.
            Victim::Config | Victim::Key => checked.refusal().1.to_owned(),
            _ => {
                let report = checked.ok()["report"].clone();
                assert!(report["total_problems"].as_i64().unwrap() > 0, "{self}: {report}");
                report["problems"].to_string()
            }
        };
        assert!(text.contains(&self.name()), "{self}: {text}");
    }

    /// Repairs, and checks all that must hold then; gives the numbers of the snapshots that have lost content.
    async fn is_repaired(&self, app: &TestApp) -> Vec<usize> {
        let report = self.work(app, "repair").await;
        let lost: Vec<usize> = (0..2).filter(|number| report["lost"].to_string().contains(&self.snapshots[*number].backup_id)).collect();
        assert_eq!(report["lost_snapshot_ids"], json!([]), "{self}: {report}");
        let set_aside = !matches!((self.victim, self.how), (_, "gone"));
        assert_eq!(report["set_aside"] != json!([]), set_aside, "{self}: {report}");
        assert_eq!(report["written_anew"] != json!([]), matches!(self.victim, Victim::Config | Victim::Key), "{self}: {report}");
        let [first, second] = [0, 1].map(|number| json!([self.snapshots[number].backup_id]));
        let recovered: &[Json] = match self.victim {
            Victim::Record => &[first],
            // By the source, which holds the same; unless it is the source's own directory, which is simply stored again.
            Victim::SecondTrees if self.is_pack_lost() => &[second],
            Victim::SecondTrees if !self.is_header_only() => &[second, json!([])],
            // Its manifest may have been in there.
            Victim::SecondData if !self.is_header_only() => &[second, json!([])],
            Victim::FirstData if !self.is_header_only() => &[first, json!([])],
            _ => &[json!([])],
        };
        assert!(recovered.contains(&report["recovered_snapshot_ids"]), "{self}: {report}");
        assert_eq!(report["index_rebuilt"], json!(self.is_pack() || self.victim == Victim::Index), "{self}: {report}");

        let checked = self.work(app, "check").await;
        for problem in checked["problems"].as_array().unwrap() {
            assert!(lost.iter().any(|number| problem.to_string().contains(self.record(*number))), "{self}: {problem}");
        }
        assert_eq!(checked["total_problems"] == json!(0), lost.is_empty(), "{self}: {checked}");
        for number in 0..2 {
            self.is_whole_or_marked(app, number, lost.contains(&number)).await;
        }
        let again = self.work(app, "repair").await;
        for (what, nothing) in [("index_rebuilt", json!(false)), ("set_aside", json!([])), ("recovered_snapshot_ids", json!([]))] {
            assert_eq!(again[what], nothing, "{self}: {again}");
        }
        assert_eq!(again["lost"], report["lost"], "{self}");
        lost
    }

    /// Nothing is left of the pack.
    fn is_pack_lost(&self) -> bool {
        matches!(self.how, "empty" | "gone")
    }

    /// Of a pack, the header alone is damaged: it is made anew.
    fn is_header_only(&self) -> bool {
        self.how.contains("header")
    }

    fn record(&self, number: usize) -> &str {
        self.snapshots[number].checkpoint_path().rsplit('/').next().unwrap()
    }

    async fn is_whole_or_marked(&self, app: &TestApp, number: usize, is_lost: bool) {
        let snapshot = &self.snapshots[number];
        let shown = get(app, &format!("{GRAPHS}/{}/snapshots/{}", self.graph_id, snapshot.backup_id)).await.ok();
        assert_eq!(shown["losses"] != json!([]), is_lost, "{self} {number}: {shown}");
        assert_ne!(shown["status"], json!("failed"), "{self} {number}: {shown}");
        let target = app.data(&format!("{}-restored-{number}", self.graph_id));
        let restored = app.restore(snapshot, &target).await;
        assert_eq!(restored.is_err(), is_lost, "{self} {number}: {restored:?}");
        if is_lost {
            assert!(!target.exists(), "{self} {number}");
        } else {
            assert_eq!(files::describe(&target), self.states[number], "{self} {number}");
            fs::remove_dir_all(target).unwrap();
        }
    }

    /// The care goes on: a new snapshot is whole.
    async fn goes_on(&self, app: &TestApp) {
        noise(&self.source.join("newest"), 5, 10_000);
        let next = app.snapshot(&self.graph_id, &self.source).await;
        let target = app.data(&format!("{}-newest", self.graph_id));
        app.restore(&next, &target).await.unwrap();
        assert_eq!(files::describe(&target), files::describe(&self.source), "{self}");
    }

    fn restic_finds_nothing_wrong(&self, app: &TestApp) {
        restic_ok(&app.storage(), &self.graph_id, &["check", "--read-data"]);
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.victim, self.how)
    }
}

fn all_files(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root).into_iter().flatten() {
        let path = entry.unwrap().path();
        let files = if path.is_dir() { all_files(&path) } else { [path].into() };
        found.extend(files);
    }
    found
}

fn damage_file(path: &Path, how: &str) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    match how {
        "flipped" => bytes[length / 2] ^= 1,
        // The header of a pack is sealed: its code stands before the length.
        "flipped header" => bytes[length - 10] ^= 1,
        "flipped header length" => bytes[length - 4] ^= 1,
        "cut in half" => bytes.truncate(length / 2),
        "empty" => bytes.clear(),
        "gone" => return fs::remove_file(path).unwrap(),
        other => panic!("unknown damage: {other}"),
    }
    fs::write(path, bytes).unwrap();
}

const EACH_FILE: [&str; 4] = ["flipped", "cut in half", "empty", "gone"];
const EACH_PACK: [&str; 5] = ["flipped", "flipped header", "flipped header length", "cut in half", "gone"];

/// Makes all cases, and has the server started again if that is wanted: it has nothing in memory then.
async fn cases(victims: &[Victim], ways: &[&'static str], is_restarted: bool) -> (TestApp, Vec<Case>) {
    let app = TestApp::start(Kind::Sqlite).await;
    let mut cases = Vec::new();
    for victim in victims {
        for how in ways {
            cases.push(Case::new(&app, *victim, how).await);
        }
    }
    (if is_restarted { app.restart().await } else { app }, cases)
}

macro_rules! damage_tests {
    ($($name:ident = $run:ident($victims:expr, $ways:expr, $is_restarted:literal)),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (app, cases) = cases(&$victims, &$ways, $is_restarted).await;
            for case in &cases {
                $run(&app, case).await;
            }
            finish(app).await;
        }
    )+};
}

damage_tests! {
    config_and_key = nothing_is_lost([Victim::Config, Victim::Key], EACH_FILE, false),
    config_after_a_restart = nothing_is_lost([Victim::Config], EACH_FILE, true),
    key_after_a_restart = nobody_has_the_key([Victim::Key], EACH_FILE, true),
    lock = nothing_is_lost([Victim::Lock], ["flipped", "cut in half"], false),
    lock_after_a_restart = nothing_is_lost([Victim::Lock], ["flipped"], true),
    index_and_record = nothing_is_lost([Victim::Index, Victim::Record], EACH_FILE, false),
    index_after_a_restart = nothing_is_lost([Victim::Index], EACH_FILE, true),
    record_after_a_restart = nothing_is_lost([Victim::Record], ["flipped", "cut in half", "empty"], true),
    data_that_the_source_has = nothing_is_lost([Victim::SecondData], EACH_PACK, false),
    trees_that_the_source_has = nothing_is_lost([Victim::SecondTrees], EACH_PACK, false),
    data_that_the_source_has_no_more = only_what_nobody_has_is_lost([Victim::FirstData], EACH_PACK, false),
    trees_that_the_source_has_no_more = only_what_nobody_has_is_lost([Victim::FirstTrees], EACH_PACK, false),
    packs_of_the_source_after_a_restart = nothing_is_lost([Victim::SecondData, Victim::SecondTrees], ["flipped", "gone"], true),
    packs_after_a_restart = only_what_nobody_has_is_lost([Victim::FirstData, Victim::FirstTrees], ["flipped", "gone"], true),
}

/// Of a snapshot that restic took, the record alone says what it held; or its source, as long as it holds the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_without_a_manifest_is_found_again_by_its_source_alone() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.data("plain");
    fs::create_dir(&source).unwrap();
    noise(&source.join("file"), 1, 100_000);
    let ours = app.snapshot("g", &source).await;
    noise(&source.join("file"), 2, 100_000);
    restic_ok(&app.storage(), "g", &["backup", source.to_str().unwrap()]);
    let adopted = work(&app, "g", "reconcile", json!({})).await["adopted_snapshot_ids"].clone();
    let list = app.list("g").await;
    let theirs = list.iter().find(|one| json!([one.backup_id]) == adopted).unwrap();
    for (number, (damage, problem)) in [("flipped", "damaged"), ("gone", "missing")].into_iter().enumerate() {
        let path = format!("{GRAPHS}/g/snapshots/{}", theirs.backup_id);
        damage_file(&record_path(&app, &path).await, damage);
        let checked = work(&app, "g", "check", json!({})).await;
        assert_eq!(checked["total_problems"], json!(1), "{checked}");
        noise(&source.join("more"), 1, 1000);
        let report = work(&app, "g", "repair", json!({})).await;
        assert_eq!((&report["lost_snapshot_ids"], &report["recovered_snapshot_ids"]), (&adopted, &json!([])), "{problem}: {report}");
        let shown = get(&app, &path).await.ok();
        assert_eq!((&shown["status"], &shown["checkpoint_path"]), (&json!("failed"), &json!(null)), "{shown}");
        let words = ["its record is damaged and was set aside", "its record is gone from the repository"];
        assert!(shown["error_message"].as_str().unwrap().contains(words[number]), "{shown}");
        assert_eq!(work(&app, "g", "check", json!({})).await["total_problems"], json!(0));

        fs::remove_file(source.join("more")).unwrap();
        assert_eq!(work(&app, "g", "repair", json!({})).await["recovered_snapshot_ids"], json!([]), "what has failed stays so");
        let report = work(&app, "g", "repair", json!({ "with_removed": true })).await;
        assert_eq!((&report["lost_snapshot_ids"], &report["recovered_snapshot_ids"]), (&json!([]), &adopted), "{report}");
        let target = app.data(&format!("again-{number}"));
        app.restore(theirs, &target).await.unwrap();
        assert_eq!(files::describe(&target), files::describe(&source));
    }
    app.restore(&ours, &app.data("ours")).await.unwrap();
    restic_ok(&app.storage(), "g", &["check", "--read-data"]);
    finish(app).await;
}

async fn record_path(app: &TestApp, snapshot: &str) -> PathBuf {
    PathBuf::from(get(app, snapshot).await.ok()["checkpoint_path"].as_str().unwrap())
}

/// A start follows the records that are gone: that may have been meant. If not, a repair brings back what no prune has taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_record_comes_back_if_that_is_wanted() {
    let (app, cases) = cases(&[Victim::Record], &["gone"], true).await;
    let [case] = &cases[..] else { panic!("one case") };
    assert_eq!(reconciled(&app, &case.graph_id).await["lost_snapshot_ids"], json!([case.snapshots[0].backup_id]));
    assert_eq!(case.work(&app, "check").await["total_problems"], json!(0));
    let path = format!("{GRAPHS}/{}/snapshots/{}", case.graph_id, case.snapshots[0].backup_id);
    let shown = get(&app, &path).await.ok();
    assert_eq!(shown["status"], json!("failed"), "{shown}");
    assert_eq!(case.work(&app, "repair").await["recovered_snapshot_ids"], json!([]));
    let wanted = json!({ "with_removed": true });
    let report = work(&app, &case.graph_id, "repair", wanted.clone()).await;
    assert_eq!(report["recovered_snapshot_ids"], json!([case.snapshots[0].backup_id]), "{report}");
    case.is_whole_or_marked(&app, 0, false).await;
    let shown = get(&app, &path).await.ok();
    assert_eq!((&shown["error_message"], &shown["data_hash"]), (&json!(null), &json!(case.snapshots[0].data_hash)), "{shown}");
    case.goes_on(&app).await;

    let record = record_path(&app, &path).await;
    restic_ok(&app.storage(), &case.graph_id, &["forget", "--prune", record.file_name().unwrap().to_str().unwrap()]);
    work(&app, &case.graph_id, "reconcile", json!({})).await;
    let report = work(&app, &case.graph_id, "repair", wanted).await;
    assert_eq!((&report["recovered_snapshot_ids"], &report["lost"]), (&json!([]), &json!([])), "{report}");
    finish(app).await;
}

async fn nothing_is_lost(app: &TestApp, case: &Case) {
    case.is_named(app).await;
    assert_eq!(case.is_repaired(app).await, Vec::<usize>::new(), "{case}");
    case.goes_on(app).await;
    if matches!(case.how, "flipped" | "gone") {
        case.restic_finds_nothing_wrong(app);
    }
}

async fn only_what_nobody_has_is_lost(app: &TestApp, case: &Case) {
    case.is_named(app).await;
    let lost = case.is_repaired(app).await;
    assert!(lost.is_empty() || lost == [0], "{case}: {lost:?}");
    assert!(!case.is_header_only() || lost.is_empty(), "{case}: {lost:?}");
    assert!(!case.is_pack_lost() || lost == [0], "{case}: {lost:?}");
    if case.victim == Victim::FirstData && !lost.is_empty() {
        // The content comes back with the source, by a snapshot as ever.
        noise(&case.source.join("old"), 2, 40_000);
        app.snapshot(&case.graph_id, &case.source).await;
        assert_eq!(case.work(app, "repair").await["lost"], json!([]), "{case}");
        case.is_whole_or_marked(app, 0, false).await;
        case.goes_on(app).await;
        case.restic_finds_nothing_wrong(app);
    }
}

/// Without the password's key nothing can be read, nor made worse. With the file from elsewhere, all is as it was.
async fn nobody_has_the_key(app: &TestApp, case: &Case) {
    let root = app.storage().join(&case.graph_id);
    let before = all_files(&root);
    case.is_named(app).await;
    let refused = case.try_work(app, "repair").await;
    assert!(refused.refusal().1.contains(&case.name()), "{case}: {}", refused.text);
    assert!(app.try_snapshot(&case.graph_id, &case.source).await.is_err(), "{case}");
    assert_eq!(all_files(&root), before, "{case}");
}
