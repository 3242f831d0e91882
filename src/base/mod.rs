//! Floor 0: what every floor may use. Ids, time, secrets, and the handle by which long work is watched and stopped.

pub mod backoff;
pub mod chain;
pub mod clock;
pub mod control;
pub mod failpoint;
pub mod ids;
pub mod secret;
pub mod tap;
pub mod timestamp;
pub mod trace;
pub mod uri;
pub mod words;
