//! Retention policies.

use super::{all_there, page, request_id};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{GraphTimeKey, PageRequest};
use crate::domain::retention::{PolicyFields, RetentionPolicy};
use crate::domain::validate::{Violation, Violations};
use crate::proto::v1;
use crate::service::cleanup::Tried;
use crate::service::retention::GraphRetention;
use crate::service::{Error, Services};

/// A policy that is to be set.
pub(in crate::api::grpc) struct Set {
    pub(in crate::api::grpc) graph_id: GraphId,
    pub(in crate::api::grpc) policy: RetentionPolicy,
    pub(in crate::api::grpc) request_id: Option<String>,
}

pub(in crate::api::grpc) fn parse_set(request: v1::SetRetentionPolicyRequest) -> Result<Set, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let policy = policy(&mut violations, request.policy.unwrap_or_default());
    let set = graph_id.zip(policy).map(|(graph_id, policy)| Set { graph_id, policy, request_id });
    all_there(violations, set)
}

/// A preview that is wanted.
pub(in crate::api::grpc) struct Wanted {
    pub(in crate::api::grpc) graph_id: GraphId,
    /// Instead of the graph's own.
    pub(in crate::api::grpc) tried: Option<Tried>,
    pub(in crate::api::grpc) page: PageRequest<GraphTimeKey>,
}

pub(in crate::api::grpc) fn parse_preview(request: v1::PreviewRetentionRequest) -> Result<Wanted, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let page = page(&mut violations, request.page_size, &request.page_token);
    if request.by_age && request.policy.is_some() {
        violations.add("by_age", "must not be given with `policy`");
    }
    let policy = request.policy.and_then(|fields| policy(&mut violations, fields)).map(Tried::Policy);
    let tried = if request.by_age { Some(Tried::Age) } else { policy };
    let wanted = graph_id.zip(page).map(|(graph_id, page)| Wanted { graph_id, tried, page });
    all_there(violations, wanted)
}

fn policy(violations: &mut Violations, policy: v1::RetentionPolicy) -> Option<RetentionPolicy> {
    let fields = PolicyFields {
        keep_last: policy.keep_last,
        keep_minutely: policy.keep_minutely,
        keep_hourly: policy.keep_hourly,
        keep_daily: policy.keep_daily,
        keep_weekly: policy.keep_weekly,
        keep_monthly: policy.keep_monthly,
        keep_yearly: policy.keep_yearly,
        keep_within_seconds: policy.keep_within_seconds,
        keep_tags: policy.keep_tags,
        time_zone: policy.time_zone,
        minimum_good: policy.minimum_good,
    };
    match RetentionPolicy::parse(fields) {
        Ok(policy) => Some(policy),
        Err(wrong) => {
            for Violation { field, description } in wrong.iter() {
                violations.add(&format!("policy.{field}"), description);
            }
            None
        }
    }
}

pub(in crate::api::grpc) fn to_proto(services: &Services, retention: GraphRetention) -> v1::GraphRetention {
    let policy = retention.policy.map(|fields| v1::RetentionPolicy {
        keep_last: fields.keep_last,
        keep_minutely: fields.keep_minutely,
        keep_hourly: fields.keep_hourly,
        keep_daily: fields.keep_daily,
        keep_weekly: fields.keep_weekly,
        keep_monthly: fields.keep_monthly,
        keep_yearly: fields.keep_yearly,
        keep_within_seconds: fields.keep_within_seconds,
        keep_tags: fields.keep_tags,
        time_zone: fields.time_zone,
        minimum_good: fields.minimum_good,
    });
    let default_days = i32::try_from(services.settings().retention_days).unwrap_or(i32::MAX);
    v1::GraphRetention { graph_id: retention.graph_id.to_string(), policy, default_days }
}
