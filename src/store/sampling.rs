//! What is sampled of all graphs at once: one query for each figure, not one for each graph.

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement};

use super::Error;
use super::entity::{drill, health_check};
use crate::base::ids::TargetId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::health::ComponentType;

/// A snapshot, as far as it is sampled.
#[derive(Debug, Clone, FromQueryResult)]
pub struct SampledSnapshot {
    /// Of this graph.
    pub graph_id: GraphId,
    /// When its capture began, or it was asked for.
    pub captured_at: Timestamp,
    /// The sum of the sizes of its files, bytes.
    pub size_bytes: i64,
    /// Documents.
    pub documents: i64,
    /// Chunks.
    pub chunks: i64,
    /// Entities.
    pub entities: i64,
    /// Relations.
    pub relations: i64,
    /// Vectors.
    pub vectors: i64,
    /// JSON of the audit's findings.
    pub findings: Option<String>,
}

/// Which snapshots count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those from which the graph can be brought back as it should be.
    Good,
    /// All that can be restored.
    Restorable,
}

/// The rule of `snapshots::is_good`.
const GOOD: &str = "AND other.losses IS NULL AND other.deleting_operation_id IS NULL AND (other.verified_passed IS NULL OR other.verified_passed) \
                    AND (other.consistency IS NULL OR other.consistency <> 'inconsistent')";

/// The id of the newest such snapshot of a graph that was asked for before then; of those before it, so many are skipped.
fn newest_of_graph(which: Which, skipped: u32, before: Timestamp) -> String {
    let good = if which == Which::Good { GOOD } else { "" };
    format!(
        "SELECT other.snapshot_id FROM snapshots other WHERE other.graph_id = graphs.graph_id AND other.status IN ('completed', 'restored') \
         AND other.created_at <= {before} {good} ORDER BY other.created_at DESC, other.snapshot_id DESC LIMIT 1 OFFSET {skipped}",
        before = before.micros(),
    )
}

/// The newest such snapshot of each graph, or the one before it, or that before.
///
/// # Errors
/// The database's.
pub async fn newest_snapshots(
    connection: &impl ConnectionTrait,
    which: Which,
    skipped: u32,
    now: Timestamp,
) -> Result<Vec<SampledSnapshot>, Error> {
    let sql = format!(
        "SELECT one.graph_id, COALESCE(one.captured_at, one.created_at) AS captured_at, one.size_bytes, one.documents, one.chunks, \
         one.entities, one.relations, one.vectors, CASE WHEN one.consistency = 'inconsistent' THEN one.findings END AS findings \
         FROM graphs JOIN snapshots one ON one.snapshot_id = ({newest})",
        newest = newest_of_graph(which, skipped, now),
    );
    all(connection, sql, "sample snapshots").await
}

/// How many copies the newest good snapshot of a graph has.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Copied {
    /// The graph.
    pub graph_id: GraphId,
    /// Targets that it must have it.
    pub wanted: i32,
    /// How many of them off site.
    pub off_site_wanted: i32,
    /// Targets that have it.
    pub there: i64,
    /// How many of them are off site.
    pub off_site: i64,
}

/// How many copies the newest good snapshot has that was asked for before then, of each graph for which somebody says how many it must have.
///
/// # Errors
/// The database's.
pub async fn copies(connection: &impl ConnectionTrait, before: Timestamp) -> Result<Vec<Copied>, Error> {
    let sql = format!(
        "SELECT graphs.graph_id, graphs.copies AS wanted, graphs.off_site_copies AS off_site_wanted, COUNT(targets.target_id) AS there, \
         COUNT(CASE WHEN targets.off_site THEN 1 END) AS off_site FROM graphs \
         JOIN snapshots one ON one.snapshot_id = ({newest}) \
         LEFT JOIN replications ON replications.snapshot_id = one.snapshot_id AND replications.state = 'done' \
         LEFT JOIN targets ON targets.target_id = replications.target_id AND targets.enabled \
         WHERE graphs.copies > 0 GROUP BY graphs.graph_id, graphs.copies, graphs.off_site_copies",
        newest = newest_of_graph(Which::Good, 0, before),
    );
    all(connection, sql, "sample copies").await
}

/// How many of a graph's snapshots are damaged, as their last verification found.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Damaged {
    /// The graph.
    pub graph_id: GraphId,
    /// How many.
    pub snapshots: i64,
}

/// Snapshots in which the last verification found something wrong.
///
/// # Errors
/// The database's.
pub async fn damaged_snapshots(connection: &impl ConnectionTrait) -> Result<Vec<Damaged>, Error> {
    // With the status in the condition, SQLite would go by the index of all restorable ones.
    let sql = "SELECT graph_id, SUM(CASE WHEN status IN ('completed', 'restored') THEN 1 ELSE 0 END) AS snapshots FROM snapshots \
               WHERE NOT verified_passed GROUP BY graph_id";
    all(connection, sql.to_owned(), "sample verifications").await
}

