//! `lightkeep retention`.

use clap::{Args, Subcommand};
use lightkeep_client::v1;

use super::ask::confirm;
use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::output::Column;
use super::resolve::seconds;

const VERDICTS: &[Column] = &[
    Column("SNAPSHOT", "snapshot_id"),
    Column("GRAPH", "graph_id"),
    Column("TAKEN", "timestamp"),
    Column("VERDICT", "verdict"),
    Column("WHY", "explanation"),
];

/// How long snapshots are kept.
#[derive(Debug, Clone, Subcommand)]
pub enum RetentionCommand {
    /// Show how the snapshots of a graph are kept.
    Show {
        #[arg(add = complete::graphs())]
        graph: String,
    },
    /// Keep the snapshots of a graph by these rules.
    Set {
        #[arg(add = complete::graphs())]
        graph: String,
        #[command(flatten)]
        policy: Policy,
    },
    /// Keep the snapshots of a graph by age again.
    Clear {
        #[arg(add = complete::graphs())]
        graph: String,
    },
    /// Say what becomes of each snapshot, and why. Nothing is deleted.
    Preview {
        #[arg(add = complete::graphs())]
        graph: String,
        /// Judge by these rules instead of the graph's.
        #[command(flatten)]
        policy: Policy,
        /// Judge by age, as without a policy.
        #[arg(long, conflicts_with = "policy")]
        by_age: bool,
    },
    /// Delete now what is over.
    Cleanup {
        /// Only this graph [default: all].
        #[arg(default_value = "-", hide_default_value = true, add = complete::graphs())]
        graph: String,
        /// Say what would be deleted; delete nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

/// The rules of `restic forget`.
#[derive(Debug, Clone, Args)]
#[group(id = "policy", multiple = true)]
pub struct Policy {
    /// So many of the newest.
    #[arg(long, value_name = "N")]
    keep_last: Option<i64>,
    /// The newest of each of the last so many minutes that have any.
    #[arg(long, value_name = "N")]
    keep_minutely: Option<i64>,
    /// Of hours.
    #[arg(long, value_name = "N")]
    keep_hourly: Option<i64>,
    /// Of days.
    #[arg(long, value_name = "N")]
    keep_daily: Option<i64>,
    /// Of weeks.
    #[arg(long, value_name = "N")]
    keep_weekly: Option<i64>,
    /// Of months.
    #[arg(long, value_name = "N")]
    keep_monthly: Option<i64>,
    /// Of years.
    #[arg(long, value_name = "N")]
    keep_yearly: Option<i64>,
    /// All that were taken within this time before the newest: 90s, 15m, 6h, 7d.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    keep_within: Option<i64>,
    /// All with this tag; may be repeated.
    #[arg(long = "keep-tag", value_name = "TAG")]
    keep_tags: Vec<String>,
    /// The IANA time zone in which days begin [default: UTC].
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// So many of the newest good ones stay whatever the rules say [default: 1].
    #[arg(long, value_name = "N")]
    minimum_good: Option<i64>,
}

impl Policy {
    fn proto(self) -> v1::RetentionPolicy {
        v1::RetentionPolicy {
            keep_last: self.keep_last.unwrap_or(0),
            keep_minutely: self.keep_minutely.unwrap_or(0),
            keep_hourly: self.keep_hourly.unwrap_or(0),
            keep_daily: self.keep_daily.unwrap_or(0),
            keep_weekly: self.keep_weekly.unwrap_or(0),
            keep_monthly: self.keep_monthly.unwrap_or(0),
            keep_yearly: self.keep_yearly.unwrap_or(0),
            keep_within_seconds: self.keep_within.unwrap_or(0),
            keep_tags: self.keep_tags,
            time_zone: self.time_zone.unwrap_or_default(),
            minimum_good: self.minimum_good,
        }
    }

    fn given(self) -> Option<v1::RetentionPolicy> {
        let policy = self.proto();
        (policy != v1::RetentionPolicy::default()).then_some(policy)
    }
}

impl RetentionCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Show { graph } => session.output.item(&session.call(v1::GetRetentionPolicyRequest { graph_id: graph }).await?),
            Self::Set { graph, policy } => {
                let request = v1::SetRetentionPolicyRequest { graph_id: graph, policy: Some(policy.proto()), ..Default::default() };
                session.output.item(&session.call(request).await?)
            }
            Self::Clear { graph } => {
                session.output.item(&session.call(v1::ClearRetentionPolicyRequest { graph_id: graph, ..Default::default() }).await?)
            }
            Self::Preview { graph, policy, by_age } => {
                let request =
                    v1::PreviewRetentionRequest { graph_id: graph, policy: policy.given(), by_age, page_size: 1000, ..Default::default() };
                session.output.list(&session.client.all(request).await?, VERDICTS, "no snapshots")
            }
            Self::Cleanup { graph, dry_run, yes } => cleanup(session, graph, dry_run, yes).await,
        }
    }
}

async fn cleanup(session: &Session, graph_id: String, dry_run: bool, yes: bool) -> Result<(), Failure> {
    let plan = v1::CleanupSnapshotsRequest { graph_id: graph_id.clone(), validate_only: true, page_size: 1000, ..Default::default() };
    if dry_run {
        return session.output.list(&session.client.all(plan).await?, VERDICTS, "no snapshots");
    }
    let planned = session.call(plan).await?.deleted_snapshots;
    if planned > 0 {
        confirm(&format!("Delete {planned} snapshots whose retention is over?"), yes)?;
    }
    let graphs: Vec<String> = (graph_id != "-").then(|| graph_id.clone()).into_iter().collect();
    let answer = session.call_watched(v1::CleanupSnapshotsRequest { graph_id, ..Default::default() }, &graphs).await?;
    session.output.sentence(&answer, &format!("deleted {} snapshots", answer.deleted_snapshots))
}
