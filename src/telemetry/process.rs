//! What is known of this process: its build, its share of the machine, its connections to the database. Linux tells by /proc.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Ticks in a second, by which /proc tells of time: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Bytes in a page of memory.
fn page_bytes() -> f64 {
    rustix::param::page_size() as f64
}

pub(super) fn register(meter: &Meter, database: impl Fn() -> (u32, u32) + Send + Sync + 'static) {
    let build = [
        KeyValue::new("version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("commit", env!("BUILD_COMMIT")),
        KeyValue::new("built", env!("BUILD_DATE")),
    ];
    let gauge = |name: &'static str, help: &'static str, measure: fn() -> Option<f64>| {
        meter.f64_observable_gauge(name).with_description(help).with_callback(move |observer| {
            if let Some(value) = measure() {
                observer.observe(value, &[]);
            }
        })
    };
    meter
        .u64_observable_gauge("lightkeep_build_info")
        .with_description("The version that runs here; always 1")
        .with_callback(move |observer| observer.observe(1, &build))
        .build();
    meter
        .u64_observable_gauge("lightkeep_database_connections")
        .with_description("Connections to the metadata database, by what they do")
        .with_callback(move |observer| {
            let (size, idle) = database();
            observer.observe(idle.into(), &[KeyValue::new("state", "idle")]);
            observer.observe(size.saturating_sub(idle).into(), &[KeyValue::new("state", "busy")]);
        })
        .build();
    meter
        .f64_observable_counter("process_cpu_seconds_total")
        .with_description("Total user and system CPU time spent in seconds")
        .with_callback(|observer| {
            if let Some(seconds) = cpu_seconds() {
                observer.observe(seconds, &[]);
            }
        })
        .build();
    gauge("process_resident_memory_bytes", "Resident memory size in bytes", resident_bytes).build();
    gauge("process_open_fds", "Number of open file descriptors", open_files).build();
    gauge("process_max_fds", "Maximum number of open file descriptors", most_files).build();
    // Reckoned once: the kernel's figures are rounded, and the start must not seem to move.
    let started_at = started_at();
    meter
        .f64_observable_gauge("process_start_time_seconds")
        .with_description("Start time of the process since the Unix epoch in seconds")
        .with_callback(move |observer| {
            if let Some(started_at) = started_at {
                observer.observe(started_at, &[]);
            }
        })
        .build();
}

/// The fields of `/proc/self/stat` after the name, which may hold anything.
fn stat() -> Option<Vec<f64>> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(|field| field.trim().parse().unwrap_or(0.0)).collect())
}

fn cpu_seconds() -> Option<f64> {
    let stat = stat()?;
    Some((stat.get(11)? + stat.get(12)?) / TICKS)
}

fn resident_bytes() -> Option<f64> {
    Some(stat()?.get(21)? * page_bytes())
}

fn open_files() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn most_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find(|line| line.starts_with("Max open files"))?.split_whitespace().nth(3)?.parse().ok()
}

fn started_at() -> Option<f64> {
    let since_boot = stat()?.get(19)? / TICKS;
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
    Some(now()? - uptime + since_boot)
}

#[expect(clippy::disallowed_methods, reason = "the kernel tells by its own clock when a process has started")]
fn now() -> Option<f64> {
    Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}
