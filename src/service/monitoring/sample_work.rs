//! What is sampled of the work itself: operations, leases, components, the storage.

use super::super::Services;
use super::super::error::Error;
use super::{Known, target_names};
use crate::domain::event::Severity;
use crate::domain::failover::FailoverState;
use crate::domain::health::HealthStatus;
use crate::domain::metric::{Samples, names};
use crate::domain::operation::{LEASE, OperationKind};
use crate::store::{alerts, checkpoints, failovers, leases, sampling};

impl Services {
    pub(super) async fn sample_operations(&self, samples: &mut Samples, known: &Known) -> Result<(), Error> {
        let read = self.store().read();
        let (mut queue_age, mut heartbeat_age) = (0.0_f64, 0.0_f64);
        for flight in sampling::in_flight(read).await? {
            samples.add(&names::OPERATIONS_IN_FLIGHT, [&flight.kind, &flight.state], flight.operations as f64);
            let is_for_workers = OperationKind::parse(&flight.kind).is_none_or(|kind| !OperationKind::BESIDE_WORKERS.contains(&kind));
            if flight.state == "queued" && is_for_workers {
                queue_age = queue_age.max(known.now.since(flight.created_at).as_secs_f64());
            }
            if let Some(until) = flight.lease_until_at {
                heartbeat_age = heartbeat_age.max(known.now.since(until.minus(LEASE)).as_secs_f64());
            }
        }
        samples.add_one(&names::OPERATION_QUEUE_AGE, queue_age);
        samples.add_one(&names::OPERATION_HEARTBEAT_AGE, heartbeat_age);
        for lease in leases::list(read).await? {
            samples.add(&names::LEASE_HELD, [lease.name.as_str()], f64::from(u8::from(lease.until_at > known.now)));
        }
        let incomplete = failovers::list_holding(read).await?.into_iter().filter(|failover| failover.state == FailoverState::Incomplete);
        samples.add_one(&names::FAILOVERS_INCOMPLETE, incomplete.count() as f64);
        if self.settings().alerts.is_enabled {
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                let firing = alerts::count_firing(read, Some(severity)).await?;
                samples.add(&names::ALERTS_FIRING, [severity.as_str()], firing as f64);
            }
        }
        let (checkpoints, _) = checkpoints::count(read, known.now).await?;
        samples.add_one(&names::RECOVERY_POINTS, checkpoints as f64);
        Ok(())
    }

    pub(super) async fn sample_components(&self, samples: &mut Samples, known: &Known) -> Result<(), Error> {
        // It has answered just now.
        samples.add(&names::COMPONENT_HEALTH, ["database", "metadata"], 1.0);
        let (targets, health) = (target_names(&known.targets), self.recovery_health().await?);
        for check in health.components.iter().chain(&health.targets) {
            let value = match check.status {
                HealthStatus::Healthy => 1.0,
                HealthStatus::Degraded => 0.5,
                HealthStatus::Offline | HealthStatus::Critical => 0.0,
                // Nobody has looked: there is nothing to tell.
                HealthStatus::Unknown => continue,
            };
            let component_type = check.component_type.as_str();
            let component = targets.get(&check.component_id).unwrap_or(&check.component_id).as_str();
            samples.add(&names::COMPONENT_HEALTH, [component_type, component], value);
        }
        Ok(())
    }

    /// What cannot be measured is not told; health tells why.
    pub(super) async fn sample_storage(&self, samples: &mut Samples) {
        if let Some(Ok(((free, total), _))) = self.look_at_storage_disk().await {
            samples.add_one(&names::STORAGE_FREE, free as f64);
            samples.add_one(&names::STORAGE_TOTAL, total as f64);
        }
    }
}
