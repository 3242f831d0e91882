//! How targets are: each is really asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::operations::to_json;
use super::events::Event;
use crate::base::ids::HealthCheckId;
use crate::domain::health::{ComponentType, HealthStatus};
use crate::domain::target::{EventKind, TargetStatus};
use crate::lightrag::apply::free_bytes;
use crate::peer::{self, Answer, HEALTH_LIMIT, ask_health};
use crate::store::entity::health_check::Model as HealthCheck;
use crate::store::entity::target::Model;
use crate::store::targets;

/// How long a target has to answer to all that it is asked.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// So many looks in a row may be missed until nothing is known of a target any more.
const LOOKS_MISSED: u32 = 3;

/// What was found when a target was looked at. It stands in its row as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// A word for programs; empty for a healthy one.
    pub reason: String,
    /// For people.
    pub message: String,
    /// How long it took to answer, seconds.
    pub round_trip_seconds: Option<f64>,
    /// Version of its Lightkeep.
    pub version: Option<String>,
    /// How far its clock is ahead of ours, seconds.
    pub clock_difference_seconds: Option<f64>,
    /// How much room it has, bytes.
    pub free_bytes: Option<i64>,
}

impl Condition {
    fn of(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            round_trip_seconds: None,
            version: None,
            clock_difference_seconds: None,
            free_bytes: None,
        }
    }
}

impl Services {
    /// Looks at a target now, and notes what was found.
    ///
    /// # Errors
    /// There is none with this id. What is wrong with it is what is found.
    pub async fn check_target(&self, id: &str) -> Result<Model, Error> {
        let target = self.find_target(self.store().read(), id).await?;
        let before = target.status;
        let (status, condition) = match timeout(LOOK_LIMIT, self.look_at_target(&target)).await {
            Ok(found) => found,
            Err(_) => {
                let message = format!("it did not answer within {} s", LOOK_LIMIT.as_secs());
                (TargetStatus::Degraded, Condition::of("TARGET_LATE", message))
            }
        };
        let (json, now) = (to_json(&condition)?, self.now());
        targets::update_condition(self.store().read(), target.target_id, status, &json, now).await?;
        if before != status {
            let (name, status_word, message) = (target.name.as_str(), status.as_str(), condition.message.as_str());
            tracing::info!(target_name = name, status = status_word, why = message, "a target is another way than before");
            let event = Event {
                target_id: target.target_id,
                graph_id: None,
                snapshot_id: None,
                kind: EventKind::Condition,
                message: format!("{before} before, {status} now: {message}"),
                sent_bytes: 0,
                duration: Duration::ZERO,
            };
            self.note_event(self.store().read(), event).await?;
        }
        self.get_target(id).await
    }

