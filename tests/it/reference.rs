//! The generated documents are what the code generates, the error reference has every reason, and what they refer to is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::app::reference;
use lightkeep::service::ErrorKind;

/// How the documents are made anew.
const COMMAND: &str = "run `cargo run -- reference documents docs`";

/// Words in the code that look like reasons and are none: gRPC codes, and names of variables.
const NO_REASONS: [&str; 23] = [
    "ALREADY_EXISTS",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "CARGO_PKG_VERSION",
    "INPUT_DIR",
    "WORKING_DIR",
    "LIGHTKEEP_DRILL_COMMAND",
    "LIGHTKEEP_DRILL_GRAPH_ID",
    "LIGHTKEEP_DRILL_OPERATION_ID",
    "LIGHTKEEP_FAILOVER_ID",
    "LIGHTKEEP_GRAPH_IDS",
    "LIGHTKEEP_HOOK_ACTION",
    "LIGHTKEEP_HOOK_EVENT",
    "LIGHTKEEP_HOOK_RUN",
    "LIGHTKEEP_HOOK_SECRET",
    "LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND",
    "LIGHTRAG_API_KEY",
    "LIGHTRAG_RECOVERY_DB_URL",
];

#[test]
fn the_generated_documents_are_up_to_date() {
    let docs = docs();
    let generated = reference::documents(&docs).unwrap();
    assert!(generated.len() > 10, "{:?}", generated.keys());
    for (path, text) in &generated {
        let there = fs::read_to_string(docs.join(path)).unwrap_or_default();
        assert!(there == *text, "docs/{} is not what the code generates: {COMMAND}", path.display());
    }
    for entry in fs::read_dir(docs.join("reference")).unwrap() {
        let path = Path::new("reference").join(entry.unwrap().file_name());
        assert!(generated.contains_key(&path), "docs/{} is not generated any more: delete it", path.display());
    }
}

#[test]
fn documents_are_written_around_the_prose() {
    let folder = tempfile::tempdir().unwrap();
    let there = fs::read_to_string(docs().join("CONFIGURATION.md")).unwrap();
    let old = there.replace("| `LIGHTKEEP_HTTP_ADDR` |", "| `AN_OLD_NAME` |");
    assert_ne!(old, there);
    fs::write(folder.path().join("CONFIGURATION.md"), old).unwrap();
    reference::write(folder.path()).unwrap();
    for (path, text) in reference::documents(&docs()).unwrap() {
        assert!(fs::read_to_string(folder.path().join(&path)).unwrap() == text, "{}", path.display());
    }
}

#[test]
fn every_reason_has_its_heading_and_its_code() {
    let errors = fs::read_to_string(docs().join("ERRORS.md")).unwrap();
    let sections: Vec<(&str, &str)> = errors.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    let text = format!("{}{}", code(&source("service")), code(&source("api")));
    let reasons = reasons(&text);
    assert!(reasons.len() > 100 && reasons.contains("GRAPH_NOT_FOUND") && reasons.contains("INTERNAL"), "{reasons:?}");
    assert!(sections.is_sorted(), "docs/ERRORS.md is in no order");
    let headings: BTreeSet<String> = sections.iter().map(|(reason, _)| (*reason).to_owned()).collect();
    let (absent, others): (Vec<_>, Vec<_>) = (reasons.difference(&headings).collect(), headings.difference(&reasons).collect());
    assert!(absent.is_empty() && others.is_empty(), "docs/ERRORS.md lacks {absent:?}, and has {others:?}, which no code gives");

    let wrong = sections.into_iter().flat_map(|(reason, section)| {
        let said = section.trim_start().lines().next().unwrap();
        let codes = codes_of(reason, &text).into_iter().filter(move |code| !said.contains(&format!("`{code}`")));
        codes.map(move |code| format!("{reason} is {code}: {said}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_link_leads_somewhere() {
    let mut documents: Vec<PathBuf> = reference::documents(&docs()).unwrap().into_keys().map(|path| docs().join(path)).collect();
    documents.extend(["API.md", "ERRORS.md"].map(|name| docs().join(name)));
    let mut dead = vec![];
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).filter(|link| !link.contains("://"));
        for link in links {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            if !file.exists() || !anchor.is_empty() && !anchors(&fs::read_to_string(&file).unwrap()).contains(anchor) {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(dead, Vec::<String>::new());
}

/// All reasons that an answer or an operation can have.
fn reasons(text: &str) -> BTreeSet<String> {
    let mut reasons = quoted(text, |c| c.is_ascii_uppercase() || c == '_');
    reasons.retain(|word| word.len() > 1 && (word.contains('_') || word == "INTERNAL"));
    for word in NO_REASONS {
        assert!(reasons.remove(word), "{word} is not in the code any more");
    }
    // What is not found has its kind in its reason.
    let kinds = text.split("NotFound { kind: \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    reasons.extend(kinds.map(|kind| format!("{}_NOT_FOUND", kind.to_uppercase())));
    reasons
}

/// The gRPC codes of a reason, where they stand right before it in the code.
fn codes_of(reason: &str, text: &str) -> BTreeSet<String> {
    let before = text.split(&format!("\"{reason}\"")).collect::<Vec<_>>();
    let before = before.split_last().map_or(&[][..], |(_, before)| before);
    let kinds = before.iter().filter_map(|before| {
        let (_, kind) = before.trim_end().strip_suffix(',')?.rsplit_once("ErrorKind::")?;
        kind.chars().all(char::is_alphanumeric).then_some(kind)
    });
    kinds.map(code_word).collect()
}

/// `FAILED_PRECONDITION` of `FailedPrecondition`.
fn code_word(variant: &str) -> String {
    let mut word = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    let kind = if word == "exhausted" { Some(ErrorKind::Exhausted) } else { ErrorKind::parse(&word) };
    kind.unwrap_or_else(|| panic!("there is no kind {variant}")).as_str().to_uppercase()
}

/// The headings of a document, as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    headings.map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")).collect()
}

/// The Rust code below a folder, without its unit tests.
pub(crate) fn code(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            text.push_str(&code(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(fs::read_to_string(&path).unwrap().split("#[cfg(test)]").next().unwrap());
        }
    }
    text
}

/// The words in double quotes that consist of these characters only.
pub(crate) fn quoted(text: &str, is_part: fn(char) -> bool) -> BTreeSet<String> {
    let between = text.split('"').filter(|word| !word.is_empty() && word.chars().all(is_part));
    between.map(str::to_owned).collect()
}

fn source(floor: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(floor)
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}
