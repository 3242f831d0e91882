//! What a form must prove before it changes anything: that it is one of ours, sent from one of our pages.

use std::collections::HashMap;

use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use http::{HeaderMap, StatusCode, header};

use super::Ui;
use super::failure::Failure;
use super::session::Session;

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

/// What speaks for a request from another site. A browser always says one of the two; other programs need the token anyway.
fn comes_from_elsewhere(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if let Some(site) = text("sec-fetch-site").filter(|site| !matches!(*site, "same-origin" | "none")) {
        return Some(format!("Sec-Fetch-Site is {site}"));
    }
    let origin = text(header::ORIGIN.as_str())?;
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    let is_ours = |name: &str| text(name).is_some_and(|own| own.eq_ignore_ascii_case(host));
    let is_ours = !host.is_empty() && (is_ours("host") || is_ours("x-forwarded-host"));
    (!is_ours).then(|| format!("Origin is {origin}"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_our_own_pages_send_forms() {
        let elsewhere = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            comes_from_elsewhere(&pairs.collect()).is_some()
        };
        let host = ("host", "backup.example:9621");
        assert!(!elsewhere(&[host]));
        assert!(!elsewhere(&[host, ("origin", "http://backup.example:9621"), ("sec-fetch-site", "same-origin")]));
        assert!(!elsewhere(&[("host", "inside:1"), ("x-forwarded-host", "out.example"), ("origin", "https://out.example")]));
        assert!(elsewhere(&[host, ("origin", "http://evil.example")]));
        assert!(elsewhere(&[host, ("origin", "null")]));
        assert!(elsewhere(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(elsewhere(&[host, ("sec-fetch-site", "same-site")]));
        // HTTP/2 has no `host` header.
        assert!(elsewhere(&[("origin", "http://backup.example:9621")]));
    }
}
