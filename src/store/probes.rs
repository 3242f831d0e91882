//! Rows of `probe_sets` and `retrievals`.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _};

use super::Error;
use super::entity::probe_set::{Column, Entity, Model};
use super::entity::retrieval;
use crate::base::ids::{ProbeSetId, SnapshotId};
use crate::domain::graph_id::GraphId;

/// Makes these the probes of their graph. Earlier ones that no snapshot was asked are removed. Hold the graph's row.
///
/// # Errors
/// The database's.
pub async fn replace(connection: &impl ConnectionTrait, probes: Model) -> Result<Model, Error> {
    let asked = retrieval::Entity::find().select_only().column(retrieval::Column::ProbeSetId).into_query();
    let unused =
        Entity::delete_many().filter(Column::GraphId.eq(probes.graph_id.clone())).filter(Column::ProbeSetId.not_in_subquery(asked));
    unused.exec(connection).await.map_err(Error::during("delete probes"))?;
    probes.into_active_model().insert(connection).await.map_err(Error::during("insert probes"))
}

/// The probes with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: ProbeSetId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find probes"))
}

/// The present probes of a graph; none where they were never set.
///
/// # Errors
/// The database's.
pub async fn find_newest(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone()));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::ProbeSetId);
    query.one(connection).await.map_err(Error::during("find a graph's probes"))
}

/// Writes what a snapshot retrieves, in place of what was written before.
///
/// # Errors
/// The database's.
pub async fn upsert_retrieval(connection: &impl ConnectionTrait, retrieved: retrieval::Model) -> Result<(), Error> {
    use retrieval::Column as Of;
    let replaced =
        OnConflict::column(Of::SnapshotId).update_columns([Of::ProbeSetId, Of::Retrieved, Of::ErrorMessage, Of::CreatedAt]).to_owned();
    let insert = retrieval::Entity::insert(retrieved.into_active_model()).on_conflict(replaced);
    insert.exec_without_returning(connection).await.map_err(Error::during("write what a snapshot retrieves"))?;
    Ok(())
}

/// What a snapshot retrieves; none where it was not asked.
///
/// # Errors
/// The database's.
pub async fn find_retrieval(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<Option<retrieval::Model>, Error> {
    retrieval::Entity::find_by_id(id).one(connection).await.map_err(Error::during("find what a snapshot retrieves"))
}