/// What a target lacks of a graph.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Lacking {
    /// The graph.
    pub graph_id: GraphId,
    /// Snapshots that it lacks.
    pub snapshots: i64,
    /// What they have added to the repository, bytes.
    pub stored_bytes: i64,
    /// When the oldest of them was complete that is newer than all that the target has.
    pub since_at: Option<Timestamp>,
}

/// What a target lacks of each graph, whether it takes it or not: the rule of `domain::replication::Lag`.
///
/// # Errors
/// The database's.
pub async fn lacking(connection: &impl ConnectionTrait, target_id: TargetId) -> Result<Vec<Lacking>, Error> {
    // The id was parsed: it is a UUID and no SQL.
    let sql = format!(
        "SELECT snapshots.graph_id, COUNT(*) AS snapshots, CAST(SUM(snapshots.stored_bytes) AS BIGINT) AS stored_bytes, \
         MIN(CASE WHEN there.newest_at IS NULL OR snapshots.completed_at > there.newest_at THEN snapshots.completed_at END) AS since_at \
         FROM snapshots \
         LEFT JOIN replications done ON done.target_id = '{target_id}' AND done.snapshot_id = snapshots.snapshot_id AND done.state = 'done' \
         LEFT JOIN (SELECT sent.graph_id, MAX(sent.completed_at) AS newest_at FROM replications JOIN snapshots sent \
         ON sent.snapshot_id = replications.snapshot_id WHERE replications.target_id = '{target_id}' AND replications.state = 'done' \
         GROUP BY sent.graph_id) there ON there.graph_id = snapshots.graph_id \
         WHERE snapshots.status IN ('completed', 'restored') AND snapshots.record_id IS NOT NULL AND done.snapshot_id IS NULL \
         GROUP BY snapshots.graph_id"
    );
    all(connection, sql, "sample replication").await
}

/// The drill of each graph that has ended last.
///
/// # Errors
/// The database's.
pub async fn newest_drills(connection: &impl ConnectionTrait) -> Result<Vec<drill::Model>, Error> {
    let sql = "SELECT one.* FROM graphs JOIN drills one ON one.drill_id = (SELECT other.drill_id FROM drills other \
               WHERE other.graph_id = graphs.graph_id AND other.state <> 'running' ORDER BY other.created_at DESC, other.drill_id DESC LIMIT 1)";
    all(connection, sql.to_owned(), "sample drills").await
}

/// What was found last of each graph's component of this type.
///
/// # Errors
/// The database's.
pub async fn newest_health_checks(
    connection: &impl ConnectionTrait,
    component_type: ComponentType,
    now: Timestamp,
) -> Result<Vec<health_check::Model>, Error> {
    let sql = format!(
        "SELECT one.* FROM graphs JOIN health_checks one ON one.health_check_id = (SELECT other.health_check_id FROM health_checks other \
         WHERE other.component_type = '{component_type}' AND other.component_id = graphs.graph_id AND other.checked_at <= {now} \
         ORDER BY other.checked_at DESC, other.health_check_id DESC LIMIT 1) WHERE one.checked_at >= graphs.created_at",
        now = now.micros(),
    );
    all(connection, sql, "sample health").await
}

/// Operations that wait or run, of one kind.
#[derive(Debug, Clone, FromQueryResult)]
pub struct InFlight {
    /// The kind.
    pub kind: String,
    /// Whether they wait or run.
    pub state: String,
    /// How many.
    pub operations: i64,
    /// When the oldest was asked for.
    pub created_at: Timestamp,
    /// The earliest end of a lease among them.
    pub lease_until_at: Option<Timestamp>,
}

/// Operations that wait or run, by kind.
///
/// # Errors
/// The database's.
pub async fn in_flight(connection: &impl ConnectionTrait) -> Result<Vec<InFlight>, Error> {
    let sql = "SELECT kind, state, COUNT(*) AS operations, MIN(created_at) AS created_at, MIN(lease_until_at) AS lease_until_at \
               FROM operations WHERE state IN ('queued', 'running') GROUP BY kind, state";
    all(connection, sql.to_owned(), "sample operations").await
}

async fn all<T: FromQueryResult>(connection: &impl ConnectionTrait, sql: String, operation: &'static str) -> Result<Vec<T>, Error> {
    let backend: DbBackend = connection.get_database_backend();
    T::find_by_statement(Statement::from_string(backend, sql)).all(connection).await.map_err(Error::during(operation))
}
