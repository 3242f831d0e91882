//! Requests that may be repeated: the same id and body give the first answer again.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use sha2::{Digest as _, Sha256};

use super::Services;
use super::error::{Error, ErrorKind};
use crate::store::entity::idempotency_key;
use crate::store::idempotency_keys;

/// How long a request's id is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// A mutating request, as far as repeating it goes.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The caller's name for it; none means that it is not repeated.
    pub request_id: Option<&'a str>,
    /// The RPC.
    pub action: &'static str,
    /// All that it asks for.
    pub body: &'a [&'a str],
}

impl Request<'_> {
    fn body_hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.body {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hex::encode(hash.finalize())
    }

    /// What this request made when it came first; nothing when this is the first time.
    ///
    /// # Errors
    /// The id was used for another request.
    pub async fn find_subject(&self, connection: &impl ConnectionTrait) -> Result<Option<String>, Error> {
        let Some(request_id) = self.request_id else { return Ok(None) };
        match idempotency_keys::find(connection, request_id).await? {
            None => Ok(None),
            Some(key) if key.action == self.action && key.body_hash == self.body_hash() => Ok(Some(key.subject_id)),
            Some(_) => {
                let message = format!("`request_id` was used for another request, choose a new one: {request_id}");
                Err(Error::refused(ErrorKind::AlreadyExists, "REQUEST_ID_REUSED", message))
            }
        }
    }

    /// Remembers what this request makes, in the transaction that makes it.
    ///
    /// # Errors
    /// The database's.
    pub async fn remember(&self, services: &Services, connection: &impl ConnectionTrait, subject_id: String) -> Result<(), Error> {
        let Some(request_id) = self.request_id else { return Ok(()) };
        let key = idempotency_key::Model {
            request_id: request_id.to_owned(),
            action: self.action.to_owned(),
            body_hash: self.body_hash(),
            subject_id,
            created_at: services.now(),
        };
        Ok(idempotency_keys::insert(connection, key).await?)
    }
}
