//! Directories and files of snapshots.

use super::{all_there, json_to_struct, page, timestamp};
use crate::domain::entry::{Listed, ListedKind};
use crate::domain::graph_id::GraphId;
use crate::domain::page::PageRequest;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::looking::{Directory, Listed, ListedKind};

pub(in crate::api::grpc) fn parse_browse(request: &v1::BrowseSnapshotRequest) -> Result<(GraphId, PageRequest<String>), Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let page = page(&mut violations, request.page_size, &request.page_token);
    all_there(violations, graph_id.zip(page))
}

/// The graph, the first byte, and how many bytes.
pub(in crate::api::grpc) fn parse_read(request: &v1::ReadSnapshotFileRequest) -> Result<(GraphId, u64, u64), Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let number = |violations: &mut Violations, field: &str, value: i64| {
        violations.take(field, u64::try_from(value).map_err(|_| format!("must not be negative: {value}")))
    };
    let offset = number(&mut violations, "offset", request.offset);
    let length = number(&mut violations, "length", request.length);
    if request.path.is_empty() {
        violations.add("path", "must not be empty");
    }
    let all = graph_id.zip(offset).zip(length).map(|((graph_id, offset), length)| (graph_id, offset, length));
    all_there(violations, all)
}

pub(in crate::api::grpc) fn to_proto(directory: Directory) -> v1::BrowseSnapshotResponse {
    let Directory { path, entries, manifest } = directory;
    let manifest = manifest.and_then(|json| serde_json::from_str(&json).ok()).and_then(json_to_struct);
    v1::BrowseSnapshotResponse {
        entries: entries.items.into_iter().map(|entry| entry_to_proto(&path, entry)).collect(),
        next_page_token: entries.next_page_token.unwrap_or_default(),
        manifest,
    }
}

fn entry_to_proto(directory: &std::path::Path, entry: Listed) -> v1::FileEntry {
    let kind = match entry.kind {
        ListedKind::File => v1::FileKind::File,
        ListedKind::Directory => v1::FileKind::Directory,
        ListedKind::Symlink => v1::FileKind::Symlink,
        ListedKind::Other => v1::FileKind::Unspecified,
    };
    v1::FileEntry {
        name_is_lossy: entry.name.to_str().is_none(),
        path: directory.join(&entry.name).to_string_lossy().into_owned(),
        kind: kind.into(),
        size_bytes: i64::try_from(entry.size_bytes).unwrap_or(i64::MAX),
        modified_at: Some(timestamp(entry.modified)),
        mode: i32::try_from(entry.mode & 0o7777).unwrap_or(0),
        link_target: entry.link_target.map(|target| target.to_string_lossy().into_owned()),
    }
}

/// What a file most likely is, by its name: browsers show JSON.
pub(in crate::api::grpc) fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("graphml" | "xml") => "application/xml",
        Some("txt" | "md" | "log") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
