//! Webhooks: a body that is posted, with a proof of where it comes from.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use reqwest::{Client, redirect};
use sha2::Sha256;

use crate::base::secret::Secret;
use crate::base::trace;

/// The header that proves where a webhook comes from: `sha256=` and the HMAC-SHA256 of its body by the secret, in hex.
const SIGNATURE: &str = "X-Lightkeep-Signature-256";

/// What is posted, and where to.
pub(super) struct Post<'a> {
    /// The address may hold a token: it is never told.
    pub(super) url: &'a str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    /// Signs the body, where there is one.
    pub(super) secret: Option<&'a Secret>,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// Why it did not arrive.
pub(super) enum PostFailure {
    TimedOut,
    Failed(String),
}

impl Post<'_> {
    /// Posts it; every status of success will do.
    pub(super) async fn send(self) -> Result<(), PostFailure> {
        // The body goes to this address only: not along redirects, and not to a proxy that the environment names.
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(self.limit).build();
        let client = client.map_err(|error| PostFailure::Failed(error.without_url().to_string()))?;
        let mut headers = HeaderMap::new();
        trace::name_to(&mut headers);
        let mut request = client.post(self.url).headers(headers).header("Content-Type", self.content_type);
        if let Some(secret) = self.secret {
            request = request.header(SIGNATURE, signature(secret, self.body.as_bytes()));
        }
        match request.body(self.body).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(PostFailure::Failed(format!("it answered {}", response.status().as_u16()))),
            Err(error) if error.is_timeout() => Err(PostFailure::TimedOut),
            Err(error) => Err(PostFailure::Failed(format!("it cannot be reached: {}", error.without_url()))),
        }
    }
}

/// What proves that a body is ours.
fn signature(secret: &Secret, body: &[u8]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second test case of RFC 4231.
    #[test]
    fn bodies_are_signed_by_hmac_sha_256() {
        let signed = signature(&Secret::new("Jefe".to_owned()), b"what do ya want for nothing?");
        assert_eq!(signed, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
