//! Where a restore may go, asked when it is asked for and again when it is its turn.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp};
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::repositories::open;
use crate::support::rest::{Answer, GRAPHS, get, post, watch};

async fn restore(app: &TestApp, snapshot: &v1::Snapshot, target: &Path, more: Json) -> Answer {
    let mut body = json!({ "target_dir": target });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post(app, &format!("{GRAPHS}/{}/snapshots/{}/restore", snapshot.graph_id, snapshot.backup_id), &body).await
}

/// A LightRAG server that says which directory it works on.
pub(crate) fn server_of(directory: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = json!({ "status": "healthy", "working_directory": directory, "pipeline_busy": false }).to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut lines) = (String::new(), BufReader::new(stream.try_clone().unwrap()));
            while lines.read_line(&mut request).unwrap() > 2 {}
            let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    url
}

on_each_database!(the_place_of_another_graph_is_not_taken_by_mistake, async |app: TestApp| {
    let (ours, theirs) = (app.sample("ours"), app.sample("theirs"));
    fs::write(theirs.join("theirs"), "x").unwrap();
    let snapshot = app.snapshot("a", &ours).await;
    post(&app, GRAPHS, &json!({ "graph_id": "b", "source_dir": theirs })).await.ok();
    let before = files::describe(&theirs);
    for more in [json!({}), json!({ "validate_only": true })] {
        let refused = restore(&app, &snapshot, &theirs, more).await;
        assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_OF_OTHER_GRAPH")), "{}", refused.text);
        assert!(refused.refusal().1.contains("`b`"));
    }
    assert_eq!(files::describe(&theirs), before);
    restore(&app, &snapshot, &theirs, json!({ "force": true })).await.ok();
    assert!(!theirs.join("theirs").exists());
    // Whoever forces that need not know of a server that works there.
    let more = app.sample("more");
    let server = json!({ "url": server_of(&more) });
    post(&app, GRAPHS, &json!({ "graph_id": "c", "source_dir": more, "server": server })).await.ok();
    let before = files::describe(&more);
    let refused = restore(&app, &snapshot, &more, json!({ "force": true })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_IN_USE")), "{}", refused.text);
    assert_eq!(files::describe(&more), before);
    let plan = restore(&app, &snapshot, &more, json!({ "force": true, "validate_only": true })).await.ok();
    assert!(plan["plan"]["conflicts"][0].as_str().unwrap().contains("graph `c`"), "{plan}");
    app
});

on_each_database!(what_was_free_is_asked_again, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    let target = app.data("chosen");
    let fork = app.data("forked");
    // Another process holds the repository, so that the restores wait.
    let lock = open(&app, "g").lock(LockKind::Exclusive, START, "elsewhere").unwrap();
    let mut accepted = vec![];
    for (target, more) in [
        (&target, json!({ "paths": ["kv_store_doc_status.json"], "wait": false })),
        (&fork, json!({ "fork_graph_id": "copy", "wait": false })),
    ] {
        accepted.push(restore(&app, &snapshot, target, more).await.ok()["operation"]["operation_id"].as_str().unwrap().to_owned());
    }
    loop {
        // The first has passed what is asked at its beginning when it waits for the lock.
        let running = get(&app, "/api/operations?state=running").await.ok();
        if running["operations"][0]["operation_id"] == json!(accepted[0]) {
            break;
        }
        tokio::task::yield_now().await;
    }
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "as it was").unwrap();
    post(&app, GRAPHS, &json!({ "graph_id": "copy", "source_dir": source })).await.ok();
    drop(lock);
    let mut errors = vec![];
    for id in &accepted {
        let ended = watch(&app, id).await.pop().unwrap();
        errors.push((ended["state"].clone(), ended["error"]["message"].as_str().unwrap().to_owned()));
    }
    assert_eq!((&errors[0].0, &errors[1].0), (&json!("failed"), &json!("failed")));
    assert!(errors[0].1.contains("something stands at the target"), "{errors:?}");
    assert!(errors[1].1.contains("graph `copy` is registered already"), "{errors:?}");
    let left: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((left, fork.exists()), (vec!["mine".into()], false));
    assert_eq!(files::kept(&target), Vec::<PathBuf>::new());
    app
});

on_each_database!(a_plan_says_what_a_restore_would_say, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    let missing = json!({ "paths": ["none"], "validate_only": true });
    let refused = restore(&app, &snapshot, &app.data("new"), missing).await;
    assert_eq!((refused.status, &refused.json["reason"]), (404, &json!("FILE_NOT_FOUND")), "{}", refused.text);
    let plan = async || restore(&app, &snapshot, &app.data("new"), json!({ "validate_only": true })).await.ok()["plan"].clone();
    assert_eq!(plan().await["expected_seconds"], json!(null));
    app.restore(&snapshot, &app.data("again")).await.unwrap();
    assert!(plan().await["expected_seconds"].is_number());
    app
});

/// A file system of 64 KiB; unmounted when dropped.
pub(crate) struct TinyDisk(pub(crate) PathBuf);

impl TinyDisk {
    /// None where the tests may not mount.
    pub(crate) fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

on_each_database!(chosen_files_need_room_for_themselves_alone, async |app: TestApp| {
    let source = app.sample("rag");
    fs::write(source.join("small"), "x").unwrap();
    let snapshot = app.snapshot("g", &source).await;
    let Some(disk) = TinyDisk::mount(app.data("disk")) else {
        println!("skipped: the tests may not mount a file system here");
        return app;
    };
    // Beside a target that is a mount point is another file system: both must have room.
    for target in [disk.0.clone(), disk.0.join("below")] {
        let plan = restore(&app, &snapshot, &target, json!({ "validate_only": true })).await.ok()["plan"].clone();
        assert!(plan["conflicts"][0].as_str().unwrap().contains("bytes are needed"), "{plan}");
        assert!(plan["free_bytes"].as_i64().unwrap() <= 64 << 10, "{plan}");
        let refused = restore(&app, &snapshot, &target, json!({})).await;
        assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_FULL")), "{}", refused.text);
    }
    let target = disk.0.join("chosen");
    restore(&app, &snapshot, &target, json!({ "paths": ["small"] })).await.ok();
    assert_eq!(fs::read(target.join("small")).unwrap(), b"x");
    drop(disk);
    app
});
