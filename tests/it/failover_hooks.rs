//! Hooks around failovers: what they are told, in which order they run, what happens when one fails or hangs; webhooks are signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use crate::failovers::{FAILOVERS, change, checkpoint, fail_over, three};
use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::files;
use crate::support::process::{Process, run};
use crate::support::rest::{GRAPHS, get, post, send};
use crate::support::webhooks::receive;

/// A hook that runs a shell script.
pub(crate) fn shell(event: &str, script: &str, timeout_seconds: u32) -> String {
    format!("[[{event}]]\nname = \"script\"\ncommand = [\"sh\", \"-c\", {script:?}]\ntimeout_seconds = {timeout_seconds}\n")
}

/// A server with this file of hooks; and a directory for what they write.
async fn start(hooks: impl FnOnce(&Path) -> String, more: &[(&str, &str)]) -> (TestApp, tempfile::TempDir) {
    start_on(Kind::Sqlite, hooks, more).await
}

/// As [`start`], on this database.
pub(crate) async fn start_on(kind: Kind, hooks: impl FnOnce(&Path) -> String, more: &[(&str, &str)]) -> (TestApp, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("hooks.toml");
    fs::write(&file, hooks(home.path())).unwrap();
    let environment = [("LIGHTKEEP_HOOKS_FILE", file.to_str().unwrap())];
    let environment: Vec<(&str, &str)> = environment.into_iter().chain(more.iter().copied()).collect();
    (TestApp::start_with(kind, &environment).await, home)
}

