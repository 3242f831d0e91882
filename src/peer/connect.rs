//! Connecting to another Lightkeep: to no address that is forbidden, whatever its name is resolved to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::Error;
use crate::base::chain::chain;
use crate::domain::address::AddressRules;
use crate::domain::peer::{CONNECTION_WINDOW, LARGEST_FRAME, STREAM_WINDOW};

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// So often an open connection is tried while something is sent on it, and so long an answer may take: then it is broken.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const ALIVE_LIMIT: Duration = Duration::from_secs(20);

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
        .max_frame_size(LARGEST_FRAME);
    let connector = tower::service_fn(move |uri: Uri| async move { Ok::<_, io::Error>(TokioIo::new(open(&uri, rules).await?)) });
    endpoint.connect_with_connector(connector).await.map_err(|error| unreachable(chain(&error)))
}

async fn open(uri: &Uri, rules: AddressRules) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses = resolve(host, port, rules).await?;
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The addresses of a host, if all of them may be spoken to. They are what is connected to then: a name may be resolved to another address
/// each time.
pub(super) async fn resolve(host: &str, port: u16, rules: AddressRules) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    addresses.iter().try_for_each(|address| rules.check_address(address.ip())).map_err(io::Error::other)?;
    Ok(addresses)
}
