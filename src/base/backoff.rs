//! How long to wait before something that has failed is tried again.

use std::time::Duration;

/// The first pause after an attempt that has failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// How long to wait after so many failures in a row, from 1: twice as long each time, and of that a random part between a half and all, so
/// that those who were cut off together do not come back together.
pub fn pause_after(failures: u32) -> Duration {
    let mut random = [0; 4];
    // Without random numbers all wait the longest time.
    let random = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
    part_of_pause(failures, random)
}

fn part_of_pause(failures: u32, random: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let (shortest, longest) = (part_of_pause(1, 0), part_of_pause(1, u32::MAX));
        assert_eq!((shortest, longest), (Duration::from_millis(500), Duration::from_secs(1)));
        assert_eq!(part_of_pause(5, u32::MAX), Duration::from_secs(16));
        assert_eq!(part_of_pause(1000, u32::MAX), LONGEST_PAUSE);
    }
}
