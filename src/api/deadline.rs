//! Gives up the answer of a call that takes longer than its `grpc-timeout`, with DEADLINE_EXCEEDED.
//! Only the answer is given up: accepted work is a durable operation and goes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// The header with which a caller says how long it waits.
pub const HEADER: HeaderName = HeaderName::from_static("grpc-timeout");

/// tonic's own server watches the same header further outside and would answer CANCELLED: ours has to fire first.
const AHEAD: Duration = Duration::from_millis(2);

/// Puts [`Bounded`] around a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner }
    }
}

/// A service that answers within the time that the caller gave.
#[derive(Debug, Clone)]
pub struct Bounded<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Bounded<S>
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

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Removed, so that nobody further inside watches it a second time. A header that cannot be read is no deadline.
        let timeout = request.headers_mut().remove(HEADER).and_then(|value| parse(value.to_str().ok()?));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout.saturating_sub(AHEAD)));
        let answer = self.inner.call(request);
        let Some(deadline) = deadline else { return Box::pin(answer) };
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(Ok(response)) => Ok(response.map(|inner| Body::new(BoundedBody { inner, end: Some(Box::pin(sleep_until(deadline))) }))),
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(exceeded().into_http()),
            }
        })
    }
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the answer took longer than the caller's time limit; accepted work goes on: look at its operation")
}

/// At most 8 digits and a unit, as the gRPC protocol has it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// A stream of answers that ends at the deadline, with the status in its trailers.
struct BoundedBody {
    inner: Body,
    /// `None` once the deadline has passed.
    end: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for BoundedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(end) = &mut this.end else { return Poll::Ready(None) };
        if let ready @ Poll::Ready(_) = Pin::new(&mut this.inner).poll_frame(context) {
            return ready;
        }
        ready!(end.as_mut().poll(context));
        this.end = None;
        this.inner = Body::empty();
        let mut trailers = HeaderMap::new();
        exceeded().add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_of_the_protocol() {
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("20m"), Some(Duration::from_millis(20)));
        for bad in ["", "S", "3", "3s", "-1S", "123456789S", "1é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
