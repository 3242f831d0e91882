//! Metrics: what is measured, as it is named outside, and what a set of samples is.

mod collected;
pub mod fact;
pub mod history;
pub mod names;
mod samples;

pub use collected::{Collected, HistogramCounts};
pub use samples::{Sample, Samples};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl MetricType {
    /// Its word in the formats of Prometheus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What several samples are together, where there are too many graphs to name each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Their sum.
    Sum,
    /// The least of them: of instants the oldest.
    Min,
    /// The most of them.
    Max,
}

/// One metric, as it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its whole name, with unit and `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub metric_type: MetricType,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// What several graphs are together.
    pub fold: Fold,
}

/// The values of a metric's labels, in the order of their names.
pub type LabelValues = Vec<String>;

/// What the graphs are called together that have no name of their own in a page.
pub const OTHER: &str = "other";

impl Metric {
    /// The buckets of a histogram: their upper bounds.
    pub fn bounds(&self) -> &'static [f64] {
        if self.name == names::HEALTH_CHECK_DURATION.name { names::REQUEST_BUCKETS } else { names::OPERATION_BUCKETS }
    }

    /// The place of the label of which there may be too many: the one that names a graph, or a component or schedule, of which each graph
    /// may have one.
    pub fn many_label(&self) -> Option<usize> {
        ["graph", "component", "schedule"].iter().find_map(|many| self.labels.iter().position(|label| label == many))
    }
}
