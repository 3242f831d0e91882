//! `lightkeep schedule`.

use clap::{Args, Subcommand};
use lightkeep_client::v1;
use prost_types::FieldMask;

use super::ask::confirm;
use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::output::{Column, Limit};
use super::resolve::seconds;

const COLUMNS: &[Column] = &[
    Column("SCHEDULE", "schedule_id"),
    Column("GRAPH", "graph_id"),
    Column("SELECTOR", "graph_selector"),
    Column("DOES", "action"),
    Column("CRON", "cron"),
    Column("EVERY", "interval_seconds"),
    Column("AFTER CHANGES", "on_change"),
    Column("NEXT", "next_run_at"),
    Column("PAUSED", "paused"),
];

const RUNS: &[Column] = &[
    Column("DUE", "fire_at"),
    Column("GRAPH", "graph_id"),
    Column("RESULT", "result"),
    Column("LATE", "delay_seconds"),
    Column("OPERATION", "operation_id"),
    Column("MESSAGE", "message"),
];

/// Snapshots, drills and replication by themselves.
#[derive(Debug, Clone, Subcommand)]
pub enum ScheduleCommand {
    /// Make a schedule.
    Add {
        #[command(flatten)]
        settings: Settings,
        /// What it does; it stays as it was made.
        #[arg(long, default_value = "snapshot")]
        action: Action,
        /// Check it and show its first runs; make nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// List the schedules.
    List {
        /// Only those for this graph.
        #[arg(default_value = "", hide_default_value = true, add = complete::graphs())]
        graph: String,
    },
    /// Show one schedule.
    Show {
        #[arg(add = complete::schedules())]
        schedule: String,
    },
    /// Change what is given; the rest stays.
    Edit {
        #[arg(add = complete::schedules())]
        schedule: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove a schedule. Its snapshots stay.
    Remove {
        #[arg(add = complete::schedules())]
        schedule: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Run a schedule now.
    Run {
        #[arg(add = complete::schedules())]
        schedule: String,
    },
    /// Keep a schedule from running.
    Pause {
        #[arg(add = complete::schedules())]
        schedule: String,
    },
    /// Let a paused schedule run again.
    Resume {
        #[arg(add = complete::schedules())]
        schedule: String,
    },
    /// List what came of its runs, newest first.
    Runs {
        #[arg(add = complete::schedules())]
        schedule: String,
        #[command(flatten)]
        limit: Limit,
    },
}

/// What is set of a schedule.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The graph.
    #[arg(long, value_name = "GRAPH", add = complete::graphs(), conflicts_with = "selector")]
    graph: Option<String>,
    /// All graphs with these labels, such as `env=prod,team=a`; `*` for all graphs.
    #[arg(long, value_name = "LABELS")]
    selector: Option<String>,
    /// At these times: minute, hour, day of month, month, day of week.
    #[arg(long, value_name = "EXPRESSION", conflicts_with_all = ["every", "on_change"])]
    cron: Option<String>,
    /// The IANA time zone of the expression [default: UTC].
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// At this interval: 90s, 15m, 6h, 7d.
    #[arg(long, value_name = "TIME", value_parser = seconds, conflicts_with = "on_change")]
    every: Option<i64>,
    /// After changes, when nothing has changed for so long.
    #[arg(long, value_name = "TIME", value_parser = seconds, num_args = 0..=1, default_missing_value = "5")]
    on_change: Option<i64>,
    /// After changes: the least time between two snapshots.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    at_most_every: Option<i64>,
    /// Runs are later by a time of their schedule's own, up to this.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    jitter: Option<i64>,
    /// A tag of its snapshots; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

/// What schedules do.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Action {
    /// Take a snapshot.
    Snapshot,
    /// Drill the newest good snapshot.
    Drill,
    /// Send to its targets what they lack.
    Replicate,
}

impl ScheduleCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Add { settings, action, dry_run } => add(session, settings, action, dry_run).await,
            Self::List { graph } => {
                let schedules =
                    session.client.all(v1::ListSchedulesRequest { graph_id: graph, page_size: 1000, ..Default::default() }).await?;
                session.output.list(&schedules, COLUMNS, "no schedules")
            }
            Self::Show { schedule } => session.output.item(&session.call(v1::GetScheduleRequest { schedule_id: schedule }).await?),
            Self::Edit { schedule, settings } => edit(session, schedule, settings).await,
            Self::Remove { schedule, yes } => {
                confirm(&format!("Remove schedule {schedule}?"), yes)?;
                let answer = session.call(v1::DeleteScheduleRequest { schedule_id: schedule, ..Default::default() }).await?;
                session.output.sentence(&answer, &answer.message)
            }
            Self::Run { schedule } => {
                let answer = session.call(v1::RunScheduleRequest { schedule_id: schedule, ..Default::default() }).await?;
                session.output.list(&answer.runs, RUNS, "it is for no graph")
            }
            Self::Pause { schedule } => {
                session.output.item(&session.call(v1::PauseScheduleRequest { schedule_id: schedule, ..Default::default() }).await?)
            }
            Self::Resume { schedule } => {
                session.output.item(&session.call(v1::ResumeScheduleRequest { schedule_id: schedule, ..Default::default() }).await?)
            }
            Self::Runs { schedule, limit } => {
                let request = v1::ListScheduleRunsRequest { schedule_id: schedule, ..Default::default() };
                session.output.listed(&session.some(request, &limit).await?, RUNS, "it has not run yet")
            }
        }
    }
}

