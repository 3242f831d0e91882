//! The file `secrets.key` in the storage: what the keys of other servers are sealed with in the database. One key in hex on each line; the
//! first one seals.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::config::Config;
use super::key_file;
use super::server;
use crate::base::clock::SystemClock;
use crate::base::ids::IdSource;
use crate::service::sealed::{SecretKey, SecretKeys};

const FILE: &str = "secrets.key";

/// The keys in `storage`; made where there are none, unless something was sealed with them. Blocks.
///
/// # Errors
/// The file cannot be read or written, is damaged, or is missing and needed.
pub(super) fn read_or_create(storage: &Path, is_needed: bool) -> anyhow::Result<SecretKeys> {
    let path = storage.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound && is_needed => {
            let show = path.display();
            bail!(
                "the database holds keys of other servers, but the file that opens them is missing: put back a copy, or make an empty one \
                   and give those keys again: {show}"
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Of two instances that start at once, one makes it.
            let made = text_of(&SecretKeys { current: random()?, earlier: Vec::new() });
            let is_first = key_file::create(&path, &made).with_context(|| unwritable(&path))?;
            return read_or_create(storage, !is_first);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read the file of keys: {}", path.display())),
    };
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut key = SecretKey::default();
        let damaged = || format!("the file of keys is damaged, put back a copy: {}", path.display());
        hex::decode_to_slice(line, &mut *key).with_context(damaged)?;
        keys.push(key);
    }
    let mut keys = keys.into_iter();
    match keys.next() {
        Some(current) => Ok(SecretKeys { current, earlier: keys.collect() }),
        // Made so by somebody who has lost it.
        None => {
            let keys = SecretKeys { current: random()?, earlier: Vec::new() };
            write(&path, &keys)?;
            Ok(keys)
        }
    }
}

fn random() -> anyhow::Result<SecretKey> {
    let mut key = SecretKey::default();
    getrandom::fill(&mut *key).context("the system gave no random numbers")?;
    Ok(key)
}

fn write(path: &Path, keys: &SecretKeys) -> anyhow::Result<()> {
    key_file::replace(path, &text_of(keys)).with_context(|| unwritable(path))
}

fn unwritable(path: &Path) -> String {
    format!("cannot write the file of keys: {}", path.display())
}

fn text_of(keys: &SecretKeys) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for key in [&keys.current].into_iter().chain(&keys.earlier) {
        text.push_str(&Zeroizing::new(hex::encode(**key)));
        text.push('\n');
    }
    text
}

/// `lightkeep rotate-secrets-key`: seals the keys of other servers with a new key. Broken off at any point, it can be run again.
///
/// # Errors
/// A server uses the database, which only SQLite can tell: of several instances on PostgreSQL none may run; a key cannot be opened.
pub(super) async fn rotate(config: Config) -> anyhow::Result<()> {
    let storage = config.storage.canonicalize().with_context(|| format!("cannot use the storage: {}", config.storage.display()))?;
    let path = storage.join(FILE);
    let _locks = server::prepare(&config)?.0;
    let SecretKeys { current, mut earlier } = read_or_create(&storage, true)?;
    earlier.insert(0, current);
    let keys = SecretKeys { current: random()?, earlier };
    // The old ones stay until nothing needs them.
    write(&path, &keys)?;
    let services = server::bare_services(&config, &storage, Arc::new(SystemClock), IdSource::Random).await?;
    let count = services.seal_again().await?;
    services.store().flush().await?;
    write(&path, &SecretKeys { current: keys.current, earlier: Vec::new() })?;
    services.store().clone().close().await?;
    println!("{count} keys of other servers are sealed with a new key");
    Ok(())
}
