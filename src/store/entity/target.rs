//! Table `targets`.

use sea_orm::entity::prelude::*;

use crate::base::ids::TargetId;
use crate::base::timestamp::Timestamp;
use crate::domain::target::{SendOrder, TargetStatus};

/// A place where copies go.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "targets")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_id: TargetId,
    /// Its name.
    pub name: String,
    /// The address of another Lightkeep.
    pub base_url: Option<String>,
    /// Where that one's gRPC is, if not there.
    pub grpc_url: Option<String>,
    /// A directory.
    pub path: Option<String>,
    /// The key to the other Lightkeep, sealed.
    pub api_key: Option<String>,
    /// The password of copies there, sealed; none where they have ours.
    pub repository_password: Option<String>,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// The graphs that are sent there, by their labels.
    pub graph_selector: String,
    /// Nothing is sent by itself.
    pub on_request: bool,
    /// Files that are sent at once.
    pub parallelism: i32,
    /// The most that is sent in a second, bytes; 0 for no limit.
    pub bytes_per_second: i64,
    /// Which snapshot is sent first.
    pub send_order: SendOrder,
    /// Whether it is at another site.
    pub off_site: bool,
    /// How much of it is read again each day, percent.
    pub reread_percent_per_day: f64,
    /// How it was when it was looked at last.
    pub status: TargetStatus,
    /// JSON of what was found then.
    pub condition: Option<String>,
    /// When that was.
    pub checked_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Counts its updates, from 1.
    pub revision: i64,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
