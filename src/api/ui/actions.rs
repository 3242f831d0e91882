//! What can be done from the dashboard: the use-cases of the API, asked for by forms.

use std::collections::HashMap;

use http::StatusCode;

use super::failure::Failure;
use super::visit::graph_id;
use super::{Features, HOME};
use crate::base::uri::encoded;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::tag::Tags;
use crate::domain::validate::MAX_REASON_BYTES;
use crate::domain::verification::VerificationLevel;
use crate::service::drills::NewDrill;
use crate::service::pins::NewHold;
use crate::service::snapshots::NewSnapshot;
use crate::service::verifications::NewVerification;
use crate::service::{Error, Services};

/// Something that is to be done.
#[derive(Debug, Clone)]
pub(super) struct Action {
    /// What.
    pub(super) verb: Verb,
    /// To a graph; none where the subject is something else.
    pub(super) graph_id: Option<GraphId>,
    /// The snapshot, operation, schedule or target; empty where the graph is the subject.
    pub(super) id: String,
    /// Why, where a reason is asked for.
    pub(super) reason: String,
    /// How deep a verification looks.
    pub(super) level: VerificationLevel,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Takes a snapshot now.
    Snapshot,
    /// Verifies a snapshot.
    Verify,
    /// Pins a snapshot.
    Pin,
    /// Ends a pin.
    Unpin,
    /// Drills a snapshot, or the newest good one.
    Drill,
    /// Asks an operation to stop.
    Cancel,
    /// Lets a schedule fire now.
    RunSchedule,
    /// Keeps a schedule from firing.
    PauseSchedule,
    /// Lets it fire again.
    ResumeSchedule,
    /// Asks a target how it is.
    CheckTarget,
    /// Says that somebody knows of an alert.
    Acknowledge,
}

/// What a verb is called, says, and works on.
struct Told {
    word: &'static str,
    title: &'static str,
    says: &'static str,
}

impl Verb {
    const ALL: [Self; 11] = [
        Self::Snapshot,
        Self::Verify,
        Self::Pin,
        Self::Unpin,
        Self::Drill,
        Self::Cancel,
        Self::RunSchedule,
        Self::PauseSchedule,
        Self::ResumeSchedule,
        Self::CheckTarget,
        Self::Acknowledge,
    ];

    fn told(self) -> Told {
        let told = |word, title, says| Told { word, title, says };
        match self {
            Self::Snapshot => told("snapshot", "Take a snapshot now", "Its source is read, audited and stored. LightRAG goes on working."),
            Self::Verify => {
                told("verify", "Verify the snapshot", "It is looked for damage; nothing is changed. What is found is recorded.")
            }
            Self::Pin => told("pin", "Pin the snapshot", "No deletion and no retention touches it until the pin is removed."),
            Self::Unpin => told("unpin", "Remove the pin", "The graph's retention decides again how long the snapshot is kept."),
            Self::Drill => {
                told("drill", "Drill a recovery", "The snapshot is restored into a scratch place, audited and asked its probes.")
            }
            Self::Cancel => told("cancel", "Cancel the operation", "It stops at the next step. What it has begun is put right."),
            Self::RunSchedule => told("run-schedule", "Run the schedule now", "It fires once, beside its own times."),
            Self::PauseSchedule => told("pause-schedule", "Pause the schedule", "It does not fire until it is resumed."),
            Self::ResumeSchedule => {
                told("resume-schedule", "Resume the schedule", "It fires again from now on. What fell into the pause is not made up.")
            }
            Self::CheckTarget => told("check-target", "Check the target now", "It is asked how it is, and whether it takes copies."),
            Self::Acknowledge => {
                told("acknowledge", "Acknowledge the alert", "It stays until it is over. Nobody is told again that it fires.")
            }
        }
    }

    /// The verb of a path.
    pub(super) fn parse(word: &str, features: Features) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|verb| verb.told().word == word && verb.is_served(features));
        found.ok_or_else(|| Failure::unknown(format!("there is no action {word}")))
    }

    fn is_served(self, features: Features) -> bool {
        match self {
            Self::Cancel => true,
            Self::Drill => features.recovery,
            Self::CheckTarget => features.replication,
            Self::Acknowledge => features.alerts,
            _ => features.backup,
        }
    }

    /// What it is called on pages.
    pub(super) fn title(self) -> &'static str {
        self.told().title
    }

    /// What comes of it.
    pub(super) fn says(self) -> &'static str {
        self.told().says
    }

    /// Whether its subject must be named by an id: a graph alone is not enough.
    fn has_id(self) -> bool {
        !matches!(self, Self::Snapshot | Self::Drill)
    }

    fn is_of_graph(self) -> bool {
        matches!(self, Self::Snapshot | Self::Verify | Self::Pin | Self::Unpin | Self::Drill)
    }
}

