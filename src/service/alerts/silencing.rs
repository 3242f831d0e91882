//! Silences.

use super::super::Services;
use super::super::error::Error;
use super::super::idempotency::Request;
use super::rules::{to_json, unknown};
use crate::base::ids::SilenceId;
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{SeriesLabels, Silence, is_plain_text};
use crate::domain::caller::Caller;
use crate::domain::metric::names;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::store::entity::silence::Model;
use crate::store::{self, silences};

/// The longest value of a label, and reason, bytes.
const MOST_LABEL_BYTES: usize = 256;
const MOST_REASON_BYTES: usize = 1000;

/// A silence that is to be made.
#[derive(Debug, Clone)]
pub struct NewSilence {
    /// Only for alerts of this rule.
    pub rule: Option<String>,
    /// Only for alerts with these labels.
    pub labels: SeriesLabels,
    /// When it ends.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

impl NewSilence {
    fn check(&self, now: Timestamp) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for (name, value) in &self.labels {
            if !names::ALL.iter().any(|metric| metric.labels.contains(&name.as_str())) {
                violations.add("labels", format_args!("must be labels that a metric has: {}", name.escape_debug()));
            }
            if value.len() > MOST_LABEL_BYTES || !is_plain_text(value) {
                let must = "must have values without control characters, of at most";
                violations.add("labels", format_args!("{must} {MOST_LABEL_BYTES} bytes: {}", name.escape_debug()));
            }
        }
        if self.until <= now {
            violations.add("until", format_args!("must lie in the future: {}", self.until));
        }
        if self.reason.trim().is_empty() || self.reason.len() > MOST_REASON_BYTES || !is_plain_text(&self.reason) {
            violations.add("reason", format_args!("must say why, in at most {MOST_REASON_BYTES} bytes without control characters"));
        }
        violations.finish()
    }
}

/// The labels that alerts must have for a silence to be for them.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub fn labels_of(row: &Model) -> Result<SeriesLabels, Error> {
    serde_json::from_str(&row.labels).map_err(|error| Error::internal("read a silence", error))
}

/// A silence as it counts. One that cannot be read silences nothing: rather a word too many.
pub(super) fn to_silence(row: &Model) -> Option<Silence> {
    let unreadable =
        |error: &Error| tracing::error!(silence_id = row.silence_id.to_string(), error = error.chain(), "a silence counts for nothing");
    let labels = labels_of(row).inspect_err(unreadable).ok()?;
    Some(Silence { rule: row.rule.clone(), labels, until: row.until_at })
}

impl Services {
    /// Makes a silence.
    ///
    /// # Errors
    /// Something is wrong with it; no rule has this name.
    pub async fn create_silence(&self, caller: &Caller, new: &NewSilence) -> Result<Model, Error> {
        match self.create_silence_once(caller, new).await {
            Err(error) if error.is_race() => self.create_silence_once(caller, new).await,
            result => result,
        }
    }

    async fn create_silence_once(&self, caller: &Caller, new: &NewSilence) -> Result<Model, Error> {
        let (labels, until) = (to_json(&new.labels), new.until.micros().to_string());
        let body = [new.rule.as_deref().unwrap_or_default(), &labels, &until, &new.reason];
        let request = Request { request_id: new.request_id.as_deref(), action: "CreateSilence", body: &body };
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            let missing = || missing(&first);
            let id = SilenceId::parse(&first).ok_or_else(missing)?;
            return silences::find(&*transaction, id).await?.ok_or_else(missing);
        }
        let now = self.now();
        new.check(now)?;
        if let Some(rule) = &new.rule
            && !self.alert_rules(&*transaction).await?.contains_key(rule)
        {
            return Err(unknown(rule));
        }
        let row = Model {
            silence_id: SilenceId::new(self.ids(), now),
            rule: new.rule.clone(),
            labels: labels.clone(),
            until_at: new.until,
            reason: new.reason.clone(),
            created_by: caller.name.to_owned(),
            created_at: now,
        };
        silences::insert(&*transaction, row.clone()).await?;
        request.remember(self, &*transaction, row.silence_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "CreateSilence", None, Some(row.silence_id.to_string())).await?;
        store::commit(transaction).await?;
        Ok(row)
    }

    /// Silences that have not ended, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_silences(&self, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        Ok(silences::list(self.store().read(), self.now(), page).await?)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn delete_silence(&self, caller: &Caller, id: &str, request_id: Option<&str>) -> Result<(), Error> {
        let request = Request { request_id, action: "DeleteSilence", body: &[id] };
        let transaction = self.store().begin().await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(());
        }
        let parsed = SilenceId::parse(id).ok_or_else(|| missing(id))?;
        if !silences::delete(&*transaction, parsed).await? {
            return Err(missing(id));
        }
        request.remember(self, &*transaction, id.to_owned()).await?;
        self.record_audit(&*transaction, caller, "DeleteSilence", None, Some(id.to_owned())).await?;
        Ok(store::commit(transaction).await?)
    }
}

fn missing(id: &str) -> Error {
    Error::NotFound { kind: "Silence", id: id.to_owned() }
}