async fn add(session: &Session, settings: Settings, action: Action, dry_run: bool) -> Result<(), Failure> {
    let action = match action {
        Action::Snapshot => v1::ScheduleAction::Snapshot,
        Action::Drill => v1::ScheduleAction::Drill,
        Action::Replicate => v1::ScheduleAction::Replicate,
    };
    let schedule = v1::Schedule { action: action.into(), ..settings.schedule(None) };
    let request = v1::CreateScheduleRequest { schedule: Some(schedule), validate_only: dry_run, ..Default::default() };
    session.output.item(&session.call(request).await?)
}

async fn edit(session: &Session, schedule_id: String, settings: Settings) -> Result<(), Failure> {
    let given = [
        ("graph_id", settings.graph.is_some()),
        ("graph_selector", settings.selector.is_some()),
        ("cron", settings.cron.is_some()),
        ("time_zone", settings.time_zone.is_some()),
        ("interval_seconds", settings.every.is_some()),
        ("on_change", settings.on_change.is_some() || settings.at_most_every.is_some()),
        ("jitter_seconds", settings.jitter.is_some()),
        ("tags", !settings.tags.is_empty()),
    ];
    let paths: Vec<String> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()).collect();
    if paths.is_empty() {
        return Err(Failure::Here("nothing to change: `lightkeep schedule edit --help` shows what can be set".to_owned()));
    }
    let before = session.call(v1::GetScheduleRequest { schedule_id: schedule_id.clone() }).await?;
    let request = v1::UpdateScheduleRequest {
        schedule_id,
        schedule: Some(v1::Schedule { etag: before.etag.clone(), ..settings.schedule(before.on_change) }),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    };
    session.output.item(&session.call(request).await?)
}

impl Settings {
    /// With what is given; of `on_change` the rest stays as it was.
    fn schedule(self, before: Option<v1::OnChange>) -> v1::Schedule {
        let minimum_interval_seconds = self.at_most_every.or(before.and_then(|before| before.minimum_interval_seconds));
        let debounce_seconds = self.on_change.or(before.map(|before| before.debounce_seconds));
        let is_given = self.on_change.is_some() || self.at_most_every.is_some();
        let on_change = v1::OnChange { debounce_seconds: debounce_seconds.unwrap_or(0), minimum_interval_seconds };
        v1::Schedule {
            graph_id: self.graph.unwrap_or_default(),
            graph_selector: self.selector.unwrap_or_default(),
            cron: self.cron,
            time_zone: self.time_zone.unwrap_or_default(),
            interval_seconds: self.every,
            on_change: is_given.then_some(on_change),
            jitter_seconds: self.jitter.unwrap_or(0),
            tags: self.tags,
            ..Default::default()
        }
    }
}
