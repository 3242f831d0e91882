//! Whoever is told by webhooks.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value as Json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What came by a webhook.
pub(crate) struct Posted {
    pub(crate) head: String,
    pub(crate) body: String,
    /// What the body says.
    pub(crate) event: Json,
}

impl Posted {
    /// Expects it to be signed with this secret.
    pub(crate) fn assert_signed(&self, secret: &str) {
        let signature = self.head.lines().find_map(|line| line.strip_prefix("x-lightkeep-signature-256: sha256=")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(self.body.as_bytes());
        assert_eq!(hex::encode(mac.finalize().into_bytes()), signature);
    }
}

/// Reads one request.
pub(crate) async fn read(connection: &mut TcpStream) -> Posted {
    let mut text = String::new();
    loop {
        let mut piece = [0; 4096];
        let length = connection.read(&mut piece).await.unwrap();
        assert!(length > 0, "the request is not whole: {text}");
        text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return Posted { head: head.to_owned(), body: body.to_owned(), event: serde_json::from_str(body).unwrap() };
        }
    }
}

/// Answers one request with this status.
pub(crate) async fn receive(listener: &TcpListener, status: &str) -> Posted {
    let (mut connection, _) = listener.accept().await.unwrap();
    let posted = read(&mut connection).await;
    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n");
    connection.write_all(answer.as_bytes()).await.unwrap();
    posted
}
