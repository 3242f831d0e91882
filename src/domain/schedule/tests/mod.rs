mod clock_changes;
mod late;
mod random;
mod written;

use super::*;

/// A schedule without jitter for a cron expression.
fn cron(text: &str, zone: &str) -> Schedule {
    let fields = ScheduleFields { cron: Some(text.into()), time_zone: zone.into(), ..ScheduleFields::default() };
    Schedule::parse(&fields, "id", at("2020-01-01T00:00:00Z")).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// The firings from one instant on, and before the other.
fn firings(schedule: &Schedule, from: &str, until: &str) -> Vec<Timestamp> {
    let just_before = Timestamp::from_micros(at(from).micros() - 1);
    std::iter::successors(schedule.next_after(just_before), |last| schedule.next_after(*last))
        .take_while(|next| *next < at(until))
        .collect()
}

fn texts(instants: &[Timestamp]) -> Vec<String> {
    instants.iter().map(ToString::to_string).collect()
}
