//! Restores: the same bytes and metadata, and what stood there is kept.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use lightkeep::proto::v1;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;

on_each_database!(a_restore_gives_the_same_tree, async |app: TestApp| {
    let source = app.sample("sample");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    let snapshot = app.snapshot("graph1", &source).await;
    let target = app.data("new/place");
    let answer = app.restore(&snapshot, &target).await.unwrap();
    assert_eq!(answer.status, "success");
    assert_eq!(answer.message, format!("Restored snapshot {} to {}", snapshot.backup_id, target.display()));
    assert_eq!(files::describe(&target), files::describe(&source));
    let listed = app.list("graph1").await.remove(0);
    assert_eq!(listed.status(), v1::SnapshotStatus::Restored);
    app
});

on_each_database!(odd_names_links_and_modes_come_back, async |app: TestApp| {
    let source = app.data("odd");
    fs::create_dir(&source).unwrap();
    for name in [&b"plain"[..], b"new\nline", b"quote\"back\\slash", b"\xff\xfe not utf-8", "ä☃知".as_bytes(), b"-rf", b"a <b> & c"] {
        fs::write(source.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::write(source.join("empty"), "").unwrap();
    fs::create_dir(source.join("empty-directory")).unwrap();
    fs::set_permissions(source.join("plain"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(source.join("empty-directory"), fs::Permissions::from_mode(0o1700)).unwrap();
    fs::hard_link(source.join("plain"), source.join("hard")).unwrap();
    std::os::unix::fs::symlink(OsStr::from_bytes(b"to \xff"), source.join("soft")).unwrap();
    let snapshot = app.snapshot("odd", &source).await;
    let target = app.data("odd-restored");
    app.restore(&snapshot, &target).await.unwrap();
    assert_eq!(files::describe(&target), files::describe(&source));
    app
});

on_each_database!(a_restore_in_place_keeps_what_was_there, async |app: TestApp| {
    let source = app.sample("sample");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    let original = files::describe(&source);
    let snapshot = app.snapshot("graph1", &source).await;
    fs::remove_file(source.join("vdb_chunks.json")).unwrap();
    let damaged = files::describe(&source);
    app.restore(&snapshot, &source).await.unwrap();
    assert_eq!(files::describe(&source), original);
    let kept = files::kept(&source);
    assert_eq!(kept.len(), 1);
    assert_eq!(files::describe(&kept[0]), damaged);
    app
});

on_each_database!(other_workspaces_in_the_target_stay, async |app: TestApp| {
    let source = app.sample("sample");
    let snapshot = app.snapshot("graph1", &source).await;
    let tenant = files::describe(&source.join("tenant_b"));
    fs::write(source.join("kv_store_full_docs.json"), "{}").unwrap();
    app.restore(&snapshot, &source).await.unwrap();
    assert_eq!(files::describe(&source.join("tenant_b")), tenant);
    assert_ne!(fs::read(source.join("kv_store_full_docs.json")).unwrap(), b"{}");
    app
});

on_each_database!(a_snapshot_can_be_restored_any_number_of_times, async |app: TestApp| {
    let source = app.sample("sample");
    let snapshot = app.snapshot("graph1", &source).await;
    let target = app.data("target");
    for count in 0..3 {
        app.restore(&snapshot, &target).await.unwrap();
        assert_eq!(files::kept(&target).len(), count);
        app.clock.advance(std::time::Duration::from_secs(1));
    }
    app
});

on_each_database!(a_damaged_repository_leaves_the_target_as_it_was, async |app: TestApp| {
    let source = app.sample("sample");
    let snapshot = app.snapshot("graph1", &source).await;
    let target = app.data("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("precious"), "kept").unwrap();
    let before = files::describe(&target);
    damage_packs(&app.storage().join("graph1/data"));
    let error = app.restore(&snapshot, &target).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::DataLoss, "{error:?}");
    assert_eq!(files::describe(&target), before);
    assert_eq!(files::kept(&target), Vec::<std::path::PathBuf>::new());
    app
});

/// Turns one bit in the middle of each pack.
fn damage_packs(directory: &std::path::Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage_packs(&path);
        } else {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
}
