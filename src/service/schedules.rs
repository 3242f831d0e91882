//! Schedules: made, changed, paused, removed. What happens when they fire is in `schedule_runs`.

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::{Error, ErrorKind};
use super::graphs::check_own;
use super::idempotency::Request;
use super::schedule_rows::{
    GraphSchedule, NewSchedule, ScheduleUpdate, Subject, columns_of, etag, fields_of, fill_in, schedule_of, subject_text,
};
use crate::base::ids::ScheduleId;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::schedule::{Schedule, ScheduleFields};
use crate::domain::schedule_run::{ScheduleAction, ScheduleOrigin};
use crate::domain::tag::Tags;
use crate::store::entity::schedule::Model;
use crate::store::{self, schedules};

/// How many runs ahead a preview tells.
const PREVIEWED: usize = 10;

impl Services {
    /// Makes a schedule. One that names a graph takes the place of the graph's default one.
    ///
    /// # Errors
    /// There is no such graph; something is wrong with the fields.
    pub async fn create_schedule(&self, caller: &Caller, new: &NewSchedule) -> Result<Model, Error> {
        let (subject, fields, tags) = (subject_text(&new.subject), format!("{:?}", new.fields), new.tags.to_json());
        let action = new.action.as_str();
        let body: Vec<&str> = [subject.as_str(), &fields, action].into_iter().chain(tags.as_deref()).collect();
        let request = Request { request_id: new.request_id.as_deref(), action: "CreateSchedule", body: &body };
        match self.create_schedule_once(caller, new, &request).await {
            Err(error) if error.is_race() => self.create_schedule_once(caller, new, &request).await,
            result => result,
        }
    }

