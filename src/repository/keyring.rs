//! Keys derived from one password, so that scrypt's 80 ms are spent once for many repositories.

use std::sync::{Arc, Mutex, PoisonError};

use super::format::FormatError;
use super::format::crypto::Key;
use super::format::key::Parameters;
use crate::base::secret::Secret;

/// Repositories of ours share one derivation; each of others costs one more, and only so many are kept.
const MOST_KEPT: usize = 16;

/// Derived keys by their parameters. All calls of one keyring are given the same password.
#[derive(Default)]
pub(crate) struct Keyring {
    derived: Mutex<Vec<(Parameters, Arc<Key>)>>,
}

impl Keyring {
    /// The key for these parameters.
    pub(crate) fn derive(&self, password: &Secret, parameters: &Parameters) -> Result<Arc<Key>, FormatError> {
        // held while deriving: threads that need the same key wait for it instead of deriving it again
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = derived.iter().find(|(known, _)| known == parameters) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(parameters.derive(password.expose())?);
        if derived.len() >= MOST_KEPT {
            derived.remove(0);
        }
        derived.push((parameters.clone(), Arc::clone(&key)));
        Ok(key)
    }

    /// A key for a new repository: one that is known, else of fresh parameters.
    pub(crate) fn any(&self, password: &Secret) -> Result<(Parameters, Arc<Key>), FormatError> {
        let fresh = Parameters::fresh()?;
        let known = {
            let derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
            // only of full strength: an operator may have opened a repository with a weaker key
            derived
                .iter()
                .find(|(known, _)| known.n >= fresh.n && known.r >= fresh.r && known.p >= fresh.p && known.salt.len() >= fresh.salt.len())
                .cloned()
        };
        match known {
            Some(known) => Ok(known),
            None => Ok((fresh.clone(), self.derive(password, &fresh)?)),
        }
    }
}
