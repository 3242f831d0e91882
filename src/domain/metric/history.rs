//! The history of metrics: which points answer a question, and what several of them are together. Times are seconds since the epoch.

/// The resolutions, seconds, and for how long their points are kept, seconds. The first holds what was sampled.
pub const RESOLUTIONS: [(i32, i64); 3] = [(0, 2 * 3600), (FIVE_MINUTES, 2 * 24 * 3600), (HOUR, 90 * 24 * 3600)];

/// The middle resolution, seconds.
pub const FIVE_MINUTES: i32 = 300;

/// The coarsest resolution, seconds.
pub const HOUR: i32 = 3600;

/// The most points that one series of an answer has.
pub const POINTS_MAX: i64 = 11_000;

/// A part of a time, and the resolution whose points tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The resolution, seconds.
    pub resolution: i32,
    /// From then.
    pub from: i64,
    /// Until before then.
    pub until: i64,
}

/// What was sampled of a series in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When that time begins.
    pub at: i64,
    /// The least.
    pub minimum: f64,
    /// The most.
    pub maximum: f64,
    /// The mean.
    pub average: f64,
    /// The last.
    pub last: f64,
    /// How many samples.
    pub samples: i64,
    /// Of a counter: by how much it has grown in a second since the point before; none for the first.
    pub rate: Option<f64>,
}

/// Until when points were put together, of the middle and of the coarsest resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolled {
    /// By five minutes.
    pub five_minutes: i64,
    /// By the hour.
    pub hour: i64,
}

/// Which points tell of a time: of the coarsest resolution that a step needs, and finer ones for what is not put together yet or must be
/// told more finely.
pub fn spans(from: i64, until: i64, step: i64, rolled: Rolled, now: i64) -> Vec<Span> {
    let kept = |place: usize| now - RESOLUTIONS[place].1;
    // Nothing is finer than what is still kept from then.
    let coarse_until = if step >= i64::from(HOUR) || from < kept(1) { rolled.hour } else { from };
    let middle_until = if step >= i64::from(FIVE_MINUTES) || from < kept(0) { rolled.five_minutes } else { from };
    let middle_from = coarse_until.max(from);
    let spans = [
        Span { resolution: HOUR, from, until: coarse_until.min(until) },
        Span { resolution: FIVE_MINUTES, from: middle_from, until: middle_until.min(until) },
        Span { resolution: 0, from: middle_from.max(middle_until), until },
    ];
    spans.into_iter().filter(|span| span.from < span.until).collect()
}

/// Puts points together by steps, counted from `from`. They come in their order; those of a counter get their rates.
pub fn by_steps(points: &[Point], from: i64, step: i64, is_counter: bool) -> Vec<Point> {
    let mut steps: Vec<Point> = Vec::new();
    for point in points {
        let at = from + (point.at - from).div_euclid(step) * step;
        match steps.last_mut().filter(|last| last.at == at) {
            Some(last) => {
                let samples = last.samples + point.samples;
                last.average = (last.average * last.samples as f64 + point.average * point.samples as f64) / samples as f64;
                last.minimum = last.minimum.min(point.minimum);
                last.maximum = last.maximum.max(point.maximum);
                (last.last, last.samples) = (point.last, samples);
            }
            None => steps.push(Point { at, ..*point }),
        }
    }
    if is_counter {
        for place in 1..steps.len() {
            let (before, here) = (steps[place - 1], steps[place]);
            // One that has fallen began anew.
            let grown = if here.last >= before.last { here.last - before.last } else { here.last };
            steps[place].rate = Some(grown / (here.at - before.at) as f64);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn point(at: i64, value: f64) -> Point {
        Point { at, minimum: value, maximum: value, average: value, last: value, samples: 1, rate: None }
    }

    #[test]
    fn long_times_are_told_by_coarse_points_and_their_end_by_finer_ones() {
        let now = 100 * DAY + 2 * 3600 + 17 * 60;
        let (hour, five) = (100 * DAY + 2 * 3600, 100 * DAY + 2 * 3600 + 15 * 60);
        let rolled = Rolled { five_minutes: five, hour };
        let told = |from, step| {
            let spans = spans(from, now, step, rolled, now);
            spans.iter().map(|span| (span.resolution, span.from, span.until)).collect::<Vec<_>>()
        };
        assert_eq!(told(10 * DAY, 3600), [(HOUR, 10 * DAY, hour), (FIVE_MINUTES, hour, five), (0, five, now)]);
        assert_eq!(told(now - DAY, 300), [(FIVE_MINUTES, now - DAY, five), (0, five, now)]);
        assert_eq!(told(now - 3600, 60), [(0, now - 3600, now)]);
        // So finely nobody knows it any more.
        assert_eq!(told(now - DAY, 60), [(FIVE_MINUTES, now - DAY, five), (0, five, now)]);
    }

    #[test]
    fn spans_cover_the_time_once() {
        proptest::proptest!(|(from in 0_i64..100 * DAY, length in 1_i64..100 * DAY, step in 1_i64..DAY, later in 0_i64..DAY, late in 0_i64..DAY)| {
            let until = from + length;
            let now = until + later;
            let rolled = Rolled { five_minutes: (now - late) / 300 * 300, hour: (now - late) / 3600 * 3600 };
            let spans = spans(from, until, step, rolled, now);
            proptest::prop_assert_eq!(spans.first().map(|span| span.from), Some(from));
            proptest::prop_assert_eq!(spans.last().map(|span| span.until), Some(until));
            proptest::prop_assert!(spans.windows(2).all(|pair| pair[0].until == pair[1].from));
        });
    }

    #[test]
    fn steps_keep_extremes_and_weigh_means() {
        let mut wide = point(60, 10.0);
        (wide.minimum, wide.samples) = (1.0, 3);
        let steps = by_steps(&[point(0, 2.0), wide, point(120, 5.0)], 0, 120, true);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].minimum, steps[0].maximum, steps[0].average, steps[0].last), (1.0, 10.0, 8.0, 10.0));
        // Fallen: it began anew.
        assert_eq!((steps[0].rate, steps[1].rate), (None, Some(5.0 / 120.0)));
    }
}
