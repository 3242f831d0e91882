//! Sessions of browsers, signed and not stored: every instance knows them, also after a restart. They end with the API key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, header};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;

/// How long a session lasts.
const LENGTH: Duration = Duration::from_secs(12 * 3600);

/// That of whoever has given the key, and that of anybody. Two names: a visitor who comes by a link from elsewhere brings neither, and
/// must not lose the first by being given the second.
const OPERATOR: &str = "lightkeep_session";
const VISITOR: &str = "lightkeep_visit";

/// One browser's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Random.
    id: String,
    /// The key was given.
    pub(super) is_operator: bool,
    ends_at: Timestamp,
    /// The browser does not have it yet.
    pub(super) is_new: bool,
}

/// Signs sessions, and knows those that were ended before their time.
#[derive(Debug)]
pub(super) struct Sessions {
    key: Secret,
    ended: Mutex<HashMap<String, Timestamp>>,
}

impl Sessions {
    /// Signs with what all instances share and nobody else knows.
    pub(super) fn new(api_key: &[u8], repository_password: &Secret) -> Self {
        let parts = [b"lightkeep dashboard", api_key, repository_password.expose().as_bytes()];
        Self { key: Secret::new(parts.map(hex::encode).join(".")), ended: Mutex::default() }
    }

    /// The session of a request; a new one where it brings none that counts.
    pub(super) fn of(&self, headers: &HeaderMap, now: Timestamp) -> Session {
        let known = |name, is_operator| cookies(headers, name).find_map(|value| self.read(&value, is_operator, now));
        known(OPERATOR, true).or_else(|| known(VISITOR, false)).unwrap_or_else(|| begin(false, now))
    }

    fn read(&self, cookie: &str, is_operator: bool, now: Timestamp) -> Option<Session> {
        let (signed, signature) = cookie.rsplit_once('.')?;
        let (id, ends_at) = signed.split_once('.')?;
        let expected = self.sign(if is_operator { OPERATOR } else { VISITOR }, signed);
        let ends_at = Timestamp::from_micros(ends_at.parse::<i64>().ok()?);
        let counts = bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
            && ends_at > now
            && !id.is_empty()
            && !self.ended().contains_key(id);
        counts.then(|| Session { id: id.to_owned(), is_operator, ends_at, is_new: false })
    }

    /// Whether a session has ended, by its time or before.
    pub(super) fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        session.ends_at <= now || self.ended().contains_key(&session.id)
    }

    /// Ends a session before its time, in this process: another instance, or the next start, takes its cookie until it ends by itself. A new
    /// API key ends all sessions everywhere.
    pub(super) fn end(&self, session: &Session, now: Timestamp) {
        let mut ended = self.ended();
        ended.retain(|_, ends_at| *ends_at > now);
        ended.insert(session.id.clone(), session.ends_at);
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, HashMap<String, Timestamp>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a form of this session carries.
    pub(super) fn token(&self, session: &Session) -> String {
        self.sign("form", &session.id)
    }

    /// Whether a form is one of this session's.
    pub(super) fn is_token(&self, session: &Session, token: &str) -> bool {
        self.token(session).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The header that gives a browser its session.
    pub(super) fn cookie(&self, session: &Session, is_https: bool) -> Option<HeaderValue> {
        let name = if session.is_operator { OPERATOR } else { VISITOR };
        let signed = format!("{}.{}", session.id, session.ends_at.micros());
        let secure = if is_https { "; Secure" } else { "" };
        let value = format!(
            "{name}={signed}.{}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            self.sign(name, &signed),
            LENGTH.as_secs()
        );
        HeaderValue::from_str(&value).ok()
    }

    fn sign(&self, purpose: &str, text: &str) -> String {
        // Takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) else { return String::new() };
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// A fresh session.
pub(super) fn begin(is_operator: bool, now: Timestamp) -> Session {
    let mut id = [0; 16];
    // Without random numbers there is no session: its id is empty, and no form of it is taken.
    let id = getrandom::fill(&mut id).map(|()| hex::encode(id)).unwrap_or_default();
    Session { id, is_operator, ends_at: now.plus(LENGTH), is_new: true }
}

/// The header that takes a browser's session away.
pub(super) fn forget() -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{OPERATOR}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")).ok()
}

fn cookies<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = String> + 'h {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(move |pair| pair.trim().split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&pair).unwrap())])
    }

    #[test]
    fn a_session_is_known_again_until_it_ends() {
        let (sessions, now) = (Sessions::new(b"k", &Secret::new("p".into())), Timestamp::from_micros(1_000_000));
        let session = begin(true, now);
        let cookie = sessions.cookie(&session, true).unwrap();
        assert!(cookie.to_str().unwrap().ends_with("HttpOnly; SameSite=Strict; Secure"));
        let again = sessions.of(&headers(&cookie), now);
        assert!(again.is_operator && !again.is_new && sessions.is_token(&again, &sessions.token(&session)));
        assert!(sessions.of(&headers(&cookie), now.plus(LENGTH)).is_new);
        assert!(Sessions::new(b"other", &Secret::new("p".into())).of(&headers(&cookie), now).is_new);
        sessions.end(&session, now);
        assert!(sessions.of(&headers(&cookie), now).is_new);
    }

    #[test]
    fn a_visitor_is_no_operator() {
        let (sessions, now) = (Sessions::new(b"k", &Secret::new("p".into())), Timestamp::from_micros(1_000_000));
        let cookie = sessions.cookie(&begin(false, now), false).unwrap();
        let renamed = cookie.to_str().unwrap().replace(VISITOR, OPERATOR);
        assert!(!sessions.of(&headers(&cookie), now).is_operator);
        assert!(sessions.of(&headers(&HeaderValue::from_str(&renamed).unwrap()), now).is_new);
    }
}
