//! The style sheet, the script and the icon: in the program itself, under names that change with their content.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use sha2::{Digest as _, Sha256};

use super::HOME;
use super::frame::add_headers;

const CSS: &str = include_str!("static/dashboard.css");
const JS: &str = include_str!("static/dashboard.js");
const ICON: &str = include_str!("static/icon.svg");

/// Browsers need not ask again: what changes has another name.
const FOREVER: &str = "public, max-age=31536000, immutable";

static CSS_PATH: LazyLock<String> = LazyLock::new(|| path_of(CSS, "css"));
static JS_PATH: LazyLock<String> = LazyLock::new(|| path_of(JS, "js"));

fn path_of(content: &str, kind: &str) -> String {
    let hash = hex::encode(Sha256::digest(content));
    format!("{HOME}/static/dashboard.{}.{kind}", &hash[..16])
}

/// Where the style sheet is.
pub(super) fn css_path() -> String {
    CSS_PATH.clone()
}

/// Where the script is.
pub(super) fn js_path() -> String {
    JS_PATH.clone()
}

/// Serves them, without a key: they tell nothing.
pub(super) fn router() -> Router {
    let file = |content: &'static str, kind: &'static str| get(move || async move { answer(content, kind) });
    Router::new()
        .route(&css_path(), file(CSS, "text/css; charset=utf-8"))
        .route(&js_path(), file(JS, "text/javascript; charset=utf-8"))
        .route(&format!("{HOME}/static/icon.svg"), file(ICON, "image/svg+xml"))
}

fn answer(content: &'static str, kind: &'static str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    add_headers(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    response
}