    /// Looks at all targets, at all at once: one that hangs keeps nobody from being looked at.
    ///
    /// # Errors
    /// The database's.
    pub async fn check_targets(&self) -> Result<(), Error> {
        self.open_all_copies().await?;
        let mut looking = JoinSet::new();
        for target in targets::list_all(self.store().read()).await? {
            let services = self.clone();
            looking.spawn(async move { services.check_target(&target.target_id.to_string()).await });
        }
        while let Some(looked) = looking.join_next().await {
            match looked.map_err(|error| Error::internal("look at a target", error))? {
                // Removed meanwhile.
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How each enabled target was when it was looked at last, as a component of recovery.
    ///
    /// # Errors
    /// The database's.
    pub(in crate::service) async fn target_health(&self) -> Result<Vec<HealthCheck>, Error> {
        if !self.settings().replication.is_enabled {
            return Ok(Vec::new());
        }
        let targets = targets::list_all(self.store().read()).await?.into_iter().filter(|target| target.enabled);
        targets.map(|target| self.component_of(target)).collect()
    }

    /// A target as it is known to be: how it was long ago, as while nobody looked, says nothing.
    pub(in crate::service) fn aged_target(&self, target: Model) -> Model {
        if self.is_aged(&target) { Model { status: TargetStatus::Unknown, ..target } } else { target }
    }

    fn is_aged(&self, target: &Model) -> bool {
        let limit = self.settings().replication.health_check_interval * LOOKS_MISSED + LOOK_LIMIT;
        target.checked_at.is_some_and(|checked| self.now().since(checked) > limit)
    }

    fn component_of(&self, target: Model) -> Result<HealthCheck, Error> {
        let is_aged = self.is_aged(&target);
        let target = self.aged_target(target);
        let unreadable = |error| Error::internal("read a target", error);
        let condition: Option<Condition> = target.condition.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)?;
        let status = match target.status {
            TargetStatus::Healthy => HealthStatus::Healthy,
            TargetStatus::Degraded => HealthStatus::Degraded,
            TargetStatus::Unreachable => HealthStatus::Offline,
            TargetStatus::Unknown => HealthStatus::Unknown,
        };
        let mut details = BTreeMap::from([("name".to_owned(), target.name)]);
        let message = match (&condition, target.checked_at) {
            (Some(found), Some(checked)) if is_aged => {
                format!("nobody has looked since {checked}: {}", found.message)
            }
            (Some(found), _) => found.message.clone(),
            (None, _) => "nobody has looked yet".to_owned(),
        };
        if let Some(found) = condition {
            let numbers = [("round_trip_seconds", found.round_trip_seconds), ("clock_difference_seconds", found.clock_difference_seconds)];
            details.extend(numbers.into_iter().filter_map(|(name, number)| Some((name.to_owned(), format!("{:.6}", number?)))));
            details.extend(found.free_bytes.map(|free| ("free_bytes".to_owned(), free.to_string())));
            details.extend(found.version.map(|version| ("version".to_owned(), version)));
        }
        Ok(HealthCheck {
            health_check_id: HealthCheckId::new(self.ids(), self.now()),
            component_type: ComponentType::Target,
            component_id: target.target_id.to_string(),
            status,
            message,
            details: to_json(&details)?,
            checked_at: target.checked_at.unwrap_or(target.created_at),
        })
    }

    async fn look_at_target(&self, target: &Model) -> (TargetStatus, Condition) {
        match &target.base_url {
            Some(base_url) => self.ask_peer(target, base_url).await,
            None => self.look_at_directory(target).await,
        }
    }

    async fn look_at_directory(&self, target: &Model) -> (TargetStatus, Condition) {
        // A disk that does not answer holds whoever asks it, and must not hold a thread for each who asks after him.
        let turn = self.sending().line(target).look_in_turn().await;
        let (services, looked_at, began) = (self.clone(), target.clone(), Instant::now());
        let looked = self.blocking(move || {
            let _turn = turn;
            services.check_mounted(&looked_at)?;
            let path = PathBuf::from(looked_at.path.unwrap_or_default());
            let probe = path.join(format!(".lightkeep-probe-{}", looked_at.target_id));
            std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(|error| {
                let message = format!("`{}` cannot be written: {error}", path.display());
                Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
            })?;
            Ok::<_, Error>(free_bytes(&path)?)
        });
        match looked.await {
            Ok(free) => {
                let free_bytes = Some(i64::try_from(free).unwrap_or(i64::MAX));
                let round_trip_seconds = Some(began.elapsed().as_secs_f64());
                let well = Condition::of("", "the directory is there and can be written");
                (TargetStatus::Healthy, Condition { free_bytes, round_trip_seconds, ..well })
            }
            Err(error) if error.reason() == "TARGET_NOT_MOUNTED" => {
                (TargetStatus::Unreachable, Condition::of(error.reason(), error.to_string()))
            }
            Err(error) => (TargetStatus::Degraded, Condition::of(error.reason(), error.record().message)),
        }
    }

    async fn ask_peer(&self, target: &Model, base_url: &str) -> (TargetStatus, Condition) {
        let key = match self.open_optional(target.api_key.clone()).await {
            Ok(key) => key,
            Err(error) => return (TargetStatus::Unknown, Condition::of(error.reason(), error.to_string())),
        };
        let rules = self.settings().replication.addresses;
        match ask_health(base_url, key.as_ref(), rules).await {
            Answer::Status(200) => self.ask_lightkeep(target).await,
            Answer::Status(status) => {
                let message = format!("`{base_url}/health` answers with status {status}");
                (TargetStatus::Degraded, Condition::of("TARGET_ANSWER", message))
            }
            Answer::Late => {
                let message = format!("`{base_url}/health` did not answer within {} s", HEALTH_LIMIT.as_secs());
                (TargetStatus::Degraded, Condition::of("TARGET_LATE", message))
            }
            Answer::Unreachable(why) => (TargetStatus::Unreachable, Condition::of("TARGET_UNREACHABLE", why)),
        }
    }

    /// Asks a server that is there whether it takes copies.
    async fn ask_lightkeep(&self, target: &Model) -> (TargetStatus, Condition) {
        let peer = match self.peer_of(target).await {
            Ok(peer) => peer,
            Err(error) => return (TargetStatus::Degraded, Condition::of(error.reason(), error.to_string())),
        };
        let (began, began_at) = (Instant::now(), self.now());
        match peer.describe(None).await {
            Ok(found) => {
                let round_trip = began.elapsed();
                // Its clock was read half-way.
                let theirs = found.now.minus(round_trip / 2).micros();
                #[expect(clippy::cast_precision_loss, reason = "a difference needs no more")]
                let clock_difference_seconds = (theirs - began_at.micros()) as f64 / 1e6;
                let well = Condition::of("", "it answers and takes copies");
                let condition = Condition {
                    round_trip_seconds: Some(round_trip.as_secs_f64()),
                    version: Some(found.version),
                    clock_difference_seconds: Some(clock_difference_seconds),
                    free_bytes: Some(i64::try_from(found.free_bytes).unwrap_or(i64::MAX)),
                    ..well
                };
                (TargetStatus::Healthy, condition)
            }
            // As the old server's users know it: it answers. That it takes no copies, the reason says.
            Err(peer::Error::NotLightkeep(_)) => {
                let message = "its `/health` answers, but it takes no copies: an old server, which has to be replaced by Lightkeep, or a \
                               proxy that does not pass gRPC on";
                (TargetStatus::Healthy, Condition::of("TARGET_NO_LIGHTKEEP", message))
            }
            Err(error) => {
                let error = Error::from(error);
                (TargetStatus::Degraded, Condition::of(error.reason(), error.to_string()))
            }
        }
    }
}
