//! What a form must prove before it changes anything: that it is one of ours, sent from one of our pages.

use std::collections::HashMap;

use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use http::{HeaderMap, StatusCode};

use super::Ui;
use super::failure::Failure;
use super::session::Session;
use crate::api::origin::comes_from_elsewhere;

/// The fields of a form.
pub(super) type Fields = HashMap<String, String>;

/// The fields of a form that is ours.
///
/// # Errors
/// 403 where it comes from another site, or does not carry the session's token.
pub(super) fn own_form(
    ui: &Ui,
    session: &Session,
    headers: &HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Result<Fields, Failure> {
    if let Some(why) = comes_from_elsewhere(headers) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            format!("this form was not sent from a page of this server, nothing was done: {why}"),
        ));
    }
    let Form(fields) = form.map_err(|error| Failure::new(error.status(), "the form cannot be read, nothing was done"))?;
    let token = fields.get("token").map(String::as_str).unwrap_or_default();
    if session.is_new || !ui.sessions.is_token(session, token) {
        let message = "this form does not carry the token of your session, nothing was done: open the page again, and send it from there";
        return Err(Failure::new(StatusCode::FORBIDDEN, message));
    }
    Ok(fields)
}
