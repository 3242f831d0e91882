//! Events.

use super::alert::{severity, severity_to_proto};
use super::{all_there, instant, page, timestamp};
use crate::domain::event::EventTopic;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::store::entity::event::Model;
use crate::store::events::EventFilter;

pub(in crate::api::grpc) fn parse_list(request: &v1::ListEventsRequest) -> Result<(EventFilter, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let filter = EventFilter {
        graph_id: some(&request.graph_id),
        topic: topic(&mut violations, &request.kind),
        severity: severity(&mut violations, request.severity),
        subject_id: some(&request.subject_id),
        created_from: instant(&mut violations, "start_time", request.start_time),
        created_before: instant(&mut violations, "end_time", request.end_time),
    };
    let page = page(&mut violations, request.page_size, &request.page_token);
    Ok((filter, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn parse_watch(request: &v1::WatchEventsRequest) -> Result<EventFilter, Error> {
    let mut violations = Violations::default();
    let severity = severity(&mut violations, request.severity);
    violations.finish()?;
    Ok(EventFilter { graph_id: some(&request.graph_id), severity, ..EventFilter::default() })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty() && text != "-").then(|| text.to_owned())
}

fn topic(violations: &mut Violations, word: &str) -> Option<EventTopic> {
    if word.is_empty() {
        return None;
    }
    violations.take("kind", EventTopic::parse(word).ok_or_else(|| format!("is nothing that events are about: {word}")))
}

pub(in crate::api::grpc) fn to_proto(event: Model) -> v1::Event {
    v1::Event {
        event_id: event.event_id.to_string(),
        created_at: Some(timestamp(event.created_at)),
        kind: event.kind.to_string(),
        severity: severity_to_proto(event.severity),
        graph_id: event.graph_id,
        subject_id: event.subject_id,
        message: event.message,
    }
}
