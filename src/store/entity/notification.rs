//! Table `notifications`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{AlertId, NotificationId};
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{Channel, NotificationEvent};

/// What somebody is to be told of an alert.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub struct Model {
    /// Its id; the same at each attempt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub notification_id: NotificationId,
    /// The alert.
    pub alert_id: AlertId,
    /// How.
    pub channel: Channel,
    /// What.
    pub event: NotificationEvent,
    /// The whole of what is told, JSON.
    pub body: String,
    /// When it was decided.
    pub created_at: Timestamp,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next; while it is tried, when somebody else may.
    pub next_attempt_at: Timestamp,
    /// When it arrived.
    pub delivered_at: Option<Timestamp>,
    /// When it was given up.
    pub given_up_at: Option<Timestamp>,
    /// Why it did not arrive the last time.
    pub last_error: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
