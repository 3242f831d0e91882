//! What one snapshot has and another has not.

use std::fs;

use serde_json::{Value as Json, json};

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::repositories::{flip, packs};
use crate::support::rest::{GRAPHS, get};

fn counts(answer: &Json, part: &str) -> Vec<i64> {
    let all = answer["counts"].as_array().unwrap();
    let one = all.iter().find(|one| one["part"] == json!(part)).unwrap();
    ["before", "after", "added", "removed", "changed"].iter().map(|name| one[*name].as_i64().unwrap()).collect()
}

/// Takes a document out of the sample, as far as a comparison looks.
fn without_one_document(source: &std::path::Path) -> String {
    let path = source.join("kv_store_doc_status.json");
    let mut rows: serde_json::Map<String, Json> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let id = rows.keys().next().unwrap().clone();
    rows.remove(&id);
    fs::write(&path, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    id
}

on_each_database!(snapshots_are_compared_by_files_and_by_what_they_hold, async |app: TestApp| {
    let source = app.sample("rag");
    let first = app.snapshot("g", &source).await;
    let path = |id: &str| format!("{GRAPHS}/g/snapshots/{id}/diff");
    assert_eq!(get(&app, &path(&first.backup_id)).await.json["reason"], json!("NO_BASE_SNAPSHOT"));
    app.clock.advance(std::time::Duration::from_secs(1));
    let id = without_one_document(&source);
    fs::write(source.join("notes"), "new").unwrap();
    let second = app.snapshot("g", &source).await;
    let answer = get(&app, &path(&second.backup_id)).await.ok();
    assert_eq!(answer["base_snapshot_id"], json!(first.backup_id));
    assert_eq!(counts(&answer, "files"), [12, 13, 1, 0, 1]);
    assert_eq!(counts(&answer, "documents"), [6, 5, 0, 1, 0]);
    assert_eq!(counts(&answer, "entities"), [34, 34, 0, 0, 0]);
    assert_eq!(answer["entities_lost_share"], json!(0.0));
    let listed: Vec<_> = answer["differences"].as_array().unwrap().iter().map(|one| (&one["part"], &one["change"], &one["key"])).collect();
    let (files, documents) = (json!("files"), json!("documents"));
    let expected = [
        (&files, &json!("changed"), &json!("kv_store_doc_status.json")),
        (&files, &json!("added"), &json!("notes")),
        (&documents, &json!("removed"), &json!(id)),
    ];
    assert_eq!(listed, expected);
    let mut seen = vec![];
    let mut token = String::new();
    loop {
        let page = get(&app, &format!("{}?page_size=1&page_token={token}", path(&second.backup_id))).await.ok();
        assert!(page["differences"].as_array().unwrap().len() <= 1);
        seen.extend(page["differences"].as_array().unwrap().iter().cloned());
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(json!(seen), answer["differences"]);
    let only = get(&app, &format!("{}?part=documents&base_snapshot_id={}", path(&first.backup_id), second.backup_id)).await.ok();
    assert_eq!((&only["differences"][0]["change"], only["differences"].as_array().unwrap().len()), (&json!("added"), 1));
    app
});

on_each_database!(a_graph_that_is_lost_shows_as_a_share, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.clock.advance(std::time::Duration::from_secs(1));
    fs::remove_file(source.join("graph_chunk_entity_relation.graphml")).unwrap();
    let second = app.snapshot("g", &source).await;
    let answer = get(&app, &format!("{GRAPHS}/g/snapshots/{}/diff", second.backup_id)).await.ok();
    assert_eq!(counts(&answer, "entities"), [34, 0, 0, 34, 0]);
    assert_eq!(answer["entities_lost_share"], json!(1.0));
    app
});

on_each_database!(a_snapshot_that_cannot_be_read_is_damaged_and_no_source, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.clock.advance(std::time::Duration::from_secs(1));
    without_one_document(&source);
    let second = app.snapshot("g", &source).await;
    for (pack, _) in packs(&app.storage().join("g")) {
        // Not the header, nor the directories: what the files hold.
        if fs::metadata(&pack).unwrap().len() > 10_000 {
            flip(&pack);
        }
    }
    let refused = get(&app, &format!("{GRAPHS}/g/snapshots/{}/diff?part=entities", second.backup_id)).await;
    assert_eq!((refused.status, &refused.json["reason"]), (500, &json!("REPOSITORY_DAMAGED")), "{}", refused.text);
    app
});
