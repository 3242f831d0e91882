//! When a call is made again.

use std::time::Duration;

/// A call is made again only where the server was not there (UNAVAILABLE), and only where that cannot do anything twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often a call is made at most, the first time included.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// 5 attempts within about 4 seconds.
    fn default() -> Self {
        Self { attempts: 5, first_pause: Duration::from_millis(250), longest_pause: Duration::from_secs(5) }
    }
}

impl Retry {
    /// Every call is made once.
    pub const NEVER: Self = Self { attempts: 1, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };

    /// How long to wait before the attempt after `attempt` (from 1); `None` where there is none.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Option<Duration> {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        (attempt < self.attempts).then(|| self.first_pause.saturating_mul(factor).min(self.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let retry = Retry { attempts: 5, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(3) };
        let pauses: Vec<Option<u64>> = (1..=5).map(|attempt| retry.pause(attempt).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(3), Some(3), None]);
        assert_eq!(Retry::NEVER.pause(1), None);
        assert_eq!(Retry { attempts: u32::MAX, ..retry }.pause(1000), Some(Duration::from_secs(3)));
    }
}
