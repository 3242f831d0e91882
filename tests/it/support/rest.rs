//! Requests over HTTP, as scripts make them.

use reqwest::redirect::Policy;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::app::TestApp;

/// Where the graphs are.
pub(crate) const GRAPHS: &str = "/api/backup/backup/graphs";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
    /// Null where the text is no JSON.
    pub(crate) json: Json,
}

impl Answer {
    /// The value of a header; empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The JSON of an answer that has to be a good one.
    pub(crate) fn ok(self) -> Json {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        self.json
    }

    /// Status and text of an answer that has to be an error in our form.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        assert!(self.json["code"].is_string() && self.json["request_id"].is_string(), "{}", self.text);
        (self.status, self.json["detail"].as_str().unwrap_or_default())
    }
}

/// A client that follows no redirects.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).build().unwrap()
}

pub(crate) async fn send(app: &TestApp, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let mut request = client().request(method.parse().unwrap(), app.url(path)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, json }
}

pub(crate) async fn get(app: &TestApp, path: &str) -> Answer {
    send(app, "GET", path, &[], "").await
}

pub(crate) async fn delete(app: &TestApp, path: &str) -> Answer {
    send(app, "DELETE", path, &[], "").await
}

pub(crate) async fn post(app: &TestApp, path: &str, body: &Json) -> Answer {
    send(app, "POST", path, &[("content-type", "application/json")], body.to_string()).await
}

/// Sends a path as it is written: clients such as reqwest resolve `..` and `%2e%2e` before they send anything.
pub(crate) async fn raw(app: &TestApp, method: &str, path: &str, body: &Json) -> (u16, Json) {
    let mut connection = tokio::net::TcpStream::connect(app.server.http_addr()).await.unwrap();
    let (body, host) = (body.to_string(), app.server.http_addr());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// The events of an operation, up to the last: the operation has ended then.
pub(crate) async fn watch(app: &TestApp, operation_id: &str) -> Vec<Json> {
    let answer = get(app, &format!("/api/operations/{operation_id}/watch")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    let events = answer.text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    events.map(|event| serde_json::from_str(event).unwrap()).collect()
}
