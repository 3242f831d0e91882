//! Random expressions against whoever looks at each minute of a year.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;
use crate::domain::time_zone::TimeZone;

const ZONES: [&str; 7] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Africa/Casablanca"];
const FROM: &str = "2026-01-01T00:00:00Z";
const MINUTES: usize = 365 * 24 * 60;
/// Before all that wall clocks show then.
const WALL_FROM: Date = date(2025, 12, 30);

/// A field as it is written, and what it means.
#[derive(Debug, Clone)]
struct Field {
    text: String,
    values: Vec<u8>,
}

impl Field {
    fn is_star(&self) -> bool {
        self.text == "*"
    }

    fn has(&self, value: i8) -> bool {
        self.values.contains(&value.unsigned_abs())
    }
}

fn field(range: RangeInclusive<u8>) -> impl Strategy<Value = Field> {
    let (low, high) = (*range.start(), *range.end());
    let all = move || (low..=high).collect::<Vec<u8>>();
    let every = move |step: u8| (low..=high).step_by(step.into()).collect::<Vec<u8>>();
    let span = move |(a, b, step): (u8, u8, u8)| {
        let (from, to) = (a.min(b), a.max(b));
        Field { text: format!("{from}-{to}/{step}"), values: (from..=to).step_by(step.into()).collect() }
    };
    let list = move |values: Vec<u8>| {
        let text = values.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
        Field { text, values }
    };
    prop_oneof![
        3 => Just(Field { text: "*".into(), values: all() }),
        2 => (1..=high).prop_map(move |step| Field { text: format!("*/{step}"), values: every(step) }),
        2 => (range.clone(), range.clone(), 1..=high).prop_map(span),
        4 => prop::collection::vec(range, 1..4).prop_map(list),
    ]
}

#[derive(Debug, Clone)]
struct Expression {
    fields: [Field; 5],
}

impl Expression {
    fn text(&self) -> String {
        self.fields.each_ref().map(|field| field.text.as_str()).join(" ")
    }

    fn is_rhythm(&self) -> bool {
        self.fields[..2].iter().any(|field| field.text.contains(['*', '/']))
    }

    fn names_day(&self, date: Date) -> bool {
        let [_, _, day, month, weekday] = &self.fields;
        let (by_day, by_weekday) = (day.has(date.day()), weekday.has(date.weekday().to_sunday_zero_offset()));
        month.has(date.month())
            && match (day.is_star(), weekday.is_star()) {
                (true, _) => by_weekday,
                (_, true) => by_day,
                _ => by_day || by_weekday,
            }
    }

    /// Each minute of the year in which it fires, counted from the beginning, found by a look at the wall clock in each.
    fn firings(&self, zone: usize) -> Vec<usize> {
        let days: Vec<bool> = WALL_FROM.series(1.day()).take(370).map(|date| self.names_day(date)).collect();
        let has = |field: usize, value: usize| self.fields[field].values.iter().any(|one| usize::from(*one) == value);
        let times: Vec<bool> = (0..1440).map(|minute| has(1, minute / 60) && has(0, minute % 60)).collect();
        let names = |wall: usize| times[wall % 1440] && days[wall / 1440];
        let mut shown = WALLS[zone][0] - 1;
        let mut found = Vec::new();
        for (instant, wall) in WALLS[zone].iter().enumerate() {
            let fires = if self.is_rhythm() {
                names(*wall)
            } else {
                // What the clock shows for the first time, with all that it has left out.
                let new = (shown + 1..=*wall).any(names);
                shown = shown.max(*wall);
                new
            };
            if fires {
                found.push(instant);
            }
        }
        found
    }
}

/// What the wall clock shows in each minute of the year, in minutes since the midnight that begins [`WALL_FROM`].
static WALLS: LazyLock<[Vec<usize>; ZONES.len()]> = LazyLock::new(|| {
    ZONES.map(|zone| {
        let zone = TimeZone::parse(zone).unwrap();
        let wall = |minute| zone.wall(instant(minute)).duration_since(WALL_FROM.at(0, 0, 0, 0)).as_mins();
        // No clock is changed within a quarter of an hour.
        let quarters = (0..MINUTES).step_by(15).map(|minute| usize::try_from(wall(minute)).unwrap());
        quarters.flat_map(|wall| wall..wall + 15).collect()
    })
});

fn instant(minute: usize) -> Timestamp {
    Timestamp::from_micros(at(FROM).micros() + i64::try_from(minute).unwrap() * 60_000_000)
}

fn expression() -> impl Strategy<Value = Expression> {
    let days = prop_oneof![2 => Just(Field { text: "*".into(), values: (1..=31).collect() }), 1 => field(1..=31)];
    let weekdays = prop_oneof![2 => Just(Field { text: "*".into(), values: (0..=6).collect() }), 1 => field(0..=6)];
    (field(0..=59), field(0..=23), days, field(1..=12), weekdays)
        .prop_map(|(minute, hour, day, month, weekday)| Expression { fields: [minute, hour, day, month, weekday] })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_next_firing_is_the_next_that_a_look_at_each_minute_finds(
        expression in expression(),
        zone in 0..ZONES.len(),
        looks in prop::collection::vec((0..MINUTES, 0i64..60_000_000), 100),
    ) {
        let time_zone = TimeZone::parse(ZONES[zone]).unwrap();
        let expected: Vec<Timestamp> = expression.firings(zone).into_iter().map(instant).collect();
        let Ok(cron) = cron::Cron::parse(&expression.text()) else {
            prop_assert!(expected.is_empty(), "{} was refused", expression.text());
            return Ok(());
        };
        // From firing to firing: through the whole year, or 1000 of each quarter that has more.
        for quarter in expected.chunks(expected.len().div_ceil(4).max(1)) {
            for pair in quarter.windows(2).take(1000) {
                prop_assert!(pair[0] < pair[1]);
                prop_assert_eq!(cron.next_after(pair[0], &time_zone), Some(pair[1]), "{} after {}", expression.text(), pair[0]);
            }
        }
        // And from anywhere.
        for (minute, micros) in looks {
            let after = Timestamp::from_micros(instant(minute).micros() + micros);
            if let Some(next) = expected.get(expected.partition_point(|firing| *firing <= after)) {
                prop_assert_eq!(cron.next_after(after, &time_zone), Some(*next), "{} after {}", expression.text(), after);
            }
        }
    }
}
