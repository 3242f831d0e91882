//! Alerts, as callers see them, and say that they know.

use sea_orm::ConnectionTrait;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::idempotency::Request;
use super::rules::from_json;
use super::silencing::to_silence;
use crate::base::ids::AlertId;
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{SeriesLabels, Silence, is_plain_text, silenced_until};
use crate::domain::caller::Caller;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::store::alerts::AlertFilter;
use crate::store::entity::alert::Model;
use crate::store::{self, alerts, silences};

/// The longest comment, bytes.
const MOST_COMMENT_BYTES: usize = 1000;

/// An alert, and whether it is silent.
#[derive(Debug, Clone)]
pub struct SeenAlert {
    /// Its row.
    pub row: Model,
    /// Its labels.
    pub labels: SeriesLabels,
    /// Until when nobody is told of it.
    pub silenced_until: Option<Timestamp>,
}

impl SeenAlert {
    fn new(row: Model, silences: &[Silence], now: Timestamp) -> Self {
        let labels = from_json(&row.labels);
        let is_over = row.resolved_at.is_some();
        let silenced_until = if is_over { None } else { silenced_until(silences, &row.rule, &labels, now) };
        Self { row, labels, silenced_until }
    }
}

impl Services {
    pub(super) async fn silences(&self, connection: &impl ConnectionTrait) -> Result<Vec<Silence>, Error> {
        Ok(silences::list_in_force(connection, self.now()).await?.iter().filter_map(to_silence).collect())
    }

    async fn find_alert(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Alert", id: id.to_owned() };
        let parsed = AlertId::parse(id).ok_or_else(missing)?;
        alerts::find(connection, parsed).await?.ok_or_else(missing)
    }

    /// One alert.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_alert(&self, id: &str) -> Result<SeenAlert, Error> {
        let row = self.find_alert(self.store().read(), id).await?;
        Ok(SeenAlert::new(row, &self.silences(self.store().read()).await?, self.now()))
    }

    /// Alerts, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_alerts(&self, wanted: &AlertFilter, page: &PageRequest<TimeKey>) -> Result<Page<SeenAlert>, Error> {
        let Page { items, next_page_token } = alerts::list(self.store().read(), wanted, page).await?;
        let (silences, now) = (self.silences(self.store().read()).await?, self.now());
        Ok(Page { items: items.into_iter().map(|row| SeenAlert::new(row, &silences, now)).collect(), next_page_token })
    }

    /// How many alerts fire.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_firing_alerts(&self) -> Result<u64, Error> {
        Ok(alerts::count_firing(self.store().read(), None).await?)
    }

    /// Notes that somebody knows of an alert: nobody is told any more that it fires. Who says so again has the last word.
    ///
    /// # Errors
    /// There is none with this id; it is over.
    pub async fn acknowledge_alert(&self, caller: &Caller, id: &str, comment: &str, request_id: Option<&str>) -> Result<SeenAlert, Error> {
        let body = [id, comment];
        let request = Request { request_id, action: "AcknowledgeAlert", body: &body };
        if comment.len() > MOST_COMMENT_BYTES || !is_plain_text(comment) {
            return Err(Error::invalid("comment", format_args!("must have at most {MOST_COMMENT_BYTES} bytes and no control characters")));
        }
        let transaction = self.store().begin().await?;
        let alert = self.find_alert(&*transaction, id).await?;
        if request.find_subject(&*transaction).await?.is_none() {
            if !alerts::acknowledge(&*transaction, alert.alert_id, caller.name, comment, self.now()).await? {
                let message = format!("alert `{id}` is over, there is nothing to acknowledge");
                return Err(Error::refused(ErrorKind::FailedPrecondition, "ALERT_RESOLVED", message));
            }
            request.remember(self, &*transaction, id.to_owned()).await?;
            self.record_audit(&*transaction, caller, "AcknowledgeAlert", alert.graph_id.as_ref(), Some(id.to_owned())).await?;
        }
        let row = self.find_alert(&*transaction, id).await?;
        let alert = SeenAlert::new(row, &self.silences(&*transaction).await?, self.now());
        store::commit(transaction).await?;
        Ok(alert)
    }
}
