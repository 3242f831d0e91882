//! Texts into values. An error is the rest of a sentence that begins with the setting's name: `must be ...: <value>`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lettre::message::{Mailbox, Mailboxes};

use super::{LogFormat, LogLevel};
use crate::base::secret::Secret;
use crate::domain::hook::host;
use crate::domain::peer::PeerKey;
use crate::service::alerts::check_smtp_url;

/// 1, true, yes, on or 0, false, no, off, in any case.
pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("must be one of `true`, `1`, `yes`, `on`, `false`, `0`, `no`, `off`: {value}")),
    }
}

/// A whole number from `LOW` to `HIGH`.
pub(super) fn number<const LOW: u32, const HIGH: u32>(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(number) if (LOW..=HIGH).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {LOW} to {HIGH}: {value}")),
    }
}

/// A number from 0 to 1.
pub(super) fn share(value: &str) -> Result<f64, String> {
    match value.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("must be a number from 0 to 1: {value}")),
    }
}

/// An IP address, or `localhost`, with a port.
pub(super) fn address(value: &str) -> Result<SocketAddr, String> {
    let address = match value.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => value.parse().ok(),
    };
    address.ok_or_else(|| format!("must be an IP address and a port, such as `127.0.0.1:9621`: {value}"))
}

/// DEBUG, INFO, WARNING, ERROR as in Python, in any case.
pub(super) fn log_level(value: &str) -> Result<LogLevel, String> {
    match value.to_ascii_uppercase().as_str() {
        "DEBUG" => Ok(LogLevel::Debug),
        "INFO" => Ok(LogLevel::Info),
        "WARNING" | "WARN" => Ok(LogLevel::Warning),
        // Python has one level more; LightRAG's users may have it set.
        "ERROR" | "CRITICAL" => Ok(LogLevel::Error),
        _ => Err(format!("must be one of `DEBUG`, `INFO`, `WARNING`, `ERROR`: {value}")),
    }
}

/// text or json, in any case.
pub(super) fn log_format(value: &str) -> Result<LogFormat, String> {
    match value.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("must be `text` or `json`: {value}")),
    }
}

/// Any text but the empty one.
pub(super) fn text(value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err("is empty: set it to a value or remove it".to_owned());
    }
    Ok(value.to_owned())
}

/// A name that can be shown and recorded.
pub(super) fn name(value: &str) -> Result<String, String> {
    if value.len() > 200 || value.chars().any(char::is_control) {
        return Err(format!("must be at most 200 bytes without control characters: {}", value.escape_debug()));
    }
    text(value)
}

/// A setting of a feature that does not exist yet.
pub(super) fn unsupported(_value: &str) -> Result<(), String> {
    Err("is set, but object stores are not supported yet: remove it and set `LIGHTRAG_BACKUP_STORAGE` to a directory".to_owned())
}

/// `name:key` for each Lightkeep that may bring copies here, with commas between. Keys are never shown.
pub(super) fn peer_keys(value: &str) -> Result<Vec<PeerKey>, String> {
    let mut keys: Vec<PeerKey> = Vec::new();
    for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, key) = part.split_once(':').ok_or("must be `name:key` for each peer, with commas between")?;
        let key = PeerKey::parse(name.trim(), key.trim())?;
        if keys.iter().any(|other| other.name == key.name || other.key.matches(key.key.expose().as_bytes())) {
            return Err(format!("must have another name and another key for each peer: {}", key.name));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// An address of the web. It may hold a token, so it is never shown.
pub(super) fn web_address(value: &str) -> Result<Secret, String> {
    match host(value) {
        Some(_) => Ok(Secret::new(value.to_owned())),
        None => Err("must begin with `http://` or `https://` and name a host".to_owned()),
    }
}

/// The address of a mail server. It may hold a password, so it is never shown.
pub(super) fn smtp_url(value: &str) -> Result<Secret, String> {
    check_smtp_url(value).map(|()| Secret::new(value.to_owned()))
}

/// One e-mail address.
pub(super) fn mailbox(value: &str) -> Result<Mailbox, String> {
    value.parse().map_err(|_| format!("must be an e-mail address, such as `Lightkeep <lightkeep@example.org>`: {value}"))
}

/// E-mail addresses, with commas between.
pub(super) fn mailboxes(value: &str) -> Result<Mailboxes, String> {
    let parsed: Result<Mailboxes, _> = value.parse();
    parsed.map_err(|_| format!("must be e-mail addresses, with commas between: {value}"))
}
