//! Rows of `snapshots`.

use sea_orm::ActiveValue::NotSet;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{Condition, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::snapshot::{Column, Entity, Model};
use super::entity::verification;
use super::pins::{is_held, is_pinned};
use crate::base::ids::{OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::finding::Consistency;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::snapshot::SnapshotStatus;

/// Adds a snapshot.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, snapshot: Model) -> Result<Model, Error> {
    snapshot.into_active_model().insert(connection).await.map_err(Error::during("insert a snapshot"))
}

/// The snapshot of this graph with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, graph_id: &GraphId, id: SnapshotId) -> Result<Option<Model>, Error> {
    let query = Entity::find_by_id(id).filter(Column::GraphId.eq(graph_id.clone()));
    query.one(connection).await.map_err(Error::during("find a snapshot"))
}

/// The snapshot with this id, of whichever graph.
///
/// # Errors
/// The database's.
pub async fn find_any(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a snapshot"))
}

/// The snapshots with these ids, of whichever graphs.
///
/// # Errors
/// The database's.
pub async fn list_by_ids(connection: &impl ConnectionTrait, ids: &[SnapshotId]) -> Result<Vec<Model>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    // Databases bind so many values at once only.
    for some in ids.chunks(10_000) {
        let query = Entity::find().filter(Column::SnapshotId.is_in(some.iter().copied()));
        found.extend(query.all(connection).await.map_err(Error::during("find snapshots"))?);
    }
    Ok(found)
}

/// Which snapshots a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFilter {
    /// Of this graph.
    pub graph_id: Option<GraphId>,
    /// In one of these states.
    pub statuses: Option<&'static [SnapshotStatus]>,
    /// Of which the audit said this.
    pub consistency: Option<Consistency>,
    /// Pinned at this instant, or not.
    pub pinned: Option<(bool, Timestamp)>,
    /// Under a legal hold at this instant, or not.
    pub held: Option<(bool, Timestamp)>,
    /// Asked for then or later.
    pub created_from: Option<Timestamp>,
    /// Asked for before then.
    pub created_before: Option<Timestamp>,
}

impl SnapshotFilter {
    fn condition(&self) -> Condition {
        Condition::all()
            .add_option(self.graph_id.clone().map(|graph_id| Column::GraphId.eq(graph_id)))
            .add_option(self.statuses.map(|statuses| Column::Status.is_in(statuses.iter().copied())))
            .add_option(self.consistency.map(|consistency| Column::Consistency.eq(consistency.as_str())))
            .add_option(self.pinned.map(|(wanted, now)| if wanted { is_pinned(now) } else { is_pinned(now).not() }))
            .add_option(self.held.map(|(wanted, now)| if wanted { is_held(now) } else { is_held(now).not() }))
            .add_option(self.created_from.map(|from| Column::CreatedAt.gte(from)))
            .add_option(self.created_before.map(|before| Column::CreatedAt.lt(before)))
    }
}

/// Snapshots, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &SnapshotFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(wanted.condition());
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::SnapshotId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::SnapshotId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list snapshots"))?;
    Ok(page.page(rows, |row| (row.created_at, row.snapshot_id.to_string())))
}

/// All snapshots of a graph, newest first.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Vec<Model>, Error> {
    let query =
        Entity::find().filter(Column::GraphId.eq(graph_id.clone())).order_by_desc(Column::CreatedAt).order_by_desc(Column::SnapshotId);
    query.all(connection).await.map_err(Error::during("list snapshots"))
}

/// The ids of all snapshots of a graph.
///
/// # Errors
/// The database's.
pub async fn list_ids(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Vec<SnapshotId>, Error> {
    let query = Entity::find().select_only().column(Column::SnapshotId).filter(Column::GraphId.eq(graph_id.clone()));
    query.into_tuple().all(connection).await.map_err(Error::during("list snapshots"))
}

/// The newest restorable snapshot of a graph that was taken from this directory: what the next one is compared with.
///
/// # Errors
/// The database's.
pub async fn find_latest(connection: &impl ConnectionTrait, graph_id: &GraphId, source_dir: &str) -> Result<Option<Model>, Error> {
    let query = Entity::find()
        .filter(Column::GraphId.eq(graph_id.clone()))
        .filter(Column::SourceDir.eq(source_dir))
        .filter(Column::Status.is_in(SnapshotStatus::RESTORABLE))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::SnapshotId);
    query.one(connection).await.map_err(Error::during("find the latest snapshot"))
}

