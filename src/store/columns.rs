//! Our types as column values: ids and words as text, times as microseconds.

use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, StringLen, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbErr, QueryResult, TryFromU64, TryGetError, TryGetable, Value};

use crate::base::ids::{
    AlertId, AuditEventId, CheckpointId, DrillId, DrillRunId, EventId, FailoverId, HealthCheckId, InstanceId, NotificationId, OperationId,
    ProbeSetId, ScheduleId, ScheduleRunId, SilenceId, SnapshotId, TargetId, ValidationId, VerificationId,
};
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{AlertCondition, AlertState, Channel, NotificationEvent};
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState, ValidationState};
use crate::domain::drill::DrillState;
use crate::domain::event::{EventTopic, Severity};
use crate::domain::failover::{FailoverKind, FailoverState, Phase};
use crate::domain::graph_id::GraphId;
use crate::domain::health::{ComponentType, HealthStatus};
use crate::domain::metric::fact::FactKind;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};
use crate::domain::schedule_run::{RunOutcome, ScheduleAction, ScheduleOrigin};
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::target::{EventKind, ReplicationState, SendOrder, TargetStatus};
use crate::domain::verification::VerificationLevel;

macro_rules! text_columns {
    ($($type:ident: $parse:expr),+ $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                value.to_string().into()
            }
        }

        impl Nullable for $type {
            fn null() -> Value {
                Value::String(None)
            }
        }

        impl ValueType for $type {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                let text = <String as ValueType>::try_from(value)?;
                $parse(&text).ok_or(ValueTypeErr)
            }

            fn type_name() -> String {
                stringify!($type).to_owned()
            }

            fn array_type() -> ArrayType {
                ArrayType::String
            }

            fn column_type() -> ColumnType {
                ColumnType::String(StringLen::None)
            }
        }

        impl TryGetable for $type {
            fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                let text = String::try_get_by(row, index)?;
                let odd = || DbErr::Type(format!("the database holds an odd {}: `{text}`", stringify!($type)));
                $parse(&text).ok_or_else(|| TryGetError::DbErr(odd()))
            }
        }

        impl TryFromU64 for $type {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($type)))
            }
        }
    )+};
}

text_columns! {
    AuditEventId: AuditEventId::parse,
    InstanceId: InstanceId::parse,
    OperationId: OperationId::parse,
    SnapshotId: SnapshotId::parse,
    VerificationId: VerificationId::parse,
    ScheduleId: ScheduleId::parse,
    ScheduleRunId: ScheduleRunId::parse,
    CheckpointId: CheckpointId::parse,
    ValidationId: ValidationId::parse,
    ProbeSetId: ProbeSetId::parse,
    DrillId: DrillId::parse,
    DrillRunId: DrillRunId::parse,
    CheckpointOrigin: CheckpointOrigin::parse,
    CheckpointState: CheckpointState::parse,
    ValidationState: ValidationState::parse,
    HealthCheckId: HealthCheckId::parse,
    ComponentType: ComponentType::parse,
    HealthStatus: HealthStatus::parse,
    DrillState: DrillState::parse,
    FailoverId: FailoverId::parse,
    FailoverKind: FailoverKind::parse,
    FailoverState: FailoverState::parse,
    Phase: Phase::parse,
    ScheduleOrigin: ScheduleOrigin::parse,
    ScheduleAction: ScheduleAction::parse,
    RunOutcome: RunOutcome::parse,
    GraphId: |text: &str| GraphId::parse(text).ok(),
    OperationKind: OperationKind::parse,
    OperationState: OperationState::parse,
    SnapshotStatus: SnapshotStatus::parse,
    VerificationLevel: VerificationLevel::parse,
    TargetId: TargetId::parse,
    EventId: EventId::parse,
    EventTopic: EventTopic::parse,
    FactKind: FactKind::parse,
    AlertId: AlertId::parse,
    SilenceId: SilenceId::parse,
    NotificationId: NotificationId::parse,
    Severity: Severity::parse,
    AlertState: AlertState::parse,
    AlertCondition: AlertCondition::parse,
    Channel: Channel::parse,
    NotificationEvent: NotificationEvent::parse,
    SendOrder: SendOrder::parse,
    TargetStatus: TargetStatus::parse,
    EventKind: EventKind::parse,
    ReplicationState: ReplicationState::parse,
    BusyPolicy: BusyPolicy::parse,
    InconsistentPolicy: InconsistentPolicy::parse,
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        value.micros().into()
    }
}

impl Nullable for Timestamp {
    fn null() -> Value {
        Value::BigInt(None)
    }
}

impl ValueType for Timestamp {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <i64 as ValueType>::try_from(value).map(Self::from_micros)
    }

    fn type_name() -> String {
        "Timestamp".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::BigInt
    }

    fn column_type() -> ColumnType {
        ColumnType::BigInteger
    }
}

impl TryGetable for Timestamp {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        i64::try_get_by(row, index).map(Self::from_micros)
    }
}
