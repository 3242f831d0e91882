//! What becomes of a page that cannot be shown. The frame makes the page of it, which knows the request's name.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::api::rest::http_status;
use crate::api::status::code;
use crate::service::Error;

/// Why a page cannot be shown; in the extensions of its answer.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// For people.
    pub(super) message: String,
    /// The database has failed: is it there at all?
    pub(super) is_database: bool,
    /// For the log.
    hidden: Option<Arc<Error>>,
}

impl Failure {
    /// A failure with a text of ours.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), is_database: false, hidden: None }
    }

    /// There is no such page.
    pub(super) fn unknown(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// The database does not answer.
    pub(super) fn no_database() -> Self {
        let message = "the metadata database does not answer: pages come back by themselves when it does";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// Writes what must not be shown to the log, once.
    pub(super) fn log(&self) {
        if let Some(error) = &self.hidden {
            tracing::error!(error = error.chain(), "a page cannot be shown");
        }
    }
}

impl From<Error> for Failure {
    /// By the tables that the API's doors use.
    fn from(error: Error) -> Self {
        let status = http_status(code(error.kind()));
        if !error.is_hidden() {
            return Self::new(status, error.to_string());
        }
        let is_database = matches!(error, Error::Store(_));
        Self { status, message: "internal error, the server's log tells more".to_owned(), is_database, hidden: Some(Arc::new(error)) }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::from(Error::internal("render a page", error))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
