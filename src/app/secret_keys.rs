//! The file `secrets.key` in the storage: what the keys of other servers are sealed with in the database. One key in hex on each line; the
//! first one seals.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::config::Config;
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
            return if create(storage, &SecretKeys { current: random()?, earlier: Vec::new() })? {
                read_or_create(storage, false)
            } else {
                read_or_create(storage, true)
            };
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
            write(storage, &keys)?;
            Ok(keys)
        }
    }
}

fn random() -> anyhow::Result<SecretKey> {
    let mut key = SecretKey::default();
    getrandom::fill(&mut *key).context("the system gave no random numbers")?;
    Ok(key)
}

/// All of it or nothing, also after a power cut.
fn write(storage: &Path, keys: &SecretKeys) -> anyhow::Result<()> {
    let path = storage.join(FILE);
    let fresh = write_fresh(storage, keys)?;
    fs::rename(&fresh, &path).with_context(|| format!("cannot write the file of keys: {}", path.display()))?;
    sync(storage)
}

/// As [`write()`], but says no where there is one.
fn create(storage: &Path, keys: &SecretKeys) -> anyhow::Result<bool> {
    let path = storage.join(FILE);
    let fresh = write_fresh(storage, keys)?;
    let linked = fs::hard_link(&fresh, &path);
    // What stays of it says nothing that the file does not say.
    let _ = fs::remove_file(&fresh);
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        other => {
            other.with_context(|| format!("cannot write the file of keys: {}", path.display())).and_then(|()| sync(storage)).map(|()| true)
        }
    }
}

fn sync(storage: &Path) -> anyhow::Result<()> {
    fs::File::open(storage).and_then(|directory| directory.sync_all()).context("cannot sync the storage")
}

fn write_fresh(storage: &Path, keys: &SecretKeys) -> anyhow::Result<PathBuf> {
    let fresh = storage.join(format!(".{FILE}.{}.tmp", std::process::id()));
    let failed = || format!("cannot write the file of keys: {}", fresh.display());
    let mut text = Zeroizing::new(String::new());
    for key in [&keys.current].into_iter().chain(&keys.earlier) {
        text.push_str(&Zeroizing::new(hex::encode(**key)));
        text.push('\n');
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    Ok(fresh)
}

/// `lightkeep rotate-secrets-key`: seals the keys of other servers with a new key. Broken off at any point, it can be run again.
///
/// # Errors
/// A server uses the storage; a key cannot be opened.
pub(super) async fn rotate(config: Config) -> anyhow::Result<()> {
    let storage = config.storage.canonicalize().with_context(|| format!("cannot use the storage: {}", config.storage.display()))?;
    let _locks = server::prepare(&config)?.0;
    let SecretKeys { current, mut earlier } = read_or_create(&storage, true)?;
    earlier.insert(0, current);
    let keys = SecretKeys { current: random()?, earlier };
    // The old ones stay until nothing needs them.
    write(&storage, &keys)?;
    let services = server::bare_services(&config, &storage, Arc::new(SystemClock), IdSource::Random).await?;
    let count = services.seal_again().await?;
    services.store().flush().await?;
    write(&storage, &SecretKeys { current: keys.current, earlier: Vec::new() })?;
    services.store().clone().close().await?;
    println!("{count} keys of other servers are sealed with a new key");
    Ok(())
}
