//! Rows of `facts`: triggers add them, whoever counts takes them away.

use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, Set};

use super::Error;
use super::entity::fact::{ActiveModel, Column, Entity, Model};
use crate::domain::metric::fact::Fact;

/// Adds a fact that no trigger notes.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, fact: Fact) -> Result<(), Error> {
    let Fact { kind, graph_id, subject_id, schedule_id, word, amount, count, at } = fact;
    let row = ActiveModel {
        fact_id: sea_orm::NotSet,
        kind: Set(kind),
        graph_id: Set(graph_id),
        subject_id: Set(subject_id),
        schedule_id: Set(schedule_id),
        word: Set(word),
        amount: Set(amount),
        count: Set(count),
        at: Set(at),
    };
    Entity::insert(row).exec_without_returning(connection).await.map_err(Error::during("note a fact"))?;
    Ok(())
}

/// Takes the oldest facts away, so many at most, in their order. Whoever takes them counts them in the same transaction.
///
/// # Errors
/// The database's.
pub async fn take(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, Error> {
    let oldest = Query::select().column(Column::FactId).from(Entity).order_by(Column::FactId, sea_orm::Order::Asc).limit(limit).to_owned();
    let delete = Entity::delete_many().filter(Column::FactId.in_subquery(oldest));
    let mut taken = delete.exec_with_returning(connection).await.map_err(Error::during("take facts"))?;
    taken.sort_unstable_by_key(|fact| fact.fact_id);
    Ok(taken)
}

/// Whether there is something to count.
///
/// # Errors
/// The database's.
pub async fn has_any(connection: &impl ConnectionTrait) -> Result<bool, Error> {
    Ok(Entity::find().one(connection).await.map_err(Error::during("find a fact"))?.is_some())
}

impl From<Model> for Fact {
    fn from(row: Model) -> Self {
        let Model { kind, graph_id, subject_id, schedule_id, word, amount, count, at, .. } = row;
        Self { kind, graph_id, subject_id, schedule_id, word, amount, count, at }
    }
}
