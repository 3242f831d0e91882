//! Asks every call for the API key, where one is set; and those of other Lightkeeps that bring copies for their own key.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, header};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use crate::base::secret::Secret;
use crate::domain::peer::PeerKey;

/// The domain of our error reasons.
pub const DOMAIN: &str = "lightkeep";

/// Health checks of load balancers come without a key, and tell nothing but whether we serve.
const OPEN_PREFIX: &str = "/grpc.health.v1.Health/";

/// What peer keys open, and nothing else opens.
const PEER_PREFIX: &str = "/lightkeep.v1.ReplicaService/";

/// In the extensions of a request that came with the right key.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated;

/// In the extensions of a request that came with the key of another Lightkeep: its name here.
#[derive(Debug, Clone)]
pub struct AuthenticatedPeer(pub Arc<str>);

/// Who may call.
#[derive(Debug, Clone)]
pub struct Auth {
    key: Option<Arc<Secret>>,
    peers: Arc<[PeerKey]>,
}

/// Who calls.
#[derive(Debug, Clone)]
enum Caller {
    /// Anybody.
    Anonymous,
    /// Whoever has the API key.
    Operator,
    /// Another Lightkeep.
    Peer(Arc<str>),
}

impl Auth {
    /// Calls need `key`; without one everybody may call. What other Lightkeeps call needs the key of one of `peers`, and no other.
    pub fn new(key: Option<Secret>, peers: Vec<PeerKey>) -> Self {
        Self { key: key.map(Arc::new), peers: peers.into() }
    }

    /// Whether calls need the key.
    pub(super) fn is_closed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether this is the key.
    pub(super) fn is_key(&self, candidate: &str) -> bool {
        self.key.as_ref().is_some_and(|key| key.matches(candidate.as_bytes()))
    }

    /// Whether a call of the API with these headers came with the key; `false` where none is needed.
    ///
    /// # Errors
    /// UNAUTHENTICATED, as the API answers it.
    pub(super) fn opens(&self, headers: &HeaderMap) -> Result<bool, Box<Status>> {
        Ok(matches!(self.check("", headers)?, Caller::Operator))
    }

    /// What is secret about the key, for whoever derives something from it.
    pub(super) fn key_bytes(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| key.expose().as_bytes())
    }

    /// Looks for the key in `X-API-Key` and in `Authorization: Bearer`. One right key is enough.
    ///
    /// # Errors
    /// UNAUTHENTICATED with the reason `API_KEY_REQUIRED`, `API_KEY_INVALID` or `PEER_KEY_INVALID`.
    fn check(&self, path: &str, headers: &HeaderMap) -> Result<Caller, Status> {
        if path.starts_with(OPEN_PREFIX) {
            return Ok(Caller::Anonymous);
        }
        let plain = headers.get_all("x-api-key").iter().map(header::HeaderValue::as_bytes);
        let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer_token(value.as_bytes()));
        let mut given = plain.chain(bearer).peekable();
        if path.starts_with(PEER_PREFIX) {
            // All keys are compared, so that the time does not tell which one it is.
            let peers = given.flat_map(|candidate| self.peers.iter().filter(move |peer| peer.key.matches(candidate)));
            let refused = || refusal("PEER_KEY_INVALID", "a key of `LIGHTKEEP_PEER_KEYS` is needed to bring copies here, and no other");
            return peers.last().map(|peer| Caller::Peer(peer.name.as_str().into())).ok_or_else(refused);
        }
        let Some(key) = &self.key else { return Ok(Caller::Anonymous) };
        let is_given = given.peek().is_some();
        if given.any(|candidate| key.matches(candidate)) {
            return Ok(Caller::Operator);
        }
        if is_given {
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
            Ok(caller) => {
                match caller {
                    Caller::Anonymous => {}
                    Caller::Operator => drop(request.extensions_mut().insert(Authenticated)),
                    Caller::Peer(name) => drop(request.extensions_mut().insert(AuthenticatedPeer(name))),
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

    fn reason(result: Result<Caller, Status>) -> Option<String> {
        result.err().map(|status| status.get_details_error_info().unwrap().reason)
    }

    #[test]
    fn one_right_key_opens() {
        let auth = Auth::new(Some(Secret::new("k1".into())), vec![]);
        let check = |pairs: &[(&'static str, &'static str)]| reason(auth.check("/lightkeep.v1.BackupService/GetGraph", &headers(pairs)));
        assert_eq!(check(&[("x-api-key", "k1")]), None);
        assert_eq!(check(&[("authorization", "bearer k1")]), None);
        assert_eq!(check(&[("x-api-key", "wrong"), ("authorization", "Bearer k1")]), None);
        assert_eq!(check(&[]).as_deref(), Some("API_KEY_REQUIRED"));
        assert_eq!(check(&[("authorization", "Basic k1")]).as_deref(), Some("API_KEY_REQUIRED"));
        assert_eq!(check(&[("x-api-key", "k")]).as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(check(&[("authorization", "Bearer k1k")]).as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(reason(auth.check("/grpc.health.v1.Health/Check", &headers(&[]))), None);
        assert_eq!(reason(Auth::new(None, vec![]).check("/x", &headers(&[]))), None);
    }

    #[test]
    fn each_key_opens_its_own_door() {
        let peers = ["berlin", "paris"].map(|name| PeerKey::parse(name, &format!("{name}-0123456789")).unwrap());
        let auth = Auth::new(Some(Secret::new("k1".into())), peers.into());
        let replica = |key| auth.check("/lightkeep.v1.ReplicaService/PutFile", &headers(&[("authorization", key)]));
        assert!(matches!(replica("Bearer paris-0123456789"), Ok(Caller::Peer(name)) if &*name == "paris"));
        assert_eq!(reason(replica("Bearer k1")).as_deref(), Some("PEER_KEY_INVALID"));
        assert_eq!(reason(auth.check("/lightkeep.v1.ReplicaService/PutFile", &headers(&[]))).as_deref(), Some("PEER_KEY_INVALID"));
        let other = auth.check("/lightkeep.v1.BackupService/DeleteSnapshot", &headers(&[("authorization", "Bearer paris-0123456789")]));
        assert_eq!(reason(other).as_deref(), Some("API_KEY_INVALID"));
        // Without an API key too.
        let open = Auth::new(None, vec![]);
        assert_eq!(reason(open.check("/lightkeep.v1.ReplicaService/PutFile", &headers(&[]))).as_deref(), Some("PEER_KEY_INVALID"));
    }
}
