//! What retention asks of the rows of `snapshots`.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::snapshot::{Column, Entity};
use crate::base::ids::SnapshotId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::snapshot::SnapshotStatus;

/// What retention asks of a snapshot: few columns, since it asks for all snapshots of a graph.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Outline {
    /// Its name.
    pub snapshot_id: SnapshotId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was complete, or had failed.
    pub completed_at: Option<Timestamp>,
    /// Kept at least until then.
    pub retention_until: Option<Timestamp>,
    /// Where it stands.
    pub status: SnapshotStatus,
    /// The audit's word.
    pub consistency: Option<String>,
    /// Whether its last verification found nothing wrong.
    pub verified_passed: Option<bool>,
    /// A repair found that it lacks content.
    pub has_losses: bool,
    /// Why it is pinned, or was; none when it never was, or its pin was taken back.
    pub pin_reason: Option<String>,
    /// When the pin ends by itself; none for a pin without end.
    pub pinned_until_at: Option<Timestamp>,
    /// Why it is under a legal hold, or was; none when it never was, or was released.
    pub hold_reason: Option<String>,
    /// When the hold ends by itself; none for one without end.
    pub held_until_at: Option<Timestamp>,
    /// How many checkpoints keep it.
    pub checkpoints: i32,
    /// JSON list of its tags.
    pub tags: Option<String>,
    /// Names its record in the repository, hex.
    pub record_id: Option<String>,
    /// Its content was stored, so a record may have been written.
    pub was_stored: bool,
}

impl Outline {
    /// Whether the repository may hold a record of it, named by the row or not.
    pub fn may_have_record(&self) -> bool {
        self.record_id.is_some() || self.was_stored
    }
}

/// All snapshots of a graph, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Vec<Outline>, Error> {
    let plain = [
        Column::SnapshotId,
        Column::CreatedAt,
        Column::CompletedAt,
        Column::RetentionUntil,
        Column::Status,
        Column::Consistency,
        Column::VerifiedPassed,
        Column::PinReason,
        Column::PinnedUntilAt,
        Column::HoldReason,
        Column::HeldUntilAt,
        Column::Checkpoints,
        Column::Tags,
        Column::RecordId,
    ];
    let query = Entity::find()
        .select_only()
        .columns(plain)
        .column_as(Column::Losses.is_not_null(), "has_losses")
        .column_as(Column::DataHash.is_not_null(), "was_stored")
        .filter(Column::GraphId.eq(graph_id.clone()))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::SnapshotId);
    query.into_model::<Outline>().all(connection).await.map_err(Error::during("list snapshots"))
}

/// Notes with each snapshot of a graph whether a retention policy counts.
///
/// # Errors
/// The database's.
pub async fn set_kept_by_policy(connection: &impl ConnectionTrait, graph_id: &GraphId, kept_by_policy: bool) -> Result<(), Error> {
    let update = Entity::update_many().col_expr(Column::KeptByPolicy, Expr::value(kept_by_policy));
    let update = update.filter(Column::GraphId.eq(graph_id.clone())).filter(Column::KeptByPolicy.ne(kept_by_policy));
    update.exec(connection).await.map_err(Error::during("write retention"))?;
    Ok(())
}
