//! OpenMetrics text, version 1.0.0: <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>. The library
//! writes only the older format.

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Ends a page.
pub(super) const END: &[u8] = b"# EOF\n";

/// Writes families, as a part of a page.
pub(super) fn encode(families: &[MetricFamily], page: &mut Vec<u8>) {
    let mut text = String::new();
    for family in families {
        encode_family(family, &mut text);
    }
    page.extend_from_slice(text.as_bytes());
}

fn encode_family(family: &MetricFamily, text: &mut String) {
    let is_counter = family.get_field_type() == MetricType::COUNTER;
    // A counter's family has the name without the suffix that its samples have.
    let name = if is_counter { family.name().strip_suffix("_total").unwrap_or(family.name()) } else { family.name() };
    let word = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        MetricType::GAUGE => "gauge",
        MetricType::SUMMARY | MetricType::UNTYPED => "unknown",
    };
    text.push_str(&format!("# TYPE {name} {word}\n# HELP {name} {}\n", escaped(family.help())));
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => sample(text, &format!("{name}_total"), labels, None, metric.get_counter().get_value()),
            MetricType::HISTOGRAM => encode_histogram(name, metric, text),
            _ => sample(text, name, labels, None, metric.get_gauge().get_value()),
        }
    }
}

fn encode_histogram(name: &str, metric: &Metric, text: &mut String) {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let bucket_name = format!("{name}_bucket");
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        sample(text, &bucket_name, labels, Some(&number(bucket.upper_bound())), bucket.cumulative_count() as f64);
    }
    sample(text, &bucket_name, labels, Some("+Inf"), histogram.get_sample_count() as f64);
    sample(text, &format!("{name}_count"), labels, None, histogram.get_sample_count() as f64);
    sample(text, &format!("{name}_sum"), labels, None, histogram.get_sample_sum());
}

fn sample(text: &mut String, name: &str, labels: &[LabelPair], bound: Option<&str>, value: f64) {
    text.push_str(name);
    let named = labels.iter().map(|label| (label.name(), label.value())).chain(bound.map(|bound| ("le", bound)));
    let named: Vec<String> = named.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if !named.is_empty() {
        text.push_str(&format!("{{{}}}", named.join(",")));
    }
    text.push_str(&format!(" {}\n", number(value)));
}

/// Bounds and counts are floats, which the format wants to be seen: `1.0`.
fn number(value: f64) -> String {
    if value.is_infinite() { format!("{}Inf", if value > 0.0 { '+' } else { '-' }) } else { format!("{value:?}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lose_their_suffix_in_the_family_only() {
        let mut counter = prometheus::proto::Counter::default();
        counter.set_value(3.0);
        let mut label = LabelPair::default();
        label.set_name("graph".to_owned());
        label.set_value("a\"b\n".to_owned());
        let mut metric = Metric::default();
        metric.set_label(vec![label]);
        metric.set_counter(counter);
        let mut family = MetricFamily::default();
        family.set_name("runs_total".to_owned());
        family.set_help("Runs".to_owned());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(vec![metric]);
        let mut page = Vec::new();
        encode(&[family], &mut page);
        let text = "# TYPE runs counter\n# HELP runs Runs\nruns_total{graph=\"a\\\"b\\n\"} 3.0\n";
        assert_eq!(String::from_utf8(page).unwrap(), text);
    }
}
