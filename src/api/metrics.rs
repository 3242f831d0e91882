//! Counts calls by the code of their answers and the time until these were given. The code of a gRPC answer is in its trailers, so it is
//! counted when its body has ended, or when the caller has gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body as HttpBody;
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::Next;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::service::Services;
use crate::telemetry::Request as Counted;

/// What a method is counted as that nobody serves: callers must not choose how many there are.
const UNKNOWN: &str = "unknown";

/// Puts [`CountedCalls`] around a service.
#[derive(Debug, Clone)]
pub struct MetricsLayer {
    services: Services,
    methods: std::sync::Arc<[String]>,
}

impl MetricsLayer {
    /// Counts the calls of these methods by their names: `package.Service/Method`.
    pub fn new(services: Services, methods: Vec<String>) -> Self {
        Self { services, methods: methods.into() }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = CountedCalls<S>;

    fn layer(&self, inner: S) -> CountedCalls<S> {
        CountedCalls { inner, layer: self.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub struct CountedCalls<S> {
    inner: S,
    layer: MetricsLayer,
}

impl<S, B> Service<Request<B>> for CountedCalls<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asked = request.uri().path().trim_start_matches('/');
        let method = self.layer.methods.iter().find(|method| *method == asked).map_or(UNKNOWN, String::as_str).to_owned();
        // Whoever goes away before the answer counts as having cancelled.
        let mut call = Call { services: self.layer.services.clone(), method, began: Instant::now(), code: Some(Code::Cancelled) };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            call.learn(response.headers());
            Ok(response.map(|inner| Body::new(CountedBody { inner, call })))
        })
    }
}

/// A call that is counted when it is dropped.
struct Call {
    services: Services,
    method: String,
    began: Instant,
    code: Option<Code>,
}

impl Call {
    fn learn(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.code = Some(status.code());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Unknown);
        let code = format!("{code:?}");
        let duration = self.began.elapsed();
        self.services.telemetry().count_request(&Counted { door: "grpc", method: &self.method, code: &code, duration });
    }
}

struct CountedBody {
    inner: Body,
    call: Call,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(trailers) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref()) {
            self.call.learn(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

/// Counts calls over HTTP; what is gRPC there is counted as that.
pub async fn count_http(State(services): State<Services>, request: HttpRequest, next: Next) -> Response<HttpBody> {
    let (method, began) = (request.method().clone(), Instant::now());
    let response = next.run(request).await;
    let is_known =
        [http::Method::GET, http::Method::HEAD, http::Method::POST, http::Method::PUT, http::Method::PATCH, http::Method::DELETE];
    let method = if is_known.contains(&method) { method.as_str() } else { UNKNOWN };
    let code = response.status();
    services.telemetry().count_request(&Counted { door: "http", method, code: code.as_str(), duration: began.elapsed() });
    response
}
