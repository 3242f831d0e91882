//! How long work takes, by how long the like of it took.

/// The seconds that work on so many bytes is expected to take, by pairs of bytes and seconds that were measured: a fixed cost and a
/// rate. Both are medians, so that one piece of work that waited for something does not count. None where nothing was measured.
///
/// Work of one size alone says nothing of a fixed cost: then all is taken for rate.
pub fn expected_seconds(measured: &[(f64, f64)], bytes: f64) -> Option<f64> {
    let mut slopes = Vec::new();
    for (at, (bytes, seconds)) in measured.iter().enumerate() {
        let others = measured[at + 1..].iter().filter(|(other, _)| other != bytes);
        slopes.extend(others.map(|(other, later)| (later - seconds) / (other - bytes)));
    }
    match median(slopes) {
        Some(slope) if slope > 0.0 => {
            let fixed = median(measured.iter().map(|(bytes, seconds)| seconds - slope * bytes).collect())?;
            Some(fixed.max(0.0) + slope * bytes)
        }
        // Larger work was not slower: what there is of a rate is lost in the noise.
        Some(_) => median(measured.iter().map(|(_, seconds)| *seconds).collect()),
        None => {
            let rates = measured.iter().filter(|(bytes, _)| *bytes > 0.0).map(|(bytes, seconds)| seconds / bytes);
            median(rates.collect()).map(|rate| rate * bytes)
        }
    }
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(expected: Option<f64>, wanted: f64) {
        assert!((expected.unwrap() - wanted).abs() < 1e-6, "{expected:?}");
    }

    #[test]
    fn a_fixed_cost_and_a_rate() {
        let measured = [(1000.0, 3.0), (2000.0, 4.0), (5000.0, 7.0)];
        near(expected_seconds(&measured, 0.0), 2.0);
        near(expected_seconds(&measured, 10_000.0), 12.0);
    }

    #[test]
    fn one_that_waited_does_not_count() {
        let measured = [(1000.0, 3.0), (2000.0, 4.0), (3000.0, 65.0), (4000.0, 6.0), (5000.0, 7.0)];
        near(expected_seconds(&measured, 6000.0), 8.0);
    }

    #[test]
    fn where_little_is_known() {
        assert_eq!(expected_seconds(&[], 10.0), None);
        assert_eq!(expected_seconds(&[(0.0, 1.0)], 10.0), None);
        near(expected_seconds(&[(100.0, 1.0), (100.0, 1.0)], 300.0), 3.0);
        near(expected_seconds(&[(100.0, 2.0), (200.0, 1.0), (300.0, 1.5)], 1000.0), 1.5);
    }
}
