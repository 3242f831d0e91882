//! Audits a directory by all rules, for `benches/audit` to compare with the same rules in Python.
//! Argument: the directory. Prints JSON: what is found, the seconds that took, and the peak of memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use lightkeep::base::control::Control;
use lightkeep::lightrag::audit::audit_directory;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory] = arguments.as_slice() else {
        println!("give a directory; nothing audited");
        return Ok(());
    };
    let started = Instant::now();
    let verdict = audit_directory(Path::new(directory), &Control::default())?;
    let seconds = started.elapsed().as_secs_f64();
    let mut found = BTreeMap::new();
    for finding in &verdict.findings {
        let severity = serde_json::to_value(finding.severity)?;
        found.insert(format!("{:?} {}", finding.rule, severity.as_str().unwrap_or_default()), finding.count);
    }
    println!("{}", serde_json::json!({"seconds": seconds, "peak_bytes": peak_bytes()?, "found": found}));
    Ok(())
}

fn peak_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel tells no peak of memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
