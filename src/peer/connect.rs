//! Connecting to another Lightkeep: to no address that is forbidden, whatever its name is resolved to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::Error;
use crate::domain::address::AddressRules;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// So often an open connection is tried while something is sent on it, and so long an answer may take: then it is broken.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const ALIVE_LIMIT: Duration = Duration::from_secs(20);

/// What may be under way unread, bytes: enough for some hundred megabytes a second over some ten milliseconds.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The longest frame that is taken, bytes.
const FRAME: u32 = 256 << 10;

/// An open channel to an address.
pub(super) async fn channel(url: &str, rules: AddressRules) -> Result<Channel, Error> {
    let unreachable = |why: String| Error::Unreachable { url: url.to_owned(), why };
    let mut endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| unreachable(chain(&error)))?;
    if url.starts_with("https://") {
        let tls = ClientTlsConfig::new().with_native_roots();
        endpoint = endpoint.tls_config(tls).map_err(|error| unreachable(chain(&error)))?;
    }
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(ALIVE_INTERVAL)
        .keep_alive_timeout(ALIVE_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    let connector = tower::service_fn(move |uri: Uri| async move { Ok::<_, io::Error>(TokioIo::new(open(&uri, rules).await?)) });
    endpoint.connect_with_connector(connector).await.map_err(|error| unreachable(chain(&error)))
}

async fn open(uri: &Uri, rules: AddressRules) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    // Asked of what is connected to, and not of the name: a name may be resolved to another address each time.
    addresses.iter().try_for_each(|address| rules.check_address(address.ip())).map_err(io::Error::other)?;
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error with all that caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
