//! Logging in with the API key, and out again.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, StatusCode, header};

use super::failure::Failure;
use super::frame::is_https;
use super::guard::{Fields, own_form};
use super::page::{Page, render};
use super::session::{Session, begin, forget};
use super::{HOME, Ui};

/// How long a wrong key is thought about: nobody tries many.
const THINKING: Duration = Duration::from_millis(500);

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    page: Page,
    next: &'a str,
    is_wrong: bool,
}

/// Asks for the key.
pub(super) async fn show(
    State(ui): State<Arc<Ui>>,
    Extension(session): Extension<Session>,
    query: Result<Query<Fields>, QueryRejection>,
) -> Result<Response, Failure> {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let next = own_path(query.get("next").map(String::as_str).unwrap_or_default());
    if !ui.auth.is_closed() || session.is_operator {
        return Ok(Redirect::to(next).into_response());
    }
    form(&ui, &session, next, false)
}

fn form(ui: &Ui, session: &Session, next: &str, is_wrong: bool) -> Result<Response, Failure> {
    let page = Page { links: Vec::new(), ..Page::new(ui, session, "Log in", "") };
    render(&LoginPage { page, next, is_wrong })
}

/// Takes the key, and gives a session for it.
pub(super) async fn log_in(
    State(ui): State<Arc<Ui>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    fields: Result<Form<Fields>, FormRejection>,
) -> Result<Response, Failure> {
    let fields = own_form(&ui, &session, &headers, fields)?;
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let next = own_path(field("next"));
    if !ui.auth.is_key(field("key")) {
        tokio::time::sleep(THINKING).await;
        return Ok((StatusCode::FORBIDDEN, form(&ui, &session, next, true)?).into_response());
    }
    let mut response = Redirect::to(next).into_response();
    // A new session: nobody knows its id from before.
    if let Some(cookie) = ui.sessions.cookie(&begin(true, ui.services.now()), is_https(&headers)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends the session.
pub(super) async fn log_out(
    State(ui): State<Arc<Ui>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    fields: Result<Form<Fields>, FormRejection>,
) -> Result<Response, Failure> {
    own_form(&ui, &session, &headers, fields)?;
    // Whoever has not logged in has nothing to end, and must not fill the memory.
    if session.is_operator {
        ui.sessions.end(&session, ui.services.now());
    }
    let mut response = Redirect::to(&format!("{HOME}/login")).into_response();
    if let Some(cookie) = forget() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Back to the first page, for whoever only looks.
pub(super) async fn home() -> Redirect {
    Redirect::to(HOME)
}

/// The path after the login; only one of ours.
fn own_path(next: &str) -> &str {
    let is_ours = next.strip_prefix(HOME).is_some_and(|below| below.is_empty() || below.starts_with(['/', '?']));
    if is_ours && !next.contains(|c: char| c == '\\' || c.is_control()) { next } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_our_own_pages_only() {
        for own in [HOME, "/api/monitoring/dashboard/graphs?page=x", "/api/monitoring/dashboard?x=1"] {
            assert_eq!(own_path(own), own);
        }
        for other in ["", "https://evil.example", "//evil.example", "/api/monitoring/dashboardx", "/api/monitoring/dashboard/\\evil"] {
            assert_eq!(own_path(other), HOME);
        }
    }
}