/// That a snapshot is good, see `domain::retention`: it can be restored, and nothing is known to be wrong with it. None that is dated later
/// than now, as a clock that ran ahead leaves it.
pub(super) fn is_good(now: Timestamp) -> Condition {
    Condition::all()
        .add(Column::Status.is_in(SnapshotStatus::RESTORABLE))
        .add(Column::Losses.is_null())
        .add(Column::DeletingOperationId.is_null())
        .add(Column::CreatedAt.lte(now))
        .add(Column::VerifiedPassed.is_null().or(Column::VerifiedPassed.eq(true)))
        .add(Column::Consistency.is_null().or(Column::Consistency.ne(Consistency::Inconsistent.as_str())))
}

/// The newest good snapshot of a graph.
///
/// # Errors
/// The database's.
pub async fn find_newest_good(connection: &impl ConnectionTrait, graph_id: &GraphId, now: Timestamp) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(is_good(now));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::SnapshotId);
    query.one(connection).await.map_err(Error::during("find the newest good snapshot"))
}

/// The snapshot of a graph that was asked for last, of those that stand there.
///
/// # Errors
/// The database's.
pub async fn find_newest_of(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    statuses: &[SnapshotStatus],
) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::Status.is_in(statuses.iter().copied()));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::SnapshotId);
    query.one(connection).await.map_err(Error::during("find a graph's newest snapshot"))
}

/// The snapshot of a graph that was asked for last, wherever it stands.
///
/// # Errors
/// The database's.
pub async fn find_newest(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone()));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::SnapshotId);
    query.one(connection).await.map_err(Error::during("find a graph's newest snapshot"))
}

/// The newest restorable snapshot of the same directory that is older than this one.
///
/// # Errors
/// The database's.
pub async fn find_before(connection: &impl ConnectionTrait, snapshot: &Model) -> Result<Option<Model>, Error> {
    let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::SnapshotId)]);
    let query = Entity::find()
        .filter(Column::GraphId.eq(snapshot.graph_id.clone()))
        .filter(Column::SourceDir.eq(snapshot.source_dir.as_str()))
        .filter(Column::Status.is_in(SnapshotStatus::RESTORABLE))
        .filter(key.lt(Expr::tuple([Expr::val(snapshot.created_at), Expr::val(snapshot.snapshot_id)])))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::SnapshotId);
    query.one(connection).await.map_err(Error::during("find the snapshot before"))
}

/// Whether a graph's repository has ever got a record.
///
/// # Errors
/// The database's.
pub async fn has_record(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<bool, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::RecordId.is_not_null());
    Ok(query.one(connection).await.map_err(Error::during("find a snapshot with a record"))?.is_some())
}

/// Whether a record is that of another snapshot of the same graph.
///
/// # Errors
/// The database's.
pub async fn is_record_of_other(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    id: SnapshotId,
    record_id: &str,
) -> Result<bool, Error> {
    let query = Entity::find()
        .filter(Column::GraphId.eq(graph_id.clone()))
        .filter(Column::RecordId.eq(record_id))
        .filter(Column::SnapshotId.ne(id));
    Ok(query.one(connection).await.map_err(Error::during("find the snapshot of a record"))?.is_some())
}

/// Whether any repository has ever got a record.
///
/// # Errors
/// The database's.
pub async fn has_any_record(connection: &impl ConnectionTrait) -> Result<bool, Error> {
    let query = Entity::find().filter(Column::RecordId.is_not_null());
    Ok(query.one(connection).await.map_err(Error::during("find a snapshot with a record"))?.is_some())
}

/// Writes what the work on a snapshot has made of it. What keeps it stays as it is: somebody may have set it meanwhile. So
/// does the mark of a deletion.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, snapshot: Model) -> Result<(), Error> {
    let mut row = snapshot.into_active_model().reset_all();
    (row.pin_reason, row.pinned_at, row.pinned_until_at, row.deleting_operation_id) = (NotSet, NotSet, NotSet, NotSet);
    (row.hold_reason, row.held_at, row.held_until_at, row.kept_by_policy) = (NotSet, NotSet, NotSet, NotSet);
    row.checkpoints = NotSet;
    row.update(connection).await.map_err(Error::during("update a snapshot"))?;
    Ok(())
}

