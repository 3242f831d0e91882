//! Nothing is done without a question before it: the page that asks, and the form that it sends.

use askama::Template;
use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{Form, Path};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::HeaderMap;

use super::actions::{Action, Verb};
use super::failure::Failure;
use super::guard::{Fields, own_form};
use super::page::{Page, render};
use super::visit::Visit;
use crate::base::ids::RequestId;
use crate::service::Error;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    page: Page,
    path: String,
    action: Action,
    says: &'static str,
    subject: String,
    wants_reason: bool,
    wants_level: bool,
    wants_comment: bool,
    request_id: String,
    back: String,
}

/// Asks whether something is really to be done.
pub(super) async fn ask(visit: Visit, verb: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let verb = verb_of(&visit, verb)?;
    let action = Action::parse(verb, visit.query())?;
    action.check(visit.services()).await?;
    let graph = action.graph_id.as_ref().map(|graph_id| format!("graph {graph_id}"));
    let id = Some(action.id.clone()).filter(|id| !id.is_empty());
    render(&ConfirmPage {
        page: visit.page(verb.title()),
        path: visit.path.clone(),
        says: verb.says(),
        subject: [id, graph].into_iter().flatten().collect::<Vec<_>>().join(" of "),
        wants_reason: verb == Verb::Pin,
        wants_level: verb == Verb::Verify,
        wants_comment: verb == Verb::Acknowledge,
        // A form that is sent twice is done once.
        request_id: RequestId::new(visit.services().ids(), visit.now).to_string(),
        back: action.back(),
        action,
    })
}

/// Does it, and leads to where one sees what comes of it.
pub(super) async fn act(
    visit: Visit,
    verb: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    fields: Result<Form<Fields>, FormRejection>,
) -> Result<Response, Failure> {
    let fields = own_form(&visit.ui, &visit.session, &headers, fields)?;
    let action = Action::parse(verb_of(&visit, verb)?, &fields)?;
    action.check_reason()?;
    let request_id = request_id(&fields)?;
    let seen_at = action.run(visit.services(), &visit.caller(), request_id).await?;
    Ok(Redirect::to(&seen_at).into_response())
}

/// The name by which a form is done once; none where it brings none.
fn request_id(fields: &Fields) -> Result<Option<String>, Error> {
    let Some(text) = fields.get("request_id").filter(|text| !text.is_empty()) else { return Ok(None) };
    let id = RequestId::parse(text).ok_or_else(|| Error::invalid("request_id", format_args!("must be a UUID: {text}")))?;
    Ok(Some(id.to_string()))
}

fn verb_of(visit: &Visit, verb: Result<Path<String>, PathRejection>) -> Result<Verb, Failure> {
    let word = verb.map(|Path(word)| word).unwrap_or_default();
    Verb::parse(&word, visit.ui.features)
}