    async fn create_schedule_once(&self, caller: &Caller, new: &NewSchedule, request: &Request<'_>) -> Result<Model, Error> {
        let row = self.created_row(new)?;
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_schedule(&*transaction, &first).await;
        }
        if let Subject::Graph(graph_id) = &new.subject {
            self.find_graph(&*transaction, graph_id).await?;
            if new.action != ScheduleAction::Drill {
                check_own(graph_id)?;
            }
            if new.action == ScheduleAction::Snapshot {
                schedules::delete_default(&*transaction, graph_id).await?;
            }
        }
        let row = schedules::insert(&*transaction, row).await?;
        self.end_schedule_change(transaction, caller, &row, request).await
    }

    /// The times at which a schedule would fire next.
    ///
    /// # Errors
    /// There is no such graph; something is wrong with the fields.
    pub async fn preview_schedule(&self, new: &NewSchedule) -> Result<(Model, Vec<Timestamp>), Error> {
        if let Subject::Graph(graph_id) = &new.subject {
            self.find_graph(self.store().read(), graph_id).await?;
        }
        let row = self.created_row(new)?;
        let runs = self.next_runs(&row)?;
        Ok((row, runs))
    }

    fn created_row(&self, new: &NewSchedule) -> Result<Model, Error> {
        let row = self.new_schedule_row(ScheduleOrigin::Created, &new.subject, &new.fields, false)?;
        Ok(Model { tags: new.tags.to_json(), action: new.action, ..row })
    }

    /// The next times at which a schedule fires.
    ///
    /// # Errors
    /// Its row is damaged, which is a bug.
    pub fn next_runs(&self, row: &Model) -> Result<Vec<Timestamp>, Error> {
        let schedule = schedule_of(row)?;
        Ok(std::iter::successors(row.next_run_at, |last| schedule.next_after(*last)).take(PREVIEWED).collect())
    }

    /// Sets the one schedule that a graph has by itself: makes it, or replaces it.
    ///
    /// # Errors
    /// There is no such graph; something is wrong with the fields.
    pub async fn set_graph_schedule(&self, caller: &Caller, new: &GraphSchedule) -> Result<Model, Error> {
        let (fields, paused, tags) = (format!("{:?}", new.fields), new.paused.to_string(), new.tags.to_json());
        let body: Vec<&str> = [new.graph_id.as_str(), &fields, &paused].into_iter().chain(tags.as_deref()).collect();
        let request = Request { request_id: new.request_id.as_deref(), action: "SetGraphSchedule", body: &body };
        match self.set_graph_schedule_once(caller, new, &request).await {
            Err(error) if error.is_race() => self.set_graph_schedule_once(caller, new, &request).await,
            result => result,
        }
    }

    async fn set_graph_schedule_once(&self, caller: &Caller, new: &GraphSchedule, request: &Request<'_>) -> Result<Model, Error> {
        let subject = Subject::Graph(new.graph_id.clone());
        let mut row =
            Model { tags: new.tags.to_json(), ..self.new_schedule_row(ScheduleOrigin::Graph, &subject, &new.fields, new.paused)? };
        let transaction = self.store().begin().await?;
        self.find_graph(&*transaction, &new.graph_id).await?;
        check_own(&new.graph_id)?;
        let old = schedules::find_of_graph(&*transaction, &new.graph_id).await?;
        if request.find_subject(&*transaction).await?.is_some()
            && let Some(old) = old
        {
            return Ok(old);
        }
        match old {
            None => row = schedules::insert(&*transaction, row).await?,
            Some(old) => {
                // It stays the same schedule: its runs and its part of the jitter are kept.
                let (schedule_id, revision, created_at, last_run_at) = (old.schedule_id, old.revision, old.created_at, old.last_run_at);
                row = Model { schedule_id, revision: revision + 1, created_at, last_run_at, ..row };
                let schedule = schedule_of(&row)?;
                fill_in(&mut row, &new.fields, &schedule, self.now());
                if !schedules::update(&*transaction, &row, revision).await? {
                    return Err(changed_meanwhile(&old));
                }
            }
        }
        self.end_schedule_change(transaction, caller, &row, request).await
    }

    /// The schedule that was set for a graph, or its default one.
    ///
    /// # Errors
    /// There is no such graph, or it has none.
    pub async fn get_graph_schedule(&self, graph_id: &GraphId) -> Result<Model, Error> {
        self.find_graph(self.store().read(), graph_id).await?;
        let found = schedules::find_of_graph(self.store().read(), graph_id).await?;
        found.ok_or_else(|| Error::NotFound { kind: "Schedule", id: format!("of graph {graph_id}") })
    }

    /// One schedule.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_schedule(&self, id: &str) -> Result<Model, Error> {
        self.find_schedule(self.store().read(), id).await
    }

    pub(super) async fn find_schedule(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Schedule", id: id.to_owned() };
        schedules::find(connection, ScheduleId::parse(id).ok_or_else(missing)?).await?.ok_or_else(missing)
    }

    /// Schedules, oldest first.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn list_schedules(&self, graph_id: Option<&GraphId>, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        if let Some(graph_id) = graph_id {
            self.find_graph(self.store().read(), graph_id).await?;
        }
        Ok(schedules::list(self.store().read(), graph_id, page).await?)
    }

    /// Changes a schedule; it goes on from now, with the first run that is ahead.
    ///
    /// # Errors
    /// There is no such schedule; the etag is another; something is wrong with the fields.
    pub async fn update_schedule(&self, caller: &Caller, update: &ScheduleUpdate) -> Result<Model, Error> {
        let subject = update.subject.as_ref().map(subject_text).unwrap_or_default();
        let (fields, parts) = (format!("{:?}", update.fields), format!("{:?}", update.parts));
        let tags = update.tags.as_ref().map(|tags| format!("{tags:?}"));
        let body = [update.schedule_id.as_str(), &subject, &fields, &parts, update.etag.as_deref().unwrap_or_default()];
        let body: Vec<&str> = body.into_iter().chain(tags.as_deref()).collect();
        let request = Request { request_id: update.request_id.as_deref(), action: "UpdateSchedule", body: &body };
        let change = |row: &mut Model, now| {
            let mut fields = fields_of(row);
            update.apply_to(&mut fields);
            if fields.interval_seconds != row.interval_seconds {
                row.anchored_at = now;
            }
            let schedule = Schedule::parse(&fields, &row.schedule_id.to_string(), row.anchored_at)?;
            if row.action != ScheduleAction::Snapshot
                && (fields.on_change.is_some() || update.tags.as_ref().is_some_and(|tags| *tags != Tags::default()))
            {
                return Err(Error::invalid("on_change", "and `tags` are for schedules that take snapshots, which this one does not"));
            }
            if let Some(subject) = &update.subject {
                (row.graph_id, row.graph_selector) = columns_of(subject);
            }
            if let Some(tags) = &update.tags {
                row.tags = tags.to_json();
            }
            fill_in(row, &fields, &schedule, now);
            Ok(())
        };
        self.change_schedule(caller, &update.schedule_id, update.etag.as_deref(), &request, &change).await
    }

    /// Keeps a schedule from firing, or lets it fire again: from now on, what fell into the pause was not missed.
    ///
    /// # Errors
    /// There is no such schedule.
    pub async fn pause_schedule(&self, caller: &Caller, id: &str, pause: bool, request_id: Option<&str>) -> Result<Model, Error> {
        let action = if pause { "PauseSchedule" } else { "ResumeSchedule" };
        let body = [id];
        let request = Request { request_id, action, body: &body };
        let change = |row: &mut Model, now| {
            if row.paused != pause {
                row.paused = pause;
                row.next_run_at = if pause { None } else { schedule_of(row)?.next_after(now) };
            }
            Ok(())
        };
        self.change_schedule(caller, id, None, &request, &change).await
    }

    async fn change_schedule(
        &self,
        caller: &Caller,
        id: &str,
        wanted_etag: Option<&str>,
        request: &Request<'_>,
        change: &(dyn Fn(&mut Model, Timestamp) -> Result<(), Error> + Sync),
    ) -> Result<Model, Error> {
        let transaction = self.store().begin().await?;
        let old = self.find_schedule(&*transaction, id).await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(old);
        }
        if wanted_etag.is_some_and(|wanted| wanted != etag(&old)) {
            return Err(changed_meanwhile(&old));
        }
        let mut row = Model { revision: old.revision + 1, ..old.clone() };
        change(&mut row, self.now())?;
        if let Some(graph_id) = &row.graph_id {
            self.find_graph(&*transaction, graph_id).await?;
        }
        if row.origin == ScheduleOrigin::Default {
            // Who changes it has made it his own: the settings do not change it any more.
            row.origin = ScheduleOrigin::Graph;
        }
        if !schedules::update(&*transaction, &row, old.revision).await? {
            return Err(changed_meanwhile(&old));
        }
        self.end_schedule_change(transaction, caller, &row, request).await
    }

    /// Removes a schedule and the list of its runs; its snapshots stay.
    ///
    /// # Errors
    /// There is no such schedule.
    pub async fn delete_schedule(&self, caller: &Caller, id: &str, request_id: Option<&str>) -> Result<(), Error> {
        let body = [id];
        let request = Request { request_id, action: "DeleteSchedule", body: &body };
        let transaction = self.store().begin().await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(());
        }
        let row = self.find_schedule(&*transaction, id).await?;
        schedules::delete(&*transaction, row.schedule_id).await?;
        self.end_schedule_change(transaction, caller, &row, &request).await.map(|_| ())
    }

    async fn end_schedule_change(
        &self,
        transaction: store::Transaction,
        caller: &Caller,
        row: &Model,
        request: &Request<'_>,
    ) -> Result<Model, Error> {
        request.remember(self, &*transaction, row.schedule_id.to_string()).await?;
        let id = Some(row.schedule_id.to_string());
        self.record_audit(&*transaction, caller, request.action, row.graph_id.as_ref(), id).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_schedule();
        Ok(row.clone())
    }

    /// A schedule's first row.
    ///
    /// # Errors
    /// Something is wrong with the fields.
    pub(super) fn new_schedule_row(
        &self,
        origin: ScheduleOrigin,
        subject: &Subject,
        fields: &ScheduleFields,
        paused: bool,
    ) -> Result<Model, Error> {
        let now = self.now();
        let schedule_id = ScheduleId::new(self.ids(), now);
        let schedule = Schedule::parse(fields, &schedule_id.to_string(), now)?;
        let (graph_id, graph_selector) = columns_of(subject);
        let mut row = Model {
            schedule_id,
            origin,
            graph_id,
            graph_selector,
            cron: None,
            time_zone: String::new(),
            interval_seconds: None,
            debounce_seconds: None,
            minimum_interval_seconds: None,
            anchored_at: now,
            jitter_seconds: 0,
            missed_run_policy: String::new(),
            missed_run_grace_seconds: 0,
            overlap_policy: String::new(),
            paused,
            next_run_at: None,
            last_run_at: None,
            created_at: now,
            revision: 1,
            tags: None,
            action: ScheduleAction::Snapshot,
        };
        fill_in(&mut row, fields, &schedule, now);
        Ok(row)
    }
}

fn changed_meanwhile(schedule: &Model) -> Error {
    let message = format!("schedule `{}` has changed meanwhile, read it again: its etag is `{}`", schedule.schedule_id, etag(schedule));
    Error::refused(ErrorKind::Aborted, "ETAG_MISMATCH", message)
}
