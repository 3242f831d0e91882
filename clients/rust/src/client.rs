//! The connection, and the calls on it.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use crate::call::{Call, Pages, Stream};
use crate::error::Error;
use crate::retry::Retry;

/// Answers may be large: lists of 1000, parts of files.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Where the server is and how it is called.
#[derive(Debug, Clone)]
pub struct Options {
    /// `http://host:port`, or `https://host:port` for TLS. Without a scheme it is http.
    pub address: String,
    /// The server's API key, if it wants one.
    pub token: Option<String>,
    /// PEM file of the certificate authorities to trust with https; those of the system when not set.
    pub ca_file: Option<PathBuf>,
    /// How long a call may take, all attempts together. Not set: as long as it takes, as calls that wait for long work do.
    pub deadline: Option<Duration>,
    /// When calls are made again.
    pub retry: Retry,
}

impl Options {
    /// Without a token and without a deadline, with the usual retries.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), token: None, ca_file: None, deadline: None, retry: Retry::default() }
    }
}

/// A connection to a server. Clones share it; it is made anew by itself where it was lost.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
    deadline: Option<Duration>,
    retry: Retry,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("deadline", &self.deadline).field("retry", &self.retry).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; the connection comes with the first call.
    ///
    /// # Errors
    /// [`Error::Options`] for an address or a token that cannot be used, and a file of authorities that cannot be read.
    pub async fn new(options: Options) -> Result<Self, Error> {
        let address = if options.address.contains("://") { options.address.clone() } else { format!("http://{}", options.address) };
        let unusable = |error: tonic::transport::Error| Error::Options(format!("the address `{address}` cannot be used: {error}"));
        let mut endpoint = Endpoint::from_shared(address.clone()).map_err(unusable)?;
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(tls(options.ca_file).await?).map_err(unusable)?;
        }
        let token = options.token.map(|token| format!("Bearer {token}").parse::<MetadataValue<Ascii>>()).transpose();
        let mut token = token.map_err(|_| Error::Options("the token has characters that no header can hold".to_owned()))?;
        if let Some(token) = &mut token {
            // Never in a log.
            token.set_sensitive(true);
        }
        // A way that is dead is noticed within half a minute, also while a call waits for long work.
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        Ok(Self { channel: endpoint.connect_lazy(), token, deadline: options.deadline, retry: options.retry })
    }

    /// The same connection with another deadline for each call.
    #[must_use]
    pub fn with_deadline(&self, deadline: Option<Duration>) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Makes a call. A request without a `request_id` gets one, so that it can be repeated and does nothing twice.
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's reason; code UNAVAILABLE where it could not be reached.
    pub async fn call<C: Call>(&self, mut request: C) -> Result<C::Answer, Error> {
        if let Some(id) = request.request_id()
            && id.is_empty()
        {
            *id = uuid::Uuid::new_v4().to_string();
        }
        let repeatable = C::READS || request.request_id().is_some();
        let mut missed = None;
        let attempts = async {
            let mut attempt = 1;
            loop {
                // What this attempt may have begun is not told by why the last one failed.
                missed = None;
                match self.once::<C>(request.clone()).await {
                    Err(error) if error.is_passing() && repeatable => match self.retry.pause(attempt) {
                        Some(pause) => {
                            missed = Some(error);
                            tokio::time::sleep(pause).await;
                        }
                        None => return Err(error),
                    },
                    answer => return answer,
                }
                attempt += 1;
            }
        };
        let Some(deadline) = self.deadline else { return attempts.await };
        match tokio::time::timeout(deadline, attempts).await {
            Ok(answer) => answer,
            // Between two attempts it is known that the server was not there, which says more.
            Err(_) => Err(missed.unwrap_or_else(|| too_late(deadline))),
        }
    }

    /// Follows answers that come one after the other. A deadline does not hold here: whoever reads them decides.
    ///
    /// # Errors
    /// As [`Self::call`]; so do the answers.
    pub async fn stream<S: Stream>(&self, request: S) -> Result<Streaming<S::Answer>, Error> {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(unreachable)?;
        let codec = ProstCodec::<S, S::Answer>::default();
        Ok(grpc.server_streaming(self.request(request), PathAndQuery::from_static(S::PATH), codec).await?.into_inner())
    }

    /// Lists everything, page by page.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn all<P: Pages>(&self, request: P) -> Result<Vec<P::Item>, Error> {
        let mut items = Vec::new();
        let mut next = Some(request);
        while let Some(mut request) = next.take() {
            let (page, token) = P::take(self.call(request.clone()).await?);
            items.extend(page);
            if !token.is_empty() {
                request.turn_to(token);
                next = Some(request);
            }
        }
        Ok(items)
    }

    /// One attempt. The server learns the deadline too.
    async fn once<C: Call>(&self, request: C) -> Result<C::Answer, Error> {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(unreachable)?;
        let mut request = self.request(request);
        if let Some(deadline) = self.deadline {
            // Longer ones have no form on the wire.
            request.set_timeout(deadline.min(Duration::from_secs(99_999_999)));
        }
        Ok(grpc.unary(request, PathAndQuery::from_static(C::PATH), ProstCodec::<C, C::Answer>::default()).await?.into_inner())
    }

    fn grpc(&self) -> tonic::client::Grpc<Channel> {
        tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }

    /// How long calls may take.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// When calls are made again.
    pub(crate) fn retry(&self) -> Retry {
        self.retry
    }
}

async fn tls(ca_file: Option<PathBuf>) -> Result<ClientTlsConfig, Error> {
    let config = ClientTlsConfig::new();
    let Some(file) = ca_file else { return Ok(config.with_native_roots()) };
    let pem = tokio::fs::read(&file).await.map_err(|error| Error::Options(format!("cannot read {}: {error}", file.display())))?;
    Ok(config.ca_certificate(Certificate::from_pem(pem)))
}

fn unreachable(error: tonic::transport::Error) -> Error {
    Error::from(tonic::Status::from_error(Box::new(error)))
}

pub(crate) fn too_late(deadline: Duration) -> Error {
    Error::from(tonic::Status::deadline_exceeded(format!("no answer within {} s; what was begun goes on", deadline.as_secs_f64())))
}
