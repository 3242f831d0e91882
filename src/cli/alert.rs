//! `lightkeep alert`.

use clap::Subcommand;
use lightkeep_client::v1;

use super::connection::Session;
use super::failure::Failure;
use super::output::{Column, Limit};

const COLUMNS: &[Column] = &[
    Column("ALERT", "alert_id"),
    Column("SEVERITY", "severity"),
    Column("STATE", "state"),
    Column("SINCE", "started_at"),
    Column("WHAT", "summary"),
    Column("ACKNOWLEDGED", "acknowledged_by"),
];

/// What the rules have found.
#[derive(Debug, Clone, Subcommand)]
pub enum AlertCommand {
    /// List the alerts that fire; with --all also those that are over.
    List {
        /// Also those that are over, and those that do not fire yet.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Say that you know of an alert: nobody is told any more that it fires.
    Acknowledge {
        /// Its id.
        alert: String,
        /// What is to be remembered with it.
        #[arg(long, default_value = "", hide_default_value = true)]
        comment: String,
    },
}

impl AlertCommand {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::List { all, limit } => {
                let state = if all { v1::AlertState::Unspecified } else { v1::AlertState::Firing };
                let request = v1::ListAlertsRequest { state: state.into(), ..Default::default() };
                session.output.listed(&session.some(request, &limit).await?, COLUMNS, "nothing fires")
            }
            Self::Acknowledge { alert, comment } => {
                session.output.item(&session.call(v1::AcknowledgeAlertRequest { alert_id: alert, comment, ..Default::default() }).await?)
            }
        }
    }
}
