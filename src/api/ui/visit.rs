//! A request for a page: who makes it, and what it asks for. Whoever may not see a page does not get this far.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};

use super::failure::Failure;
use super::page::Page;
use super::session::{Session, begin};
use super::{HOME, Ui};
use crate::api::request_id::{self, CallName};
use crate::api::rest::error_answer;
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageKey, PageRequest};
use crate::service::{Error, Services};

/// How many rows a page of a list has.
pub(super) const ROWS: i32 = 50;

/// A request that may be answered.
#[derive(Debug)]
pub(super) struct Visit {
    /// What the pages share.
    pub(super) ui: Arc<Ui>,
    /// The browser's session.
    pub(super) session: Session,
    /// When it came.
    pub(super) now: Timestamp,
    /// The path.
    pub(super) path: String,
    query: HashMap<String, String>,
    has_key: bool,
    name: Option<String>,
}

impl Visit {
    /// The use-cases.
    pub(super) fn services(&self) -> &Services {
        &self.ui.services
    }

    /// Who asks, as the audit trail names it.
    pub(super) fn caller(&self) -> Caller {
        Caller { name: if self.has_key { "api-key" } else { "anonymous" }, request_id: self.name.clone() }
    }

    /// A word of the query; empty where it is not there.
    pub(super) fn asked(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The whole query.
    pub(super) fn query(&self) -> &HashMap<String, String> {
        &self.query
    }

    /// The page of a list that is asked for.
    pub(super) fn list<K: PageKey>(&self) -> Result<PageRequest<K>, Failure> {
        let page = PageRequest::parse(ROWS, self.asked("page"));
        page.map_err(|(field, description)| Error::invalid(field, description).into())
    }

    /// The link to the next page of this list.
    pub(super) fn next(&self, token: Option<String>) -> Option<String> {
        let kept = self.query.iter().filter(|(name, value)| *name != "page" && !value.is_empty());
        let mut kept: Vec<String> = kept.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        kept.sort_unstable();
        kept.push(format!("page={}", encoded(&token?)));
        Some(format!("{}?{}", self.path, kept.join("&")))
    }

    /// The frame of a page.
    pub(super) fn page(&self, title: impl Into<String>) -> Page {
        Page::new(&self.ui, &self.session, title, &self.path)
    }
}

/// A graph's id out of a path or a query; one that is none names no graph.
pub(super) fn graph_id(text: &str) -> Result<GraphId, Failure> {
    GraphId::parse(text).map_err(|_| Error::NotFound { kind: "Graph", id: text.to_owned() }.into())
}

impl FromRequestParts<Arc<Ui>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, ui: &Arc<Ui>) -> Result<Self, Response> {
        let now = ui.services.now();
        let session = parts.extensions.get::<Session>().cloned().unwrap_or_else(|| begin(false, now));
        let has_key = session.is_operator && ui.auth.is_closed();
        let has_key = if has_key { true } else { ui.auth.opens(&parts.headers).map_err(|status| turned_away(parts, &status))? };
        let mut query: HashMap<String, String> = Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default();
        // No database can store such a character, so nothing is found by it.
        query.retain(|_, value| !value.contains('\0'));
        let name = parts.extensions.get::<CallName>().map(|name| name.as_str().to_owned());
        Ok(Self { ui: Arc::clone(ui), session, now, path: parts.uri.path().to_owned(), query, has_key, name })
    }
}

/// To the login for whoever looks with a browser; to programs what the API says.
fn turned_away(parts: &Parts, status: &tonic::Status) -> Response {
    if !accepts_html(&parts.headers) {
        return error_answer(status, None, parts.headers.get(request_id::HEADER));
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Failure::new(http::StatusCode::UNAUTHORIZED, "your session is over: log in and do it again").into_response();
    }
    let wanted = parts.uri.path_and_query().map_or(HOME, http::uri::PathAndQuery::as_str);
    Redirect::to(&format!("{HOME}/login?next={}", encoded(wanted))).into_response()
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().filter_map(|value: &HeaderValue| value.to_str().ok()).any(|value| value.contains("text/html"))
}
