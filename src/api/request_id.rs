//! Gives each call a name: the caller's own `x-request-id` or a fresh one. It is in the call's span, in error answers and on the response.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::base::clock::Clock;
use crate::base::ids::{IdSource, RequestId};
use crate::base::trace;

/// The header that carries a call's name in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name that is taken from a caller.
const LONGEST: usize = 64;

/// A call's name, in the extensions of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallName(Arc<str>);

impl CallName {
    /// The name as text: visible ASCII only.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_caller(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let fits = !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(u8::is_ascii_graphic);
        if fits { value.to_str().ok().map(|text| Self(text.into())) } else { None }
    }
}

/// Puts [`NamedCalls`] around a service.
#[derive(Debug, Clone)]
pub struct RequestIdLayer {
    ids: Arc<IdSource>,
    clock: Arc<dyn Clock>,
}

impl RequestIdLayer {
    /// Takes fresh names from `ids`.
    pub fn new(ids: Arc<IdSource>, clock: Arc<dyn Clock>) -> Self {
        Self { ids, clock }
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = NamedCalls<S>;

    fn layer(&self, inner: S) -> NamedCalls<S> {
        NamedCalls { inner, ids: self.ids.clone(), clock: self.clock.clone() }
    }
}

/// A service whose calls have names.
#[derive(Debug, Clone)]
pub struct NamedCalls<S> {
    inner: S,
    ids: Arc<IdSource>,
    clock: Arc<dyn Clock>,
}

impl<S, B, R> Service<Request<B>> for NamedCalls<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let name = request.headers().get(HEADER).and_then(CallName::from_caller).unwrap_or_else(|| {
            let id = RequestId::new(&self.ids, self.clock.now());
            CallName(id.to_string().into())
        });
        // Cannot fail: visible ASCII only. A name that is no header is left out rather than answered with a panic.
        let header = HeaderValue::from_str(name.as_str()).ok();
        if let Some(header) = &header {
            request.headers_mut().insert(HEADER, header.clone());
        }
        let empty = tracing::field::Empty;
        let span = tracing::info_span!("call", method = request.uri().path(), request_id = name.as_str(), trace_id = empty);
        trace::go_on(&span, request.headers());
        if let Some(id) = trace::id_of(&span) {
            span.record("trace_id", id);
        }
        request.extensions_mut().insert(name);
        let answer = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        let named = async move {
            let mut response = answer.await?;
            if let Some(header) = header {
                response.headers_mut().insert(HEADER, header);
            }
            Ok(response)
        };
        Box::pin(named.instrument(span))
    }
}
