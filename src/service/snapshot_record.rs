//! What the record of a snapshot says beside its content.

use std::path::PathBuf;

use crate::domain::tag::{GRAPH_TAG, OWN_TAG, SNAPSHOT_TAG, Tags};
use crate::repository::{NewRecord, RecordId};
use crate::store::entity::snapshot::Model;

/// The tag by which an interrupted operation finds its record again.
pub(super) fn snapshot_tag(snapshot: &Model) -> String {
    format!("{SNAPSHOT_TAG}{}", snapshot.snapshot_id)
}

/// The record of a snapshot.
pub(super) fn new_record(snapshot: &Model, instance_name: &str, parent: Option<RecordId>) -> NewRecord {
    let own = [OWN_TAG.to_owned(), format!("{GRAPH_TAG}{}", snapshot.graph_id), snapshot_tag(snapshot)];
    NewRecord {
        time: snapshot.created_at,
        hostname: instance_name.to_owned(),
        username: "lightkeep".to_owned(),
        // The source first: that is how adoption tells them apart.
        paths: [&snapshot.source_dir].into_iter().chain(&snapshot.inputs_dir).map(PathBuf::from).collect(),
        // Ours, by which it is found again, and those that its caller chose.
        tags: own.into_iter().chain(Tags::from_json(snapshot.tags.as_deref())).collect(),
        parent,
    }
}
