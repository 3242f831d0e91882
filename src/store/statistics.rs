//! What statistics count: figures that are kept, and the rows that they are kept of.

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, PaginatorTrait as _, QueryFilter as _};
use sea_orm::{QueryOrder as _, QuerySelect as _, Statement};

use super::entity::{checkpoint, fact, snapshot, tally};
use super::{Error, Store, tallies};
use crate::base::timestamp::Timestamp;
use crate::domain::checkpoint::CheckpointState;
use crate::domain::metric::fact::FactKind;
use crate::domain::snapshot::SnapshotStatus;

/// What the rows of a graph's snapshots say.
#[derive(Debug, Clone, FromQueryResult)]
pub struct GraphFigures {
    /// The graph.
    pub graph_id: String,
    /// Snapshots that can be restored.
    pub kept: i64,
    /// The sum of their sizes, bytes.
    pub kept_bytes: i64,
    /// What they have added to the repository, bytes.
    pub stored_bytes: i64,
    /// Snapshots that have failed.
    pub failed: i64,
}

/// What the rows of an hour's snapshots say.
#[derive(Debug, Clone, FromQueryResult)]
pub struct HourFigures {
    /// Hours since the epoch.
    pub hour: i64,
    /// Snapshots that were asked for in it and can be restored.
    pub kept: i64,
}

/// Figures and rows, as they were at one moment.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Of each graph.
    pub graphs: Vec<GraphFigures>,
    /// Of each hour.
    pub hours: Vec<HourFigures>,
    /// What was counted.
    pub tallies: Vec<tally::Model>,
    /// What was not counted yet.
    pub facts: Vec<fact::Model>,
}

/// Reads rows and figures at one moment.
///
/// # Errors
/// The database's.
pub async fn compare(store: &Store, figures: &[&str]) -> Result<Compared, Error> {
    let moment = store.begin_reading().await?;
    let kept = "status IN ('completed', 'restored')";
    let of_graphs = format!(
        "SELECT graph_id, SUM(CASE WHEN {kept} THEN 1 ELSE 0 END) AS kept, \
         CAST(SUM(CASE WHEN {kept} THEN size_bytes ELSE 0 END) AS BIGINT) AS kept_bytes, \
         CAST(SUM(CASE WHEN {kept} THEN stored_bytes ELSE 0 END) AS BIGINT) AS stored_bytes, \
         SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed FROM snapshots GROUP BY graph_id"
    );
    let of_hours =
        format!("SELECT created_at / 3600000000 AS hour, COUNT(*) AS kept FROM snapshots WHERE {kept} GROUP BY created_at / 3600000000");
    let mut counted = Vec::new();
    for figure in figures {
        counted.extend(tallies::list_of(&moment, figure).await?);
    }
    let kinds = [FactKind::Kept, FactKind::Stored, FactKind::Failed];
    let facts = fact::Entity::find().filter(fact::Column::Kind.is_in(kinds)).order_by_asc(fact::Column::FactId).all(&moment).await;
    let compared = Compared {
        graphs: rows(&moment, of_graphs).await?,
        hours: rows(&moment, of_hours).await?,
        tallies: counted,
        facts: facts.map_err(Error::during("list facts"))?,
    };
    moment.rollback().await.map_err(Error::during("end a transaction"))?;
    Ok(compared)
}

async fn rows<T: FromQueryResult>(connection: &impl ConnectionTrait, sql: String) -> Result<Vec<T>, Error> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    T::find_by_statement(statement).all(connection).await.map_err(Error::during("count snapshots"))
}

/// How many snapshots were asked for from one instant to before another and can be restored.
///
/// # Errors
/// The database's.
pub async fn count_kept(connection: &impl ConnectionTrait, from: Timestamp, until: Timestamp) -> Result<i64, Error> {
    use snapshot::Column;
    let query = snapshot::Entity::find().filter(Column::Status.is_in(SnapshotStatus::RESTORABLE));
    let query = query.filter(Column::CreatedAt.gte(from)).filter(Column::CreatedAt.lt(until));
    Ok(query.count(connection).await.map_err(Error::during("count snapshots"))?.cast_signed())
}

/// When the oldest and the newest snapshot were asked for that can be restored.
///
/// # Errors
/// The database's.
pub async fn ends_of_kept(connection: &impl ConnectionTrait) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
    use snapshot::Column;
    let (mut oldest, mut newest) = (None, None);
    // One status after the other, so that the index leads right to both ends.
    for status in SnapshotStatus::RESTORABLE {
        let times = snapshot::Entity::find().select_only().column(Column::CreatedAt).filter(Column::Status.eq(status)).limit(1);
        let first: Option<Timestamp> =
            times.clone().order_by_asc(Column::CreatedAt).into_tuple().one(connection).await.map_err(counting())?;
        let last: Option<Timestamp> = times.order_by_desc(Column::CreatedAt).into_tuple().one(connection).await.map_err(counting())?;
        oldest = [oldest, first].into_iter().flatten().min();
        newest = [newest, last].into_iter().flatten().max();
    }
    Ok((oldest, newest))
}

/// When the oldest and the newest complete checkpoint were asked for.
///
/// # Errors
/// The database's.
pub async fn ends_of_checkpoints(connection: &impl ConnectionTrait) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
    use checkpoint::Column;
    let complete = checkpoint::Entity::find().select_only().filter(Column::State.eq(CheckpointState::Completed));
    let ends = complete.column_as(Column::CreatedAt.min(), "oldest").column_as(Column::CreatedAt.max(), "newest");
    let ends: Option<(Option<Timestamp>, Option<Timestamp>)> = ends.into_tuple().one(connection).await.map_err(counting())?;
    Ok(ends.unwrap_or_default())
}

fn counting() -> impl FnOnce(sea_orm::DbErr) -> Error {
    Error::during("count")
}
