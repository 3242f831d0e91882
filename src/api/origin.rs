//! Whether a browser sends a request for a page of another site: such a page may make people send what they have never seen.

use http::{HeaderMap, header};

/// What speaks for a request from another site. A browser always says one of the two; other programs say neither.
pub(super) fn comes_from_elsewhere(headers: &HeaderMap) -> Option<String> {
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
    fn only_our_own_pages_are_ours() {
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