impl Action {
    /// Reads what is to be done out of a query or a form.
    ///
    /// # Errors
    /// Something is missing, or is a word that means nothing.
    pub(super) fn parse(verb: Verb, fields: &HashMap<String, String>) -> Result<Self, Failure> {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let graph_id = if verb.is_of_graph() { Some(graph_id(&field("graph"))?) } else { None };
        let id = field("id");
        if verb.has_id() && id.is_empty() {
            return Err(Failure::new(StatusCode::BAD_REQUEST, "the form does not say what this is to be done to"));
        }
        let reason = field("reason").trim().to_owned();
        let level = match field("level").as_str() {
            "" => VerificationLevel::Data,
            word => VerificationLevel::parse(word).ok_or_else(|| Error::invalid("level", format_args!("is not a level: {word}")))?,
        };
        Ok(Self { verb, graph_id, id, reason, level })
    }

    /// That a reason is given where one is needed, and that it fits.
    ///
    /// # Errors
    /// It is not, or is too long.
    pub(super) fn check_reason(&self) -> Result<(), Failure> {
        let is_missing = self.verb == Verb::Pin && self.reason.is_empty();
        if !is_missing && self.reason.len() <= MAX_REASON_BYTES && !self.reason.contains(char::is_control) {
            return Ok(());
        }
        Err(Failure::new(StatusCode::BAD_REQUEST, format!("say why, in one line of at most {MAX_REASON_BYTES} bytes")))
    }

    /// That there is something to do it to.
    ///
    /// # Errors
    /// There is not.
    pub(super) async fn check(&self, services: &Services) -> Result<(), Error> {
        match (self.verb, &self.graph_id) {
            (Verb::Cancel, _) => services.get_operation(&self.id).await.map(drop),
            (Verb::RunSchedule | Verb::PauseSchedule | Verb::ResumeSchedule, _) => services.get_schedule(&self.id).await.map(drop),
            (Verb::Acknowledge, _) => services.get_alert(&self.id).await.map(drop),
            (Verb::CheckTarget, _) => services.get_target(&self.id).await.map(drop),
            (_, Some(graph_id)) if !self.id.is_empty() => services.get_snapshot(graph_id, &self.id).await.map(drop),
            (_, Some(graph_id)) => services.get_graph(graph_id).await.map(drop),
            (_, None) => Ok(()),
        }
    }

    /// Does it, and tells where one sees what comes of it. The same request is done once.
    ///
    /// # Errors
    /// Those of the use-case.
    pub(super) async fn run(&self, services: &Services, caller: &Caller, request_id: Option<String>) -> Result<String, Error> {
        let (id, asked) = (self.id.as_str(), request_id.as_deref());
        let operation = |id: String| format!("{HOME}/operations/{id}");
        match (self.verb, self.graph_id.clone()) {
            (Verb::Cancel, _) => {
                services.cancel_operation(caller, id).await?;
                return Ok(operation(self.id.clone()));
            }
            (Verb::RunSchedule, _) => drop(services.run_schedule(caller, id, asked).await?),
            (Verb::PauseSchedule | Verb::ResumeSchedule, _) => {
                services.pause_schedule(caller, id, self.verb == Verb::PauseSchedule, asked).await?;
            }
            (Verb::Acknowledge, _) => drop(services.acknowledge_alert(caller, id, &self.reason, asked).await?),
            (Verb::CheckTarget, _) => drop(services.check_target(id).await?),
            (Verb::Snapshot, Some(graph_id)) => {
                let new = NewSnapshot { graph_id, source_dir: None, metadata: None, tags: Tags::default(), request_id };
                return Ok(operation(services.create_snapshot(caller, new).await?.operation_id.to_string()));
            }
            (Verb::Verify, Some(graph_id)) => {
                let new = NewVerification { graph_id, snapshot_id: self.id.clone(), level: self.level, request_id };
                return Ok(operation(services.verify_snapshot(caller, &new).await?.operation_id.to_string()));
            }
            (Verb::Pin, Some(graph_id)) => {
                let new = NewHold { graph_id, snapshot_id: self.id.clone(), reason: self.reason.clone(), until: None, request_id };
                services.pin_snapshot(caller, new).await?;
            }
            (Verb::Unpin, Some(graph_id)) => drop(services.unpin_snapshot(caller, &graph_id, id, asked).await?),
            (Verb::Drill, Some(graph_id)) => {
                let snapshot_id = Some(self.id.clone()).filter(|id| !id.is_empty());
                let drill = services.drill_snapshot(caller, &NewDrill { graph_id, snapshot_id, request_id }).await?;
                return Ok(drill.operation_id.map_or_else(|| format!("{HOME}/drills"), |id| operation(id.to_string())));
            }
            (_, None) => {}
        }
        Ok(self.back())
    }

    /// Where its subject is shown.
    pub(super) fn back(&self) -> String {
        match (self.verb, &self.graph_id) {
            (Verb::Cancel, _) => format!("{HOME}/operations/{}", encoded(&self.id)),
            (Verb::RunSchedule, _) => format!("{HOME}/operations"),
            (Verb::PauseSchedule | Verb::ResumeSchedule, _) => format!("{HOME}/schedules"),
            (Verb::CheckTarget, _) => format!("{HOME}/targets"),
            (Verb::Acknowledge, _) => format!("{HOME}/alerts"),
            (_, Some(graph_id)) => format!("{HOME}/graphs/{}", encoded(graph_id.as_str())),
            (_, None) => HOME.to_owned(),
        }
    }
}
