//! Addresses of other Lightkeeps: what they may be, so that no key is shown to a network, and nobody is led into ours.

use std::net::IpAddr;

/// What addresses targets may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressRules {
    /// Plain HTTP to other computers is allowed: keys can be read on the way.
    pub allow_http: bool,
    /// Addresses that only mean something on this computer or in its own networks are forbidden.
    pub forbid_private: bool,
}

impl AddressRules {
    /// Checks the address of another Lightkeep; gives it without slashes at its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_url(self, text: &str) -> Result<String, String> {
        let wrong = || format!("must be an address such as `https://host:port`: {}", without_credentials(text));
        let uri: http::Uri = text.trim().parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        if !["http", "https"].contains(&scheme) {
            return Err(format!("must begin with `http://` or `https://`: {}", without_credentials(text)));
        }
        if authority.as_str().contains('@') {
            return Err("must not hold credentials: give the key as `api_key`".to_owned());
        }
        if uri.query().is_some() || text.contains('#') || authority.host().is_empty() {
            return Err(wrong());
        }
        if scheme == "http" && !self.allow_http && !is_loopback(authority.host()) {
            let allow = "set `LIGHTKEEP_REPLICATION_ALLOW_HTTP` where the network keeps it secret";
            return Err(format!("must be https, as plain http shows the key to the network ({allow}): {text}"));
        }
        if let Some(address) = literal(authority.host()) {
            self.check_address(address)?;
        }
        Ok(text.trim().trim_end_matches('/').to_owned())
    }

    /// Whether an address that a name was resolved to may be spoken to.
    ///
    /// # Errors
    /// It may not.
    pub fn check_address(self, address: IpAddr) -> Result<(), String> {
        if self.forbid_private && is_private(address) {
            return Err(format!("must not be an address of this computer or of its own networks: {address}"));
        }
        Ok(())
    }
}

/// Whoever reads a message must not read a password in it.
fn without_credentials(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://…@{rest}"),
        None => text.to_owned(),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || literal(host).is_some_and(|address| address.to_canonical().is_loopback())
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            // RFC 6598: shared by a provider's customers.
            let is_shared = first == 100 && second & 0b1100_0000 == 64;
            address.is_private() || address.is_link_local() || address.is_loopback() || address.is_unspecified() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback() || address.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let (strict, open) = (AddressRules { forbid_private: true, ..AddressRules::default() }, AddressRules::default());
        for good in ["https://backup.example:9621", "http://127.0.0.1:9621/", "http://localhost", "http://[::1]:1", "https://10.0.0.1"] {
            assert_eq!(open.parse_url(good).as_deref(), Ok(good.trim_end_matches('/')), "{good}");
        }
        for wrong in ["", "backup", "ftp://x", "http://10.0.0.1", "http://x/?a=b", "https://x#y", "https://", "file:///etc", "https:///x"] {
            assert!(open.parse_url(wrong).is_err(), "{wrong}");
        }
        let refused = open.parse_url("https://user:hunter2@host").unwrap_err();
        assert!(refused.contains("credentials") && !refused.contains("hunter2"), "{refused}");
        let refused = open.parse_url("ftp://user:hunter2@host").unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
        for private in
            ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]"]
        {
            assert!(strict.parse_url(&format!("https://{private}")).is_err(), "{private}");
        }
        assert!(strict.parse_url("https://1.1.1.1").is_ok());
        let allowed = AddressRules { allow_http: true, ..AddressRules::default() };
        assert!(allowed.parse_url("http://10.0.0.1:9621").is_ok());
    }
}