fn steps(failover: &Json, kind: &str) -> Vec<(String, String)> {
    let steps = failover["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == kind);
    steps.map(|step| (step["hook"].as_str().unwrap().to_owned(), step["outcome"].as_str().unwrap().to_owned())).collect()
}

fn pair(hook: &str, outcome: &str) -> (String, String) {
    (hook.to_owned(), outcome.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_told_what_is_done_and_run_in_their_order() {
    let hooks = |home: &Path| {
        let told = format!("(env; cat) > {}/$LIGHTKEEP_HOOK_ACTION.$LIGHTKEEP_HOOK_EVENT", home.display());
        [shell("before_fence", &told, 10), shell("after_switch", &told, 10), shell("on_failure", &told, 10)].concat()
    };
    let (app, home) = start(hooks, &[]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let answer = fail_over(&app, &id, json!({})).await.ok();
    assert_eq!(answer["success"], json!(true), "{answer}");
    assert_eq!(steps(&answer["failover"], "hook"), [pair("before_fence 1: script", "done"), pair("after_switch 1: script", "done")]);
    let failover_id = answer["failover"]["failover_id"].as_str().unwrap();
    for (event, epoch) in [("before_fence", 1), ("after_switch", 1)] {
        let told = fs::read_to_string(home.path().join(format!("failover.{event}"))).unwrap();
        assert!(told.contains("LIGHTKEEP_GRAPH_IDS=b a c\n") && told.contains(&format!("LIGHTKEEP_FAILOVER_ID={failover_id}\n")), "{told}");
        let body: Json = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        assert_eq!((&body["event"], &body["action"], &body["checkpoint_id"]), (&json!(event), &json!("failover"), &json!(id)));
        let graph = &body["graphs"][1];
        assert_eq!((&graph["graph_id"], &graph["target_dir"], &graph["fence_epoch"]), (&json!("a"), &json!(sources[0]), &json!(epoch)));
    }
    let rolled_back = post(&app, &format!("{FAILOVERS}/{failover_id}/rollback"), &json!({})).await.ok();
    assert_eq!(rolled_back["state"], json!("rolled_back"), "{rolled_back}");
    let told = fs::read_to_string(home.path().join("rollback.after_switch")).unwrap();
    assert!(told.lines().last().unwrap().contains("\"fence_epoch\":2"), "each fence has a higher epoch: {told}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 5, "no failure was told");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_before_the_fence_ends_it_and_the_failure_is_told() {
    let hooks = |home: &Path| {
        let failing = shell("before_fence", "echo it does not stop; exit 3", 10);
        failing + &shell("on_failure", &format!("cat > {}/told", home.display()), 10)
    };
    let (app, home) = start(hooks, &[]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let before: Vec<Vec<String>> = sources.iter().map(|source| files::describe(source)).collect();
    let answer = fail_over(&app, &id, json!({})).await.ok();
    let failover = &answer["failover"];
    assert_eq!((&answer["success"], &failover["state"]), (&json!(false), &json!("failed")), "{answer}");
    let why = failover["error_message"].as_str().unwrap();
    assert!(why.contains("before_fence 1: script") && why.contains("exit status: 3") && why.contains("it does not stop"), "{why}");
    assert_eq!(steps(failover, "hook"), [pair("before_fence 1: script", "failed"), pair("on_failure 1: script", "done")]);
    assert_eq!(steps(failover, "fence"), []);
    let told: Json = serde_json::from_str(&fs::read_to_string(home.path().join("told")).unwrap()).unwrap();
    assert_eq!((&told["event"], &told["error_message"]), (&json!("on_failure"), &json!(why)));
    assert_eq!(sources.iter().map(|source| files::describe(source)).collect::<Vec<_>>(), before);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_is_killed_with_all_that_it_has_started() {
    // The child leaves the group, and would hold the output open.
    let hooks = |home: &Path| {
        let hangs = format!("setsid sleep 600 & echo $! > {}/child; echo waiting; sleep 600", home.display());
        shell("after_switch", &hangs, 1) + &shell("after_switch", &format!("touch {}/second", home.display()), 10)
    };
    let (app, home) = start(hooks, &[]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let changed: Vec<Vec<String>> = sources.iter().map(|source| files::describe(source)).collect();
    let answer = fail_over(&app, &id, json!({})).await.ok();
    let failover = &answer["failover"];
    assert_eq!((&answer["success"], &failover["state"]), (&json!(false), &json!("switched")), "{answer}");
    assert_eq!(steps(failover, "hook"), [pair("after_switch 1: script", "timed_out"), pair("after_switch 2: script", "done")]);
    assert!(home.path().join("second").exists(), "one that fails keeps no other from being run");
    let why = failover["error_message"].as_str().unwrap();
    assert!(why.contains("it was ended after 1 s") && why.contains("waiting"), "{why}");
    let child = fs::read_to_string(home.path().join("child")).unwrap();
    let left = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(left.is_empty() || left.contains(") Z "), "{left}");
    // All graphs are the new ones, and the rollback is there: its hook hangs too.
    let id = failover["failover_id"].as_str().unwrap();
    let rolled_back = post(&app, &format!("{FAILOVERS}/{id}/rollback"), &json!({})).await.ok();
    assert_eq!(rolled_back["state"], json!("rolled_back"), "{rolled_back}");
    assert!(rolled_back["error_message"].as_str().unwrap().contains("it was ended after 1 s"));
    assert_eq!(sources.iter().map(|source| files::describe(source)).collect::<Vec<_>>(), changed);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_signed_and_its_address_is_not_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hooks = |_: &Path| format!("[[after_switch]]\nurl = \"http://{address}/secret-token\"\n");
    let (app, _home) = start(hooks, &[("LIGHTKEEP_HOOK_SECRET", "Jefe")]).await;
    three(&app).await;
    let id = checkpoint(&app).await;
    let (posted, answer) = tokio::join!(receive(&listener, "204 No Content"), fail_over(&app, &id, json!({})));
    let answer = answer.ok();
    assert_eq!(answer["success"], json!(true), "{answer}");
    assert!(!answer.to_string().contains("secret-token"));
    assert!(posted.head.starts_with("POST /secret-token HTTP/1.1\r\n"), "{}", posted.head);
    posted.assert_signed("Jefe");
    // Nobody listens there any more.
    drop(listener);
    app.clock.advance(Duration::from_secs(1));
    let answer = fail_over(&app, &id, json!({})).await.ok();
    assert_eq!(answer["failover"]["state"], json!("switched"), "{answer}");
    assert!(answer["failover"]["error_message"].as_str().unwrap().contains("it cannot be reached"), "{answer}");
    assert!(!answer.to_string().contains("secret-token"));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_written_to_is_not_left_behind() {
    let hooks = |home: &Path| shell("before_fence", &format!("[ ! -e {0}/site ] || echo x > $(cat {0}/site)/late", home.display()), 10);
    let (app, home) = start(hooks, &[]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    let site = app.data("site");
    let answer = fail_over(&app, &id, json!({ "target_dirs": { "c": site } })).await.ok();
    fs::write(home.path().join("site"), site.to_str().unwrap()).unwrap();
    let back = format!("{FAILOVERS}/{}/failback", answer["failover"]["failover_id"].as_str().unwrap());
    let refused = post(&app, &back, &json!({})).await.ok();
    assert_eq!(refused["state"], json!("failed"), "{refused}");
    let why = refused["error_message"].as_str().unwrap();
    assert!(why.contains("was written to since its snapshot") && why.contains(site.join("late").to_str().unwrap()), "{why}");
    assert_eq!(get(&app, &format!("{GRAPHS}/c")).await.ok()["source_dir"], json!(site));
    fs::remove_file(home.path().join("site")).unwrap();
    app.clock.advance(Duration::from_secs(1));
    let done = post(&app, &back, &json!({})).await.ok();
    assert_eq!(done["state"], json!("succeeded"), "{done}");
    assert!(sources[2].join("late").exists(), "what was written late is in the new snapshot");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_waited_for_that_hooks_start() {
    let hooks = |_: &Path| shell("after_switch", "true", 10);
    let (app, _home) = start(hooks, &[("LIGHTKEEP_FAILOVER_SERVER_TIMEOUT_SECONDS", "1")]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let elsewhere = crate::restore_targets::server_of(&app.data("elsewhere"));
    let there = crate::restore_targets::server_of(&sources[0]);
    for (graph_id, url) in [("a", there), ("b", gone), ("c", elsewhere)] {
        let body = json!({ "server": { "url": url } }).to_string();
        send(&app, "PATCH", &format!("{GRAPHS}/{graph_id}"), &[("content-type", "application/json")], body).await.ok();
    }
    change(&sources);
    let answer = fail_over(&app, &id, json!({ "force": true })).await.ok();
    assert_eq!(answer["failover"]["state"], json!("switched"), "{answer}");
    let outcomes: Vec<_> = steps(&answer["failover"], "server").into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, ["failed", "done", "failed"], "in the order of the checkpoint: {answer}");
    let why = answer["failover"]["error_message"].as_str().unwrap();
    assert!(why.contains("graph `b`: after 1 s it is not healthy") && why.contains("graph `c`: after 1 s it uses another"), "{why}");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_cannot_be_done_leaves_the_new_graphs_and_is_told() {
    let hooks = |home: &Path| {
        let harm = format!("[ $LIGHTKEEP_HOOK_ACTION != rollback ] || rm -r $(readlink {}/kept)", home.display());
        shell("before_fence", &harm, 10) + &shell("on_failure", &format!("cat > {}/told", home.display()), 10)
    };
    let (app, home) = start(hooks, &[]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let answer = fail_over(&app, &id, json!({})).await.ok();
    let after: Vec<Vec<String>> = sources.iter().map(|source| files::describe(source)).collect();
    // What the hook removes is what was replaced.
    let kept = answer["failover"]["graphs"][2]["source"]["kept_as"].as_str().unwrap();
    std::os::unix::fs::symlink(kept, home.path().join("kept")).unwrap();
    let rolled_back =
        post(&app, &format!("{FAILOVERS}/{}/rollback", answer["failover"]["failover_id"].as_str().unwrap()), &json!({})).await.ok();
    assert_eq!(rolled_back["state"], json!("succeeded"), "{rolled_back}");
    let why = rolled_back["error_message"].as_str().unwrap();
    assert!(why.starts_with("it could not be rolled back: what failover") && why.contains(kept), "{why}");
    assert_eq!(sources.iter().map(|source| files::describe(source)).collect::<Vec<_>>(), after);
    let told: Json = serde_json::from_str(&fs::read_to_string(home.path().join("told")).unwrap()).unwrap();
    assert_eq!((&told["event"], &told["action"]), (&json!("on_failure"), &json!("rollback")));
    // The graphs are anybody's again.
    post(&app, &format!("{GRAPHS}/a/snapshots"), &json!({})).await.ok();
    finish(app).await;
}

/// A hook that was interrupted is run again; one that was done is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_each_hook_has_been_run_to_its_end_once() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().canonicalize().unwrap();
    let source = files::small(&home.join("source"));
    fs::write(home.join("hooks.toml"), shell("before_fence", "echo x >> ran", 10)).unwrap();
    let hooks_file = home.join("hooks.toml");
    let environment =
        |failpoint: &'static str| [("LIGHTKEEP_FAILPOINT", failpoint), ("LIGHTKEEP_HOOKS_FILE", hooks_file.to_str().unwrap())];
    let mut server = Process::start(&home, &environment("failover.hooked"));
    let (graph_id, source_dir) = ("a".to_owned(), source.to_str().unwrap().to_owned());
    server.backup().await.register_graph(v1::RegisterGraphRequest { graph_id, source_dir, ..Default::default() }).await.unwrap();
    let mut recovery = server.recovery().await;
    let request = v1::CreateCheckpointRequest { graph_ids: vec!["a".to_owned()], ..Default::default() };
    let checkpoint_id = recovery.create_checkpoint(request).await.unwrap().into_inner().checkpoint_id;
    let request = v1::RunFailoverRequest { checkpoint_id, ..Default::default() };
    recovery.run_failover(request.clone()).await.unwrap_err();
    assert!(!server.wait().success(), "the step was not reached");
    let server = Process::start(&home, &environment("none"));
    let mut recovery = server.recovery().await;
    loop {
        let listed = recovery.list_failovers(v1::ListFailoversRequest::default()).await.unwrap().into_inner().failovers;
        if listed[0].ended_at.is_some() {
            assert_eq!(listed[0].state(), v1::FailoverState::Succeeded, "{listed:?}");
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(fs::read_to_string(home.join("ran")).unwrap(), "x\n");
}

#[test]
fn a_file_of_hooks_that_is_wrong_is_named_with_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let hooks: PathBuf = directory.path().join("hooks.toml");
    let environment = [("LIGHTKEEP_HOOKS_FILE", "hooks.toml")];
    let refused = |text: &str| {
        fs::write(&hooks, text).unwrap();
        let output = run(directory.path(), &["serve"], &environment);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let both = refused("[[before_fence]]\ntimeout_seconds = 0\ncommand = [\"a\"]\n[[on_failure]]\n");
    assert!(both.contains("before_fence 1: `timeout_seconds`") && both.contains("on_failure 1: needs either"), "{both}");
    assert!(refused("[[before_fense]]\n").contains("before_fense"));
    assert!(refused("[[before_fence]]\nshell = \"x\"\n").contains("shell"));
    fs::remove_file(&hooks).unwrap();
    let output = run(directory.path(), &["serve"], &environment);
    assert!(String::from_utf8(output.stderr).unwrap().contains("`LIGHTKEEP_HOOKS_FILE` cannot be read"));
}
