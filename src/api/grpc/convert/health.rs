//! Recovery health.

use super::timestamp;
use crate::domain::health::{ComponentType, HealthStatus};
use crate::proto::v1;
use crate::service::health::RecoveryHealth;
use crate::store::entity::health_check::Model;

pub(in crate::api::grpc) fn to_proto(health: RecoveryHealth) -> v1::RecoveryHealth {
    let of = |wanted: ComponentType| {
        let those = health.components.iter().chain(&health.targets).filter(|check| check.component_type == wanted);
        those.map(|check| (check.component_id.clone(), component_to_proto(check))).collect()
    };
    v1::RecoveryHealth {
        overall_status: status_to_proto(health.overall).into(),
        timestamp: health.checked_at.map(timestamp),
        graphs: of(ComponentType::Graph),
        backups: of(ComponentType::Backup),
        replication: of(ComponentType::Target),
    }
}

pub(super) fn component_to_proto(check: &Model) -> v1::ComponentHealth {
    v1::ComponentHealth {
        component_id: check.component_id.clone(),
        component_type: check.component_type.to_string(),
        status: status_to_proto(check.status).into(),
        message: check.message.clone(),
        last_check: Some(timestamp(check.checked_at)),
        details: serde_json::from_str(&check.details).unwrap_or_default(),
    }
}

pub(super) fn status_to_proto(status: HealthStatus) -> v1::HealthStatus {
    match status {
        HealthStatus::Healthy => v1::HealthStatus::Healthy,
        HealthStatus::Unknown => v1::HealthStatus::Unknown,
        HealthStatus::Degraded => v1::HealthStatus::Degraded,
        HealthStatus::Offline => v1::HealthStatus::Offline,
        HealthStatus::Critical => v1::HealthStatus::Critical,
    }
}
