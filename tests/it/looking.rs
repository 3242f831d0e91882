//! Looking into snapshots without restoring them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::rest::{GRAPHS, get, send};

on_each_database!(directories_are_listed_and_files_are_read_in_parts, async |app: TestApp| {
    let source = app.sample("rag");
    fs::create_dir(source.join("notes")).unwrap();
    fs::write(source.join("notes/größe.txt"), "0123456789").unwrap();
    fs::write(source.join("notes/empty"), "").unwrap();
    std::os::unix::fs::symlink("/nowhere", source.join("notes/link")).unwrap();
    fs::create_dir(source.join("odd")).unwrap();
    fs::write(source.join("odd").join(OsStr::from_bytes(b"caf\xe9")), "latin").unwrap();
    let snapshot = app.snapshot("g", &source).await;
    fs::remove_dir_all(&source).unwrap();

    let path = format!("{GRAPHS}/g/snapshots/{}/files", snapshot.backup_id);
    let top = get(&app, &path).await.ok();
    assert_eq!(top["entries"].as_array().unwrap().len(), 14);
    assert_eq!(top["manifest"]["graph_id"], json!("g"));
    assert_eq!(top["manifest"]["verdict"]["census"]["entities"], json!(34));
    assert_eq!(top["manifest"]["data_hash"], json!(snapshot.data_hash));
    let notes = get(&app, &format!("{path}?path=notes")).await.ok();
    let entries = notes["entries"].as_array().unwrap();
    let shown: Vec<_> = entries.iter().map(|entry| (entry["path"].as_str().unwrap(), entry["kind"].as_str().unwrap_or("?"))).collect();
    assert_eq!(shown, [("notes/empty", "file"), ("notes/größe.txt", "file"), ("notes/link", "symlink")]);
    assert_eq!((&entries[2]["link_target"], &notes["manifest"]), (&json!("/nowhere"), &json!(null)));
    assert!(entries.iter().all(|entry| entry["name_is_lossy"] == json!(false)));
    // A name that is no text is shown as well as it can be, and cannot be asked for.
    let odd = get(&app, &format!("{path}?path=odd")).await.ok()["entries"][0].clone();
    assert_eq!((&odd["path"], &odd["name_is_lossy"], &odd["size_bytes"]), (&json!("odd/caf\u{fffd}"), &json!(true), &json!(5)));
    assert_eq!(get(&app, &format!("{path}/odd/caf%EF%BF%BD")).await.status, 404);
    assert_eq!(get(&app, &format!("{path}/odd/caf%E9")).await.status, 400);
    app.restore(&snapshot, &app.data("again")).await.unwrap();
    assert_eq!(fs::read(app.data("again/odd").join(OsStr::from_bytes(b"caf\xe9"))).unwrap(), b"latin");
    let mut seen = vec![];
    let mut token = String::new();
    loop {
        let page = get(&app, &format!("{path}?page_size=5&page_token={token}")).await.ok();
        seen.extend(page["entries"].as_array().unwrap().iter().cloned());
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(json!(seen), top["entries"]);

    let file = format!("{path}/notes/gr%C3%B6%C3%9Fe.txt");
    let whole = get(&app, &file).await;
    assert_eq!((whole.status, whole.text.as_str()), (200, "0123456789"));
    assert_eq!((whole.header("content-type"), whole.header("accept-ranges")), ("text/plain; charset=utf-8", "bytes"));
    let part = send(&app, "GET", &file, &[("range", "bytes=3-5")], "").await;
    assert_eq!((part.status, part.text.as_str(), part.header("content-range")), (206, "345", "bytes 3-5/10"));
    let rest = send(&app, "GET", &file, &[("range", "bytes=8-")], "").await;
    assert_eq!((rest.status, rest.text.as_str(), rest.header("content-length")), (206, "89", "2"));
    assert_eq!(get(&app, &format!("{file}?offset=4&length=2")).await.text, "45");
    let all = send(&app, "GET", &file, &[("range", "bytes=0-9223372036854775807")], "").await;
    assert_eq!((all.status, all.text.as_str(), all.header("content-range")), (206, "0123456789", "bytes 0-9/10"));
    for range in ["bytes=10-", "bytes=11-12", "bytes=99999999999999999999-"] {
        let behind = send(&app, "GET", &file, &[("range", range)], "").await;
        assert_eq!((behind.refusal().0, behind.header("content-range")), (416, "bytes */10"), "{range}");
        assert_eq!(behind.json["reason"], json!("OFFSET_OUT_OF_RANGE"));
    }
    let head = send(&app, "HEAD", &file, &[("range", "bytes=3-5")], "").await;
    assert_eq!((head.status, head.text.as_str(), head.header("content-length"), head.header("content-range")), (200, "", "10", ""));
    assert_eq!((whole.header("content-length"), get(&app, &format!("{file}?offset=4")).await.header("content-length")), ("10", "6"));
    for range in ["bytes=0-", "bytes=0-5"] {
        let empty = send(&app, "GET", &format!("{path}/notes/empty"), &[("range", range)], "").await;
        assert_eq!((empty.status, empty.text.as_str(), empty.header("content-length")), (200, "", "0"), "{range}");
    }
    for (query, status) in [("/none", 404), ("/notes", 404), ("/notes/link", 404), ("?path=none", 404), ("?path=..", 400)] {
        assert_eq!(get(&app, &format!("{path}{query}")).await.status, status, "{query}");
    }
    app
});

on_each_database!(a_large_file_comes_whole, async |app: TestApp| {
    let source = app.data("plain");
    fs::create_dir(&source).unwrap();
    let bytes: Vec<u8> = (0..9_000_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()).collect();
    fs::write(source.join("large"), &bytes).unwrap();
    let snapshot = app.snapshot("g", &source).await;
    let url = app.url(&format!("{GRAPHS}/g/snapshots/{}/files/large", snapshot.backup_id));
    let read = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
    app
});
