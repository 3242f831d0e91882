//! Hooks: what an operator wants done around a failover, such as stopping and starting LightRAG servers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words::words;

/// How long a hook may take where it does not say, and at most, seconds.
const DEFAULT_TIMEOUT_SECONDS: u32 = 60;
const MAX_TIMEOUT_SECONDS: u32 = 3600;

words! {
    /// When hooks are run.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum HookEvent {
        /// Before anything else may no longer work on the graphs. One that fails ends the failover, and nothing has been touched.
        BeforeFence = "before_fence",
        /// When all graphs are in place. One that fails keeps no other from being run.
        AfterSwitch = "after_switch",
        /// When the graphs are the old ones after all.
        OnFailure = "on_failure",
    }
}

/// What a hook does. Its words and its address may hold tokens: `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub enum HookAction {
    /// Runs a program with these arguments, without a shell.
    Command(Vec<String>),
    /// Posts to this address.
    Webhook(String),
}

impl fmt::Debug for HookAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command(_) => "Command(..)",
            Self::Webhook(_) => "Webhook(..)",
        })
    }
}

/// One thing that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What it is called in reports; its address may hold a token, so that is not told.
    pub name: String,
    /// What it does.
    pub action: HookAction,
    /// How long it may take.
    pub timeout: Duration,
}

/// All hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    before_fence: Vec<Hook>,
    after_switch: Vec<Hook>,
    on_failure: Vec<Hook>,
}

/// The file of hooks, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookFile {
    before_fence: Vec<WrittenHook>,
    after_switch: Vec<WrittenHook>,
    on_failure: Vec<WrittenHook>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHook {
    name: Option<String>,
    command: Option<Vec<String>>,
    url: Option<String>,
    timeout_seconds: Option<u32>,
}

impl Hooks {
    /// The hooks of an event, in their order.
    pub fn of(&self, event: HookEvent) -> &[Hook] {
        match event {
            HookEvent::BeforeFence => &self.before_fence,
            HookEvent::AfterSwitch => &self.after_switch,
            HookEvent::OnFailure => &self.on_failure,
        }
    }
}

impl HookFile {
    /// Checks what was written.
    ///
    /// # Errors
    /// All that is wrong, each naming its hook.
    pub fn check(self) -> Result<Hooks, Vec<String>> {
        let mut problems = Vec::new();
        let mut checked = |event: HookEvent, written: Vec<WrittenHook>| {
            let one = |(number, hook): (usize, WrittenHook)| {
                hook.check().map_err(|must| problems.push(format!("{event} {}: {must}", number + 1))).ok()
            };
            (0..).zip(written).filter_map(one).collect::<Vec<Hook>>()
        };
        let hooks = Hooks {
            before_fence: checked(HookEvent::BeforeFence, self.before_fence),
            after_switch: checked(HookEvent::AfterSwitch, self.after_switch),
            on_failure: checked(HookEvent::OnFailure, self.on_failure),
        };
        if problems.is_empty() { Ok(hooks) } else { Err(problems) }
    }
}

impl WrittenHook {
    fn check(self) -> Result<Hook, String> {
        let timeout_seconds = self.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        if !(1..=MAX_TIMEOUT_SECONDS).contains(&timeout_seconds) {
            return Err(format!("`timeout_seconds` must be from 1 to {MAX_TIMEOUT_SECONDS}: {timeout_seconds}"));
        }
        let (action, shown) = match (self.command, self.url) {
            (Some(command), None) => match command.first().filter(|program| !program.is_empty()).cloned() {
                Some(program) => (HookAction::Command(command), program),
                None => return Err("`command` must name a program, and then its arguments".to_owned()),
            },
            (None, Some(url)) => match host(&url) {
                Some(host) => (HookAction::Webhook(url), host),
                None => return Err("`url` must begin with `http://` or `https://` and name a host".to_owned()),
            },
            (None, None) | (Some(_), Some(_)) => return Err("needs either `command` or `url`".to_owned()),
        };
        Ok(Hook { name: self.name.unwrap_or(shown), action, timeout: Duration::from_secs(timeout_seconds.into()) })
    }
}

/// The host of an address, and nothing else of it.
pub fn host(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: Option<&str>, command: Option<&[&str]>, url: Option<&str>, timeout_seconds: Option<u32>) -> WrittenHook {
        let command = command.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        WrittenHook { name: name.map(str::to_owned), command, url: url.map(str::to_owned), timeout_seconds }
    }

    #[test]
    fn a_hook_is_called_by_what_is_no_secret() {
        let command = written(None, Some(&["systemctl", "stop", "lightrag"]), None, None).check().expect("valid");
        assert_eq!((command.name.as_str(), command.timeout), ("systemctl", Duration::from_secs(60)));
        let url = written(None, None, Some("https://user:secret@hooks.example:8443/token?key=1"), Some(3600)).check().expect("valid");
        assert_eq!((url.name.as_str(), url.timeout), ("hooks.example:8443", Duration::from_secs(3600)));
        assert_eq!(written(Some("stop"), Some(&["a"]), None, Some(1)).check().expect("valid").name, "stop");
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let file = HookFile {
            before_fence: vec![written(None, None, None, None), written(None, Some(&["a"]), Some("http://b"), None)],
            after_switch: vec![written(None, Some(&[]), None, None), written(None, None, Some("ftp://b"), None)],
            on_failure: vec![written(None, Some(&["a"]), None, Some(0)), written(None, None, Some("https:///path"), None)],
        };
        let problems = file.check().expect_err("wrong");
        let starts = ["before_fence 1: needs", "before_fence 2: needs", "after_switch 1: `command`", "after_switch 2: `url`"];
        let starts = starts.into_iter().chain(["on_failure 1: `timeout_seconds`", "on_failure 2: `url`"]);
        assert_eq!(problems.len(), 6);
        assert!(problems.iter().zip(starts).all(|(problem, start)| problem.starts_with(start)), "{problems:?}");
        assert_eq!(HookFile::default().check(), Ok(Hooks::default()));
    }
}
