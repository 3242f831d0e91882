//! What all pages have around their own part: title, links, the session's token; and the pages that say that there is none.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use super::failure::Failure;
use super::session::Session;
use super::visit::Visit;
use super::{HOME, Ui, static_files};

/// The frame of a page, for its template.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// What it is about.
    pub(super) title: String,
    /// The links of the head.
    pub(super) links: Vec<Link>,
    /// The path of the first page.
    pub(super) home: &'static str,
    /// The style sheet.
    pub(super) css: String,
    /// The script.
    pub(super) js: String,
    /// The mark of our forms.
    pub(super) token: String,
    /// There is a session that can be ended.
    pub(super) is_logged_in: bool,
    /// The visitor may see what the stream tells.
    pub(super) is_live: bool,
    /// The program's version.
    pub(super) version: &'static str,
    /// Backups are served.
    pub(super) backup: bool,
    /// Recovery is served.
    pub(super) recovery: bool,
    /// Targets are served.
    pub(super) replication: bool,
    /// Alerts are looked for.
    pub(super) alerts: bool,
}

/// A link of the head.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Where it leads.
    pub(super) path: String,
    /// What is there.
    pub(super) name: &'static str,
    /// We are there, or below it.
    pub(super) is_here: bool,
}

impl Page {
    /// A page under this path.
    pub(super) fn new(ui: &Ui, session: &Session, title: impl Into<String>, path: &str) -> Self {
        let features = ui.features;
        let all = [
            ("", "Overview", true),
            ("/graphs", "Graphs", true),
            ("/operations", "Operations", true),
            ("/schedules", "Schedules", features.backup),
            ("/targets", "Targets", features.replication),
            ("/checkpoints", "Checkpoints", features.recovery),
            ("/failovers", "Failovers", features.recovery),
            ("/drills", "Drills", features.recovery),
            ("/alerts", "Alerts", features.alerts),
            ("/events", "Events", true),
            ("/metrics", "Metrics", true),
            ("/instances", "Instances", true),
        ];
        let links = all.into_iter().filter(|(_, _, is_served)| *is_served).map(|(below, name, _)| {
            let link = format!("{HOME}{below}");
            let is_here = if below.is_empty() { path == HOME || path == "/" } else { path.starts_with(&link) };
            Link { path: link, name, is_here }
        });
        Self {
            title: title.into(),
            links: links.collect(),
            home: HOME,
            css: static_files::css_path(),
            js: static_files::js_path(),
            token: ui.sessions.token(session),
            is_logged_in: ui.auth.is_closed() && session.is_operator,
            is_live: !ui.auth.is_closed() || session.is_operator,
            version: env!("CARGO_PKG_VERSION"),
            backup: features.backup,
            recovery: features.recovery,
            replication: features.replication,
            alerts: features.alerts,
        }
    }
}

/// The page of a template.
pub(super) fn render(template: &impl Template) -> Result<Response, Failure> {
    Ok(Html(template.render()?).into_response())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: Page,
    status: u16,
    message: &'a str,
    request_id: &'a str,
}

/// The page of a failure.
pub(super) fn error_page(ui: &Ui, session: &Session, failure: Failure, request_id: &str) -> Response {
    let Failure { status, message, .. } = failure;
    let reason = status.canonical_reason().unwrap_or("Error");
    let page = Page::new(ui, session, reason, "");
    let page = Page { is_live: page.is_live && status != StatusCode::SERVICE_UNAVAILABLE, ..page };
    let template = ErrorPage { page, status: status.as_u16(), message: &message, request_id };
    let mut response = match template.render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(_) => (status, message.clone()).into_response(),
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let again = HeaderValue::from_static("5");
        response.headers_mut().insert(header::RETRY_AFTER, again.clone());
        // So that it comes back by itself, without a script too.
        response.headers_mut().insert(header::REFRESH, again);
    }
    response
}

/// A path of ours at which there is no page.
pub(super) async fn unknown(visit: Visit) -> Failure {
    Failure::unknown(format!("there is no page at {}", visit.path))
}

/// A page that is asked for by a method that it does not have.
pub(super) async fn wrong_method(State(_): State<Arc<Ui>>, _: Uri) -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this page can be looked at only")
}