/// Marks the snapshot of an operation as being worked on.
///
/// # Errors
/// The database's.
pub async fn update_started(connection: &impl ConnectionTrait, operation_id: OperationId, now: Timestamp) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(SnapshotStatus::InProgress))
        .col_expr(Column::StartedAt, Expr::value(now))
        .filter(Column::OperationId.eq(operation_id));
    update.exec(connection).await.map_err(Error::during("update a snapshot"))?;
    Ok(())
}

/// Marks the snapshot of an operation as failed.
///
/// # Errors
/// The database's.
pub async fn update_failed(
    connection: &impl ConnectionTrait,
    operation_id: OperationId,
    message: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(SnapshotStatus::Failed))
        .col_expr(Column::ErrorMessage, Expr::value(message))
        .col_expr(Column::CompletedAt, Expr::value(now))
        .filter(Column::OperationId.eq(operation_id));
    update.exec(connection).await.map_err(Error::during("update a snapshot"))?;
    Ok(())
}

/// Marks a snapshot as restored at least once.
///
/// # Errors
/// The database's.
pub async fn update_restored(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(SnapshotStatus::Restored))
        .filter(Column::SnapshotId.eq(id))
        .filter(Column::Status.eq(SnapshotStatus::Completed));
    update.exec(connection).await.map_err(Error::during("update a snapshot"))?;
    Ok(())
}

/// Writes a snapshot's last verification. One that passed leaves a deeper one that failed as it is: it has not looked where that one
/// found the damage.
///
/// # Errors
/// The database's.
pub async fn update_verified(connection: &impl ConnectionTrait, verification: &verification::Model) -> Result<(), Error> {
    let has_failed_deeper = Column::VerifiedPassed.eq(false).and(Column::VerifiedLevel.is_in(verification.level.deeper()));
    // Before the first verification there is nothing to compare with.
    let counts = Column::VerifiedPassed.is_null().or(has_failed_deeper.not());
    // What is found wrong again stays as deep as it was found.
    let level = Entity::update_many().col_expr(Column::VerifiedLevel, Expr::value(verification.level));
    let level = level.filter(Column::SnapshotId.eq(verification.snapshot_id)).filter(counts.clone());
    level.exec(connection).await.map_err(Error::during("record a verification"))?;
    let mut update = Entity::update_many()
        .col_expr(Column::VerifiedAt, Expr::value(verification.ended_at))
        .col_expr(Column::VerifiedPassed, Expr::value(verification.passed))
        .filter(Column::SnapshotId.eq(verification.snapshot_id));
    if verification.passed {
        update = update.filter(counts);
    }
    update.exec(connection).await.map_err(Error::during("record a verification"))?;
    Ok(())
}

/// Marks a snapshot as failed whose record is gone. Its row is kept until then at least: the record may come back.
///
/// # Errors
/// The database's.
pub async fn update_record_lost(
    connection: &impl ConnectionTrait,
    id: SnapshotId,
    message: &str,
    kept_until: Timestamp,
) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(SnapshotStatus::Failed))
        .col_expr(Column::ErrorMessage, Expr::value(message))
        .col_expr(Column::RecordId, Expr::value(None::<String>))
        .col_expr(Column::RetentionUntil, Expr::value(kept_until))
        .filter(Column::SnapshotId.eq(id));
    update.exec(connection).await.map_err(Error::during("mark a snapshot"))?;
    Ok(())
}

/// Removes a snapshot.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<(), Error> {
    Entity::delete_by_id(id).exec(connection).await.map_err(Error::during("delete a snapshot"))?;
    Ok(())
}

/// Removes all snapshots of a graph.
///
/// # Errors
/// The database's.
pub async fn delete_all(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::GraphId.eq(graph_id.clone()));
    delete.exec(connection).await.map_err(Error::during("delete snapshots"))?;
    Ok(())
}
