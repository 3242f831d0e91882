//! Calls through the one door, in the process: a request in a gRPC frame goes in, frames and trailers come out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Body as _;
use http_body_util::Full;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::api::door::GrpcService;
use crate::api::{deadline, request_id};

/// What of an HTTP request goes along into the gRPC request.
const PASSED_ON: [HeaderName; 6] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    request_id::HEADER,
    deadline::HEADER,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// An RPC that is not there: what comes before the services answers it, and nothing is done.
const NOWHERE: &str = "/lightkeep.Door/Knock";

/// What the flag and the length of a frame take.
const FRAME_HEAD: usize = 5;

/// The messages of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The call's name, as the layers gave it.
    pub request_id: Option<HeaderValue>,
    /// What the service said before its first message.
    pub headers: HeaderMap,
    body: Option<Body>,
    buffer: BytesMut,
    messages: VecDeque<Bytes>,
}

/// A call that failed before its first message.
#[derive(Debug)]
pub(super) struct Failure {
    /// The call's name, as the layers gave it.
    pub request_id: Option<HeaderValue>,
    /// Why; boxed because it is large and rare.
    pub status: Box<Status>,
}

/// The headers that go along.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in PASSED_ON {
        for value in headers.get_all(&name) {
            passed.append(&name, value.clone());
        }
    }
    passed
}

/// Calls an RPC.
///
/// # Errors
/// What the service or a layer answered instead of messages.
pub(super) async fn call(door: &GrpcService, rpc: &str, headers: &HeaderMap, message: &DynamicMessage) -> Result<Answer, Failure> {
    let encoded = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + encoded.len());
    frame.put_u8(0);
    // A body is at most 1 MiB, so its message cannot pass 4 GiB.
    frame.put_u32(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
    frame.put_slice(&encoded);
    let response = send(door, rpc, headers, frame.freeze()).await;
    let request_id = response.headers().get(request_id::HEADER).cloned();
    if let Some(status) = Status::from_header_map(response.headers())
        && status.code() != tonic::Code::Ok
    {
        return Err(Failure { request_id, status: Box::new(status) });
    }
    if !response.status().is_success() {
        let status = Status::internal("the service did not answer in gRPC");
        return Err(Failure { request_id, status: Box::new(status) });
    }
    let (parts, body) = response.into_parts();
    Ok(Answer { request_id, headers: parts.headers, body: Some(body), buffer: BytesMut::new(), messages: VecDeque::new() })
}

/// Calls an RPC that answers with one message.
///
/// # Errors
/// What the service or a layer answered instead.
pub(super) async fn call_unary(
    door: &GrpcService,
    rpc: &str,
    headers: &HeaderMap,
    message: &DynamicMessage,
) -> Result<(Bytes, Option<HeaderValue>), Failure> {
    let mut answer = call(door, rpc, headers, message).await?;
    let request_id = answer.request_id.clone();
    let fail = |status: Status| Failure { request_id: request_id.clone(), status: Box::new(status) };
    let mut first = None;
    // To the end: a failure may stand in the trailers behind a message.
    while let Some(message) = answer.next().await {
        first = Some(message.map_err(fail)?);
    }
    first.map(|message| (message, request_id.clone())).ok_or_else(|| fail(Status::internal("the service's answer was empty")))
}

/// Asks the layers whether they would let this caller in, and for the name of the call, without calling anything.
/// What REST refuses by itself is refused to nobody who may not call at all.
pub(super) async fn knock(door: &GrpcService, headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
    let response = send(door, NOWHERE, headers, Bytes::from_static(&[0; FRAME_HEAD])).await;
    let request_id = response.headers().get(request_id::HEADER).cloned();
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != tonic::Code::Unimplemented => Err(Failure { request_id, status: Box::new(status) }),
        _ => Ok(request_id),
    }
}

async fn send(door: &GrpcService, rpc: &str, headers: &HeaderMap, frame: Bytes) -> Response<Body> {
    let mut request = Request::new(Body::new(Full::new(frame)));
    *request.method_mut() = http::Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    if let Ok(uri) = rpc.parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().clone_from(headers);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    match door.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Answer {
    /// Takes whole frames out of the buffer.
    fn unpack(&mut self) -> Result<(), Status> {
        while let Some((flag, length)) = self.buffer.split_first_chunk::<FRAME_HEAD>().map(|(head, _)| head_of(*head)) {
            if flag != 0 {
                return Err(Status::internal("the service's answer is compressed, which was not asked for"));
            }
            if self.buffer.len() < FRAME_HEAD + length {
                return Ok(());
            }
            self.buffer.advance(FRAME_HEAD);
            self.messages.push_back(self.buffer.split_to(length).freeze());
        }
        Ok(())
    }

    fn end(&mut self, with: Option<Status>) -> Poll<Option<Result<Bytes, Status>>> {
        self.body = None;
        Poll::Ready(with.map(Err))
    }
}

fn head_of([flag, length @ ..]: [u8; FRAME_HEAD]) -> (u8, usize) {
    (flag, usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX))
}

impl Stream for Answer {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let frame = match ready!(Pin::new(body).poll_frame(context)) {
                // A stream that is whole ends with trailers.
                None => return self.end(Some(Status::unavailable("the answer broke off: ask again"))),
                Some(Err(status)) => return self.end(Some(status)),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => {
                    self.buffer.extend_from_slice(&data);
                    if let Err(status) = self.unpack() {
                        return self.end(Some(status));
                    }
                }
                Err(frame) => {
                    let status = frame.trailers_ref().and_then(Status::from_header_map);
                    return self.end(status.filter(|status| status.code() != tonic::Code::Ok));
                }
            }
        }
    }
}
