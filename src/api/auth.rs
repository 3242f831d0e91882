//! Asks every call for the API key, where one is set.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, header};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use crate::base::secret::Secret;

/// The domain of our error reasons.
pub const DOMAIN: &str = "lightkeep";

/// Health checks of load balancers come without a key, and tell nothing but whether we serve.
const OPEN_PREFIX: &str = "/grpc.health.v1.Health/";

/// In the extensions of a request that came with the right key.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated;

/// Who may call.
#[derive(Debug, Clone)]
pub struct Auth {
    key: Option<Arc<Secret>>,
}

impl Auth {
    /// Calls need `key`; without one everybody may call.
    pub fn new(key: Option<Secret>) -> Self {
        Self { key: key.map(Arc::new) }
    }

    /// Looks for the key in `X-API-Key` and in `Authorization: Bearer`. One right key is enough.
    ///
    /// # Errors
    /// UNAUTHENTICATED with the reason `API_KEY_REQUIRED` or `API_KEY_INVALID`.
    pub fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Status> {
        let Some(key) = &self.key else { return Ok(()) };
        if path.starts_with(OPEN_PREFIX) {
            return Ok(());
        }
        let plain = headers.get_all("x-api-key").iter().map(header::HeaderValue::as_bytes);
        let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer_token(value.as_bytes()));
        let mut given = false;
        for candidate in plain.chain(bearer) {
            given = true;
            if key.matches(candidate) {
                return Ok(());
            }
        }
        if given {
            Err(refusal("API_KEY_INVALID", "the API key is not valid: send the server's key as `X-API-Key` or `Authorization: Bearer`"))
        } else {
            Err(refusal("API_KEY_REQUIRED", "an API key is required: send it as `X-API-Key` or `Authorization: Bearer`"))
        }
    }
}

fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn refusal(reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::<String, String>::new());
    Status::with_error_details(tonic::Code::Unauthenticated, message, details)
}

/// Puts [`Guarded`] around a service.
#[derive(Debug, Clone)]
pub struct AuthLayer(Auth);

impl AuthLayer {
    /// Guards with `auth`.
    pub fn new(auth: Auth) -> Self {
        Self(auth)
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, auth: self.0.clone() }
    }
}

/// A service that is reached with the key only.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    auth: Auth,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.auth.check(request.uri().path(), request.headers()) {
            Ok(()) => {
                if self.auth.key.is_some() {
                    request.extensions_mut().insert(Authenticated);
                }
                Box::pin(self.inner.call(request))
            }
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))).collect()
    }

    fn reason(result: Result<(), Status>) -> Option<String> {
        result.err().map(|status| status.get_details_error_info().unwrap().reason)
    }

    #[test]
    fn one_right_key_opens() {
        let auth = Auth::new(Some(Secret::new("k1".into())));
        let check = |pairs: &[(&'static str, &'static str)]| reason(auth.check("/lightkeep.v1.BackupService/GetGraph", &headers(pairs)));
        assert_eq!(check(&[("x-api-key", "k1")]), None);
        assert_eq!(check(&[("authorization", "bearer k1")]), None);
        assert_eq!(check(&[("x-api-key", "wrong"), ("authorization", "Bearer k1")]), None);
        assert_eq!(check(&[]).as_deref(), Some("API_KEY_REQUIRED"));
        assert_eq!(check(&[("authorization", "Basic k1")]).as_deref(), Some("API_KEY_REQUIRED"));
        assert_eq!(check(&[("x-api-key", "k")]).as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(check(&[("authorization", "Bearer k1k")]).as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(reason(auth.check("/grpc.health.v1.Health/Check", &headers(&[]))), None);
        assert_eq!(reason(Auth::new(None).check("/x", &headers(&[]))), None);
    }
}
