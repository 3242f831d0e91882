//! Table `snapshots`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::verification::VerificationLevel;

/// A snapshot: one that is wanted, is there, or failed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "snapshots")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub snapshot_id: SnapshotId,
    /// The graph that it is of.
    pub graph_id: GraphId,
    /// The operation that takes or took it.
    pub operation_id: OperationId,
    /// Where it stands.
    pub status: SnapshotStatus,
    /// The directory that it is taken from.
    pub source_dir: String,
    /// JSON as the caller gave it.
    pub metadata: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the work began.
    pub started_at: Option<Timestamp>,
    /// When it was complete, or had failed.
    pub completed_at: Option<Timestamp>,
    /// Kept at least until then, where no policy counts instead.
    pub retention_until: Option<Timestamp>,
    /// Names its record in the repository, hex.
    pub record_id: Option<String>,
    /// SHA-256 of its content, hex.
    pub data_hash: Option<String>,
    /// The audit's word, see `domain::finding::Consistency`.
    pub consistency: Option<String>,
    /// JSON of the audit's findings.
    pub findings: Option<String>,
    /// Regular files.
    pub files: i64,
    /// Sum of their sizes, bytes.
    pub size_bytes: i64,
    /// Bytes that it added to the repository.
    pub stored_bytes: i64,
    /// Documents in the graph.
    pub documents: i64,
    /// Chunks in the graph.
    pub chunks: i64,
    /// Entities in the graph.
    pub entities: i64,
    /// Relations in the graph.
    pub relations: i64,
    /// Vectors in all indexes.
    pub vectors: i64,
    /// Documents that were being worked on.
    pub documents_in_flight: i64,
    /// Why it failed.
    pub error_message: Option<String>,
    /// Why it is pinned; none when it is not.
    pub pin_reason: Option<String>,
    /// Since when.
    pub pinned_at: Option<Timestamp>,
    /// When the pin ends by itself; none for a pin without end.
    pub pinned_until_at: Option<Timestamp>,
    /// When it was verified last.
    pub verified_at: Option<Timestamp>,
    /// How deep.
    pub verified_level: Option<VerificationLevel>,
    /// Whether nothing was wrong.
    pub verified_passed: Option<bool>,
    /// JSON list of what a repair found lost of it; none for a snapshot that is whole.
    pub losses: Option<String>,
    /// The layout of its stores, such as `1.5`.
    pub lightrag_layout: Option<String>,
    /// The inputs directory that it holds too; none for one without.
    pub inputs_dir: Option<String>,
    /// Regular files in it.
    pub inputs_files: Option<i64>,
    /// Sum of their sizes, bytes.
    pub inputs_size_bytes: Option<i64>,
    /// SHA-256 of its content, hex.
    pub inputs_data_hash: Option<String>,
    /// The operation that is deleting it: no pin and no hold comes any more.
    pub deleting_operation_id: Option<OperationId>,
    /// When the capture that it holds began.
    pub captured_at: Option<Timestamp>,
    /// How many checkpoints keep it.
    pub checkpoints: i32,
    /// Its graph has a retention policy.
    pub kept_by_policy: bool,
    /// JSON list of the tags that its caller chose.
    pub tags: Option<String>,
    /// Why it is under a legal hold; none when it is not.
    pub hold_reason: Option<String>,
    /// Since when.
    pub held_at: Option<Timestamp>,
    /// When the hold ends by itself; none for one that lasts until it is released.
    pub held_until_at: Option<Timestamp>,
}

impl Model {
    /// The row of a snapshot that is wanted, and of which nothing is known yet.
    pub fn pending(
        snapshot_id: SnapshotId,
        graph_id: GraphId,
        operation_id: OperationId,
        source_dir: String,
        created_at: Timestamp,
    ) -> Self {
        Self {
            snapshot_id,
            graph_id,
            operation_id,
            status: SnapshotStatus::Pending,
            source_dir,
            metadata: None,
            created_at,
            started_at: None,
            completed_at: None,
            retention_until: None,
            record_id: None,
            data_hash: None,
            consistency: None,
            findings: None,
            files: 0,
            size_bytes: 0,
            stored_bytes: 0,
            documents: 0,
            chunks: 0,
            entities: 0,
            relations: 0,
            vectors: 0,
            documents_in_flight: 0,
            error_message: None,
            pin_reason: None,
            pinned_at: None,
            pinned_until_at: None,
            verified_at: None,
            verified_level: None,
            verified_passed: None,
            losses: None,
            lightrag_layout: None,
            inputs_dir: None,
            inputs_files: None,
            inputs_size_bytes: None,
            inputs_data_hash: None,
            deleting_operation_id: None,
            tags: None,
            kept_by_policy: false,
            captured_at: None,
            checkpoints: 0,
            hold_reason: None,
            held_at: None,
            held_until_at: None,
        }
    }
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
