//! The house stands as `src/lib.rs` says: a floor uses only lower floors, neighbours on one floor never meet, and files stay small.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each floor and what it may use.
const FLOORS: [(&str, &[&str]); 13] = [
    ("base", &[]),
    ("proto", &[]),
    ("domain", &["base"]),
    ("store", &["domain", "base"]),
    ("repository", &["domain", "base"]),
    ("lightrag", &["domain", "base"]),
    ("telemetry", &["domain", "base"]),
    // What is a service at the door is a client here: the one other place that speaks gRPC.
    ("peer", &["proto", "domain", "base"]),
    ("service", &["store", "repository", "lightrag", "peer", "telemetry", "domain", "base"]),
    ("jobs", &["service", "store", "repository", "lightrag", "domain", "base"]),
    // The rows of `store` are the answers of `service`; the door reads them, and never asks the database.
    ("api", &["service", "store", "telemetry", "proto", "domain", "base"]),
    // Speaks to servers by the client crate; the door gives it the JSON of REST.
    ("cli", &["api", "proto", "base"]),
    ("app", &["cli", "api", "jobs", "service", "store", "lightrag", "telemetry", "proto", "domain", "base"]),
];

/// A file is read at one sitting.
const MOST_LINES: usize = 400;

#[test]
fn floors_use_only_lower_floors() {
    let allowed: BTreeMap<_, _> = FLOORS.into();
    let mut wrong = vec![];
    for file in rust_files(&root().join("src")) {
        let below = file.strip_prefix(root().join("src")).unwrap();
        let floor = below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if floor == "lib" || floor == "main" {
            continue;
        }
        let may_use = allowed.get(floor.as_str()).unwrap_or_else(|| panic!("{floor} is on no floor"));
        let text = fs::read_to_string(&file).unwrap();
        for used in used_floors(&text) {
            if used != floor && !may_use.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", below.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_door_asks_the_database_only_through_services() {
    for file in rust_files(&root().join("src/api")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("sea_orm"), "{} talks to the database", file.display());
    }
}

#[test]
fn proto_types_stop_at_the_door() {
    for floor in ["base", "domain", "store", "repository", "lightrag", "service", "jobs"] {
        for file in rust_files(&root().join("src").join(floor)) {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("prost") && !text.contains("tonic"), "{} knows of gRPC", file.display());
        }
    }
}

#[test]
fn files_are_short() {
    let long = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count() > MOST_LINES;
    let folders = ["src", "tests", "migrations", "clients/rust"].map(|folder| rust_files(&root().join(folder)));
    let long: Vec<PathBuf> = folders.into_iter().flatten().filter(long).collect();
    assert_eq!(long, Vec::<PathBuf>::new());
}

/// The names after `crate::`, also where several stand in braces.
fn used_floors(text: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = vec![];
    for part in text.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            None => used.push(word(part)),
            Some(list) => used.extend(list.split('}').next().unwrap().split(',').map(|name| word(name.trim()))),
        }
    }
    used.retain(|name| FLOORS.iter().any(|(floor, _)| floor == name));
    used
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
