//! A LightRAG server's real answers, and what follows from them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lightkeep::base::control::Control;
use lightkeep::base::secret::Secret;
use lightkeep::lightrag::Error;
use lightkeep::lightrag::server::{Server, Waited};
use tokio_util::sync::CancellationToken;

/// A server that gives recorded answers in order, the last for ever, and keeps what was asked.
struct Recorded {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn answer(name: &str) -> (u64, String) {
    if let Some(location) = name.strip_prefix("redirect ") {
        return (307, location.to_owned());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lightrag-server").join(format!("{name}.json"));
    let recorded: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    (recorded["status"].as_u64().unwrap(), recorded["body"].to_string())
}

fn recorded(health: &'static [&'static str], status: &'static [&'static str]) -> Recorded {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&asked);
    thread::spawn(move || {
        let mut answers: [VecDeque<&str>; 2] = [health.iter().copied().collect(), status.iter().copied().collect()];
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while lines.read_line(&mut request).unwrap() > 2 {}
            let of = usize::from(!request.starts_with("GET /health "));
            let name = if answers[of].len() > 1 { answers[of].pop_front().unwrap() } else { answers[of][0] };
            keeps.lock().unwrap().push(request);
            let (status, body) = answer(name);
            let location = if status == 307 { format!("Location: {body}\r\n") } else { String::new() };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\n{location}Content-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    Recorded { url, asked }
}

fn server(recorded: &Recorded) -> Server {
    Server::new(&recorded.url, Some(Secret::new("test-key-1".into()))).unwrap()
}

#[tokio::test]
async fn an_idle_server_is_quiet_and_gets_the_key() {
    for (health, status) in [(&["health_auth"], &["pipeline_status_idle"]), (&["health_noauth"], &["jwt_pipeline_status"])] {
        let recorded = recorded(health, status);
        let quiescence = server(&recorded).quiescence().await.unwrap();
        assert!(quiescence.is_quiet());
        assert_eq!(quiescence.core_version.as_deref(), Some("1.5.7"));
        assert!(recorded.asked.lock().unwrap().iter().all(|request| request.to_lowercase().contains("x-api-key: test-key-1")));
    }
}

#[tokio::test]
async fn a_busy_or_dirty_server_is_not_quiet() {
    let busy = server(&recorded(&["health_busy"], &["pipeline_status_cancelling"])).quiescence().await.unwrap();
    assert_eq!(busy.why(), "its pipeline is active, and rows are not flushed in: doc_status, text_chunks");
    let dirty = server(&recorded(&["health_auth"], &["pipeline_status_after_cancel"])).quiescence().await.unwrap();
    assert!(!dirty.pipeline_active);
    assert_eq!(dirty.dirty_namespaces, ["text_chunks"]);
}

#[tokio::test]
async fn waiting_ends_when_it_is_quiet_or_the_time_is_up() {
    let control = Control::default();
    let recorded_twice = recorded(&["health_busy", "health_auth"], &["pipeline_status_busy", "pipeline_status_idle"]);
    let waited = server(&recorded_twice).wait_until_quiet(Duration::from_secs(20), Duration::from_millis(5), &control).await;
    assert!(matches!(waited, Ok(Waited::Quiet(_))));
    let busy = server(&recorded(&["health_busy"], &["pipeline_status_busy"]));
    let waited = busy.wait_until_quiet(Duration::from_millis(30), Duration::from_millis(5), &control).await;
    assert!(matches!(waited, Ok(Waited::StillBusy { why, .. }) if why.contains("pipeline is active")));
    let token = CancellationToken::new();
    token.cancel();
    let waited = busy.wait_until_quiet(Duration::from_secs(20), Duration::from_secs(5), &Control::new(token)).await;
    assert!(matches!(waited, Err(Error::Cancelled(_))));
}

#[tokio::test]
async fn it_tells_which_directory_it_serves() {
    let told = server(&recorded(&["health_auth"], &["pipeline_status_idle"]));
    assert_eq!(told.serves_directory(Path::new("/srv/lightrag/rag_storage")).await.unwrap(), Some(true));
    assert_eq!(told.serves_directory(Path::new("/srv/lightrag/rag_storage/tenant_b")).await.unwrap(), Some(false));
    let silent = server(&recorded(&["health_noauth"], &["pipeline_status_idle"]));
    assert_eq!(silent.serves_directory(Path::new("/srv/lightrag/rag_storage")).await.unwrap(), None);
}

#[tokio::test]
async fn failures_are_told_apart_and_the_key_follows_no_redirect() {
    let denied = server(&recorded(&["status_counts_badkey"], &["pipeline_status_idle"]));
    assert!(matches!(denied.quiescence().await, Err(Error::ServerDenied { status: 403, .. })));
    let thief = recorded(&["health_auth"], &["pipeline_status_idle"]);
    let location: &'static str = Box::leak(format!("redirect {}/health", thief.url).into_boxed_str());
    let redirecting = server(&recorded(Box::leak(Box::new([location])), &["pipeline_status_idle"]));
    assert!(matches!(redirecting.quiescence().await, Err(Error::ServerAnswer { status: 307, .. })));
    assert!(thief.asked.lock().unwrap().is_empty());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Server::new(&format!("http://{nobody}/prefix/"), None).unwrap();
    assert!(matches!(gone.quiescence().await, Err(Error::ServerUnreachable { url, .. }) if url.ends_with("/prefix/health")));
    for address in ["", "lightrag:9621", "file:///etc/passwd", "ftp://x"] {
        assert!(matches!(Server::new(address, None), Err(Error::ServerAddress { .. })), "{address}");
    }
}
