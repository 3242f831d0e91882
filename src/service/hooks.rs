//! Running hooks: a program that is killed at its timeout with all that it has started, or a webhook whose body is signed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::time::timeout;

use super::Services;
use super::error::Error;
use super::processes::{Mark, program};
use super::webhook::{Post, PostFailure};
use crate::base::control::Control;
use crate::base::ids::{FailoverId, OperationId};
use crate::base::secret::Secret;

use crate::domain::failover::{Member, StepOutcome};
use crate::domain::hook::{Hook, HookAction, HookEvent, Hooks};

/// The variable by which a hook's processes are known.
const HOOK_VARIABLE: &str = "LIGHTKEEP_HOOK_RUN";

/// What the operator has set for failovers.
#[derive(Debug, Clone, Default)]
pub struct FailoverSettings {
    /// What is done around them.
    pub hooks: Hooks,
    /// Signs webhooks.
    pub hook_secret: Option<Secret>,
    /// How long LightRAG servers have until they are healthy, where a hook starts them.
    pub server_timeout: Duration,
}

/// What a hook is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    /// `failover`, `failback` or `rollback`.
    pub(super) action: &'static str,
    pub(super) failover_id: FailoverId,
    pub(super) checkpoint_id: &'a str,
    pub(super) operation_id: OperationId,
    pub(super) members: &'a [Member],
    /// The fences' epochs, in the order of the members.
    pub(super) epochs: &'a [i64],
    pub(super) error_message: Option<&'a str>,
}

/// A hook among those of its event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) event: HookEvent,
    /// From 1.
    pub(super) number: usize,
    pub(super) hook: &'a Hook,
}

impl Turn<'_> {
    /// What it is called in reports.
    pub(super) fn label(&self) -> String {
        format!("{} {}: {}", self.event, self.number, self.hook.name)
    }
}

impl Told<'_> {
    /// What goes into a webhook's body, and to a program's standard input.
    fn body(&self, event: HookEvent, now: &str) -> String {
        let graph = |(member, epoch): (&Member, &i64)| {
            json!({
                "graph_id": member.graph_id,
                "snapshot_id": member.snapshot_id,
                "from": member.source.from,
                "target_dir": member.source.target,
                "inputs_target_dir": member.inputs.as_ref().map(|inputs| &inputs.target),
                "fence_epoch": epoch,
            })
        };
        let body = json!({
            "event": event.as_str(),
            "action": self.action,
            "failover_id": self.failover_id.to_string(),
            "checkpoint_id": self.checkpoint_id,
            "time": now,
            "error_message": self.error_message,
            "graphs": self.members.iter().zip(self.epochs).map(graph).collect::<Vec<_>>(),
        });
        body.to_string()
    }
}

/// How a hook ended that did not end well.
pub(super) struct HookFailure {
    pub(super) outcome: StepOutcome,
    pub(super) message: String,
}

impl HookFailure {
    fn failed(message: impl Into<String>) -> Self {
        Self { outcome: StepOutcome::Failed, message: message.into() }
    }

    fn timed_out(after: Duration) -> Self {
        Self { outcome: StepOutcome::TimedOut, message: format!("it was ended after {} s", after.as_secs()) }
    }
}

impl Services {
    /// Runs one hook to its end or its timeout.
    ///
    /// # Errors
    /// The operation was cancelled; the machine fails. How the hook ended is the answer.
    pub(super) async fn run_hook(&self, turn: &Turn<'_>, told: &Told<'_>, control: &Control) -> Result<Result<(), HookFailure>, Error> {
        control.go_on()?;
        let body = told.body(turn.event, &self.now().to_string());
        match &turn.hook.action {
            HookAction::Command(command) => self.run_program(turn, told, command, &body, control).await,
            HookAction::Webhook(url) => tokio::select! {
                ended = self.post_webhook(url, body, turn.hook.timeout) => Ok(ended),
                cancelled = control.cancelled() => Err(cancelled.into()),
            },
        }
    }

    async fn run_program(
        &self,
        turn: &Turn<'_>,
        told: &Told<'_>,
        command: &[String],
        body: &str,
        control: &Control,
    ) -> Result<Result<(), HookFailure>, Error> {
        let mark = Mark { variable: HOOK_VARIABLE, value: format!("{} {} {}", told.operation_id, turn.event, turn.number) };
        let output = self.hook_output(turn, told.operation_id);
        // What an attempt has left that was interrupted goes first: two of one hook would be in each other's way.
        let (earlier, path) = (mark.clone(), output.clone());
        let opened = self.blocking(move || {
            earlier.kill_all();
            Ok::<_, Error>(open_output(&path))
        });
        let started = opened.await?.and_then(|file| start(command, told, turn.event, &mark, file));
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return Ok(Err(HookFailure::failed(format!("it cannot be started: {error}")))),
        };
        let input = child.stdin.take();
        let told = async {
            if let Some(mut input) = input {
                // One that does not read it need not.
                let _ = input.write_all(body.as_bytes()).await;
            }
        };
        let ended = async { tokio::join!(child.wait(), told).0 };
        let ended = tokio::select! {
            ended = timeout(turn.hook.timeout, ended) => Ok(ended),
            cancelled = control.cancelled() => Err(cancelled),
        };
        match ended {
            Ok(Ok(Ok(status))) if status.success() => Ok(Ok(())),
            Ok(Ok(Ok(status))) => Ok(Err(HookFailure::failed(self.with_output(format!("it ended with {status}"), &output).await))),
            Ok(Ok(Err(error))) => Err(Error::internal("wait for a hook", error)),
            Ok(Err(_)) => {
                self.end_program(&mut child, mark).await?;
                let failure = HookFailure::timed_out(turn.hook.timeout);
                Ok(Err(HookFailure { message: self.with_output(failure.message.clone(), &output).await, ..failure }))
            }
            Err(cancelled) => {
                self.end_program(&mut child, mark).await?;
                Err(cancelled.into())
            }
        }
    }

    /// Where a hook's output goes. What it has started and left running writes on.
    fn hook_output(&self, turn: &Turn<'_>, operation_id: OperationId) -> PathBuf {
        self.settings().places.storage.join(".hooks").join(format!("{operation_id}-{}-{}.log", turn.event, turn.number))
    }

    async fn post_webhook(&self, url: &str, body: String, limit: Duration) -> Result<(), HookFailure> {
        let secret = self.settings().failover.hook_secret.as_ref();
        let post = Post { url, content_type: "application/json", body, secret, limit };
        post.send().await.map_err(|failure| match failure {
            PostFailure::TimedOut => HookFailure::timed_out(limit),
            PostFailure::Failed(why) => HookFailure::failed(why),
        })
    }
}

/// The file that a hook's output is added to. Blocking.
fn open_output(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn start(command: &[String], told: &Told<'_>, event: HookEvent, mark: &Mark, output: File) -> io::Result<Child> {
    let (name, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let graph_ids: Vec<&str> = told.members.iter().map(|member| member.graph_id.as_str()).collect();
    program(name)
        .args(arguments)
        .env("LIGHTKEEP_HOOK_EVENT", event.as_str())
        .env("LIGHTKEEP_HOOK_ACTION", told.action)
        .env("LIGHTKEEP_FAILOVER_ID", told.failover_id.to_string())
        .env("LIGHTKEEP_GRAPH_IDS", graph_ids.join(" "))
        .env(mark.variable, &mark.value)
        // LightRAG has a variable of this name too, but no hook is a LightRAG.
        .env_remove("LIGHTRAG_API_KEY")
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
}
