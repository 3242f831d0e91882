//! Whether a server answers to `GET <base_url>/health`, as old ones do too.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, redirect};

use super::connect::resolve;
use crate::base::chain::chain;
use crate::base::secret::Secret;
use crate::domain::address::AddressRules;

/// How long it may take, as the old server's contract has it.
pub const HEALTH_LIMIT: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status.
    Status(u16),
    /// Nothing in time.
    Late,
    /// No connection.
    Unreachable(String),
}

/// Asks a server. The key is sent to this address only: redirections are not followed.
pub async fn ask_health(base_url: &str, key: Option<&Secret>, rules: AddressRules) -> Answer {
    // As the client reads it: it takes `http://2130706433` for an address, and asks no resolver then.
    let address = reqwest::Url::parse(base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let address = address.and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse().ok());
    let checked = rules.parse_url(base_url).map(|_| ()).and_then(|()| address.map_or(Ok(()), |address| rules.check_address(address)));
    if let Err(must) = checked {
        return Answer::Unreachable(format!("its address {must}"));
    }
    let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(HEALTH_LIMIT);
    let client = match client.dns_resolver(Arc::new(Resolver(rules))).build() {
        Ok(client) => client,
        Err(error) => return Answer::Unreachable(chain(&error)),
    };
    let mut request = client.get(format!("{base_url}/health"));
    if let Some(key) = key {
        request = request.bearer_auth(key.expose());
    }
    match request.send().await {
        Ok(response) => Answer::Status(response.status().as_u16()),
        // Whether it was the connection that took too long, or the answer: nobody knows whether it is there.
        Err(error) if error.is_timeout() => Answer::Late,
        Err(error) => Answer::Unreachable(chain(&error.without_url())),
    }
}

/// Resolves names to addresses that may be spoken to.
struct Resolver(AddressRules);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0;
        Box::pin(async move {
            let addresses = resolve(name.as_str(), 0, rules).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
