//! The dashboard by its door: who gets in, what pages say, what forms must prove, and what becomes of what they ask for.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::alerts::{failed, look};
use crate::support::app::{TestApp, finish, settled};
use crate::support::database::{Kind, on_each_database};
use crate::support::rest::{Answer, GRAPHS, client, get, post, send};

const HOME: &str = "/api/monitoring/dashboard";
const KEY: &str = "correct horse battery staple";
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const SCRIPT: &str = "<script>alert(1)</script>";
const SHOWN: &str = "&#60;script&#62;alert(1)&#60;/script&#62;";

/// All pages that need no id.
const PAGES: [&str; 12] = [
    "",
    "/graphs",
    "/operations",
    "/schedules",
    "/targets",
    "/checkpoints",
    "/failovers",
    "/drills",
    "/alerts",
    "/events",
    "/metrics",
    "/instances",
];

async fn page(app: &TestApp, path: &str) -> String {
    let answer = send(app, "GET", path, &[HTML], "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{path}: {}", answer.text);
    answer.text
}

/// What stands between two texts.
fn between<'t>(text: &'t str, from: &str, until: &str) -> &'t str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(until)).unwrap_or_else(|| panic!("no `{from}` in {text}")).0
}

fn total(page: &str, name: &str) -> u64 {
    between(page, &format!("data-total=\"{name}\">"), "<").parse().unwrap()
}

fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// A page with a form: its session, and the form's hidden fields.
async fn form(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> (String, String, String) {
    let answer = send(app, "GET", path, &[&[HTML], headers].concat(), "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let field = |name: &str| between(&answer.text, &format!("name=\"{name}\" value=\""), "\"").to_owned();
    (cookie(&answer), field("token"), field("request_id"))
}

/// Asks for an action as a browser does, with the form's own fields and these.
async fn act(app: &TestApp, verb: &str, fields: &str, more: &[(&str, &str)]) -> Answer {
    let path = format!("{HOME}/actions/{verb}");
    let (cookie, token, request_id) = form(app, &format!("{path}?{fields}"), &[]).await;
    let body = format!("token={token}&request_id={request_id}&{fields}");
    send(app, "POST", &path, &[&[HTML, FORM, ("cookie", cookie.as_str())], more].concat(), body).await
}

async fn operations(app: &TestApp) -> Vec<Json> {
    get(app, "/api/operations?page_size=1000").await.ok()["operations"].as_array().unwrap().clone()
}

on_each_database!(every_page_stands_empty_and_full, async |app: TestApp| {
    for path in PAGES {
        page(&app, &format!("{HOME}{path}")).await;
    }
    assert!(page(&app, "/").await.contains("There is no graph yet"));
    let source = app.sample("rag");
    let first = app.snapshot("Öl-知识", &source).await;
    app.clock.advance(Duration::from_secs(3600));
    let second = app.snapshot("Öl-知识", &source).await;
    let body = json!({ "graph_ids": ["Öl-知识"], "description": format!("nightly {SCRIPT}") });
    let checkpoint = post(&app, "/api/backup/recovery/checkpoints", &body).await.ok();
    let failover = format!("/api/backup/recovery/checkpoints/{}/failover", checkpoint["checkpoint_id"].as_str().unwrap());
    let failover = post(&app, &failover, &json!({})).await.ok();
    post(&app, "/api/backup/recovery/health-check", &json!({})).await.ok();
    for path in PAGES {
        page(&app, &format!("{HOME}{path}")).await;
    }
    assert!(page(&app, &format!("{HOME}/checkpoints")).await.contains(SHOWN));
    let graph = format!("{HOME}/graphs/%C3%96l-%E7%9F%A5%E8%AF%86");
    let shown = page(&app, &graph).await;
    assert!(shown.contains("<h1>Öl-知识</h1>") && shown.contains("class=\"timeline\"") && shown.contains("class=\"trend\""), "{shown}");
    let (one, other) = (&first.backup_id, &second.backup_id);
    assert!(page(&app, &format!("{graph}/diff?base={one}&other={other}")).await.contains("Nothing differs"));
    assert!(
        page(&app, &format!("{graph}/restore?snapshot={one}&target_dir={}", app.data("new").display())).await.contains("Files restored")
    );
    page(&app, &format!("{HOME}/operations/{}", first.operation_id)).await;
    page(&app, &format!("{HOME}/failovers/{}", failover["failover"]["failover_id"].as_str().unwrap())).await;
    app
});

on_each_database!(the_first_page_has_the_numbers_of_the_api, async |app: TestApp| {
    let source = app.sample("rag");
    for graph_id in ["a", "b", "b"] {
        app.snapshot(graph_id, &source).await;
    }
    post(&app, GRAPHS, &json!({ "graph_id": "empty", "source_dir": source })).await.ok();
    post(&app, "/api/backup/recovery/checkpoints", &json!({ "graph_ids": ["a"], "description": "" })).await.ok();
    let first = page(&app, HOME).await;
    let backups = get(&app, "/api/monitoring/stats/backups").await.ok();
    let recovery = get(&app, "/api/monitoring/stats/recovery").await.ok();
    assert_eq!((&backups["total_backups"], &recovery["validated_checkpoints"]), (&json!(4), &json!(1)));
    for (stats, name) in [
        (&backups, "total_backups"),
        (&backups, "total_size_bytes"),
        (&recovery, "total_checkpoints"),
        (&recovery, "validated_checkpoints"),
    ] {
        assert_eq!(json!(total(&first, name)), stats[name], "{name}");
    }
    assert!(first.contains("LightRAG") && first.contains("href=\"/api/monitoring/metrics/prometheus\""), "{first}");
    // Nobody has looked at two of them, and the third has nothing to be restored.
    assert_eq!((between(&first, "data-count=\"critical\">", "<"), between(&first, "data-count=\"unknown\">", "<")), ("1", "2"));
    assert!(first.contains("1 of 3 graphs is not protected"), "{first}");
    let troubled = page(&app, &format!("{HOME}/graphs?state=critical")).await;
    assert!(troubled.contains(">empty</a>") && troubled.contains("there is no good snapshot, take one") && !troubled.contains(">a</a>"));
    app
});

on_each_database!(actions_do_what_the_api_does, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    let of_snapshot = format!("graph=g&id={}", snapshot.backup_id);
    for (verb, fields, kind) in [("snapshot", "graph=g", "snapshot"), ("verify", &*of_snapshot, "verify"), ("drill", "graph=g", "drill")] {
        let answer = act(&app, verb, fields, &[("sec-fetch-site", "same-origin")]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let id = answer.header("location").strip_prefix(&format!("{HOME}/operations/")).unwrap();
        assert_eq!(get(&app, &format!("/api/operations/{id}")).await.ok()["kind"], json!(kind));
    }
    settled(&app).await;
    let graph = format!("{HOME}/graphs/g");
    let answer = act(&app, "pin", &format!("{of_snapshot}&reason=kept+{}", SCRIPT.replace('<', "%3C")), &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, graph.as_str()), "{}", answer.text);
    assert!(page(&app, &graph).await.contains(&format!("pinned: kept {SHOWN}")));
    assert_eq!(act(&app, "unpin", &of_snapshot, &[]).await.status, 303);
    assert!(!page(&app, &graph).await.contains("pinned:"));
    let schedule = post(&app, "/api/backup/backup/schedule", &json!({ "graph_id": "g", "interval_hours": 6 })).await.ok();
    let of_schedule = format!("id={}", schedule["schedule_id"].as_str().unwrap());
    assert_eq!(act(&app, "pause-schedule", &of_schedule, &[]).await.status, 303);
    assert_eq!(get(&app, "/api/backup/backup/schedule/g").await.ok()["paused"], json!(true));
    assert_eq!(act(&app, "resume-schedule", &of_schedule, &[]).await.status, 303);
    let before = operations(&app).await.len();
    assert_eq!(act(&app, "run-schedule", &of_schedule, &[]).await.status, 303);
    assert_eq!(operations(&app).await.len(), before + 1);
    settled(&app).await;
    assert_eq!(act(&app, "cancel", &format!("id={}", snapshot.operation_id), &[]).await.status, 303);
    // A form that is sent twice is done once.
    let path = format!("{HOME}/actions/snapshot");
    let (cookie, token, request_id) = form(&app, &format!("{path}?graph=g"), &[]).await;
    let before = operations(&app).await.len();
    let mut seen = vec![];
    for _ in 0..2 {
        let body = format!("token={token}&request_id={request_id}&graph=g");
        seen.push(send(&app, "POST", &path, &[HTML, FORM, ("cookie", &cookie)], body).await.header("location").to_owned());
    }
    assert_eq!((operations(&app).await.len(), &seen[0]), (before + 1, &seen[1]));
    let who = app.query("SELECT DISTINCT caller FROM audit_events WHERE action = 'PinSnapshot'").await;
    assert_eq!(who, ["anonymous"]);
    settled(&app).await;
    app
});

on_each_database!(forged_forms_do_nothing, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let before = operations(&app).await.len();
    let forgeries: [&[(&str, &str)]; 4] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ];
    for forged in forgeries {
        let answer = act(&app, "snapshot", "graph=g", forged).await;
        assert!(answer.status == 403 && answer.text.contains("was not sent from a page of this server"), "{forged:?}: {}", answer.text);
    }
    let path = format!("{HOME}/actions/snapshot");
    let (cookie, token, _) = form(&app, &format!("{path}?graph=g"), &[]).await;
    let (other_cookie, ..) = form(&app, &format!("{path}?graph=g"), &[]).await;
    let with_token = format!("graph=g&token={token}");
    for (cookie, body) in [(&*cookie, "graph=g"), (&*cookie, "graph=g&token=0"), ("", &*with_token), (&*other_cookie, &*with_token)] {
        let answer = send(&app, "POST", &path, &[HTML, FORM, ("cookie", cookie)], body.to_owned()).await;
        assert!(answer.status == 403 && answer.text.contains("does not carry the token of your session"), "{body}: {}", answer.text);
    }
    assert_eq!(operations(&app).await.len(), before);
    let good = send(&app, "POST", &path, &[HTML, FORM, ("cookie", &cookie), ("origin", app.url("").as_str())], with_token).await;
    assert_eq!(good.status, 303, "{}", good.text);
    settled(&app).await;
    app
});

on_each_database!(an_alert_is_seen_and_acknowledged, async |app: TestApp| {
    let fired = look(&app, failed(&["a"])).await;
    let (id, rule) = (fired[0]["alert_id"].as_str().unwrap(), fired[0]["rule"].as_str().unwrap());
    let first = page(&app, HOME).await;
    assert!(first.contains("1 firing") && first.contains(rule), "{first}");
    assert!(page(&app, &format!("{HOME}/alerts")).await.contains(&format!("actions/acknowledge?id={id}")));
    let fields = format!("id={id}&reason=disk+{}", SCRIPT.replace('<', "%3C"));
    assert_eq!(act(&app, "acknowledge", &fields, &[]).await.header("location"), format!("{HOME}/alerts"));
    let known = page(&app, &format!("{HOME}/alerts?rule={rule}&graph=a")).await;
    app.snapshot("a", &app.sample("rag")).await;
    assert!(page(&app, &format!("{HOME}/graphs/a")).await.contains(&format!("<b>{rule}</b>")));
    assert!(known.contains("acknowledged by anonymous") && known.contains(&format!("disk {SHOWN}")), "{known}");
    assert!(!known.contains("actions/acknowledge"));
    for odd in ["alerts?rule=%00", "events?graph=%00&topic=x", "operations?kind=%00", "metrics?metric=%00&length=x", "graphs?search=%00"] {
        page(&app, &format!("{HOME}/{odd}")).await;
    }
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_pages_need_a_session() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_API_KEY", KEY)]).await;
    for path in PAGES {
        let path = format!("{HOME}{path}");
        let browser = send(&app, "GET", &path, &[HTML], "").await;
        assert_eq!(browser.status, 303, "{path}");
        assert!(browser.header("location").starts_with(&format!("{HOME}/login?next=%2Fapi")), "{path}");
        let program = get(&app, &path).await;
        assert_eq!((program.refusal().0, &program.json["reason"]), (401, &json!("API_KEY_REQUIRED")), "{path}");
        for key in [("x-api-key", KEY), ("authorization", "Bearer correct horse battery staple")] {
            assert_eq!(send(&app, "GET", &path, &[key], "").await.status, 200, "{path}");
        }
    }
    assert_eq!(send(&app, "GET", &format!("{HOME}/stream"), &[], "").await.status, 401);
    let login = send(&app, "GET", &format!("{HOME}/login?next={HOME}/graphs"), &[HTML], "").await;
    let (visitor, token) = (cookie(&login), between(&login.text, "name=\"token\" value=\"", "\"").to_owned());
    let give = async |key: &str, more: &[(&str, &str)]| {
        let body = format!("token={token}&next={HOME}/graphs&key={}", key.replace(' ', "+"));
        send(&app, "POST", &format!("{HOME}/login"), &[&[HTML, FORM, ("cookie", visitor.as_str())], more].concat(), body).await
    };
    let wrong = give("wrong", &[]).await;
    assert!(
        wrong.status == 403 && wrong.text.contains("not the key of this server") && wrong.header("set-cookie").is_empty(),
        "{}",
        wrong.text
    );
    assert_eq!(give(KEY, &[("origin", "https://evil.example")]).await.status, 403);
    let right = give(KEY, &[("x-forwarded-proto", "https")]).await;
    assert_eq!((right.status, right.header("location")), (303, format!("{HOME}/graphs").as_str()));
    let flags = right.header("set-cookie").to_owned();
    assert!(["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=43200"].iter().all(|flag| flags.contains(flag)), "{flags}");
    assert!(!give(KEY, &[]).await.header("set-cookie").contains("Secure"));
    let session = cookie(&right);
    let with_session = async |path: &str| send(&app, "GET", path, &[HTML, ("cookie", &session)], "").await;
    let graphs = with_session(&format!("{HOME}/graphs")).await;
    assert_eq!(graphs.status, 200);
    let token = between(&graphs.text, "name=\"token\" value=\"", "\"");
    let body = format!("token={token}");
    let mut stream = client().get(app.url(&format!("{HOME}/stream"))).header("cookie", &session).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    let out = send(&app, "POST", &format!("{HOME}/logout"), &[HTML, FORM, ("cookie", &session)], body).await;
    assert!(out.status == 303 && out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(with_session(HOME).await.status, 303, "the session is over, whoever has kept its cookie");
    // Nor does anybody hear more by it.
    while stream.chunk().await.unwrap().is_some() {}
    let second = cookie(&give(KEY, &[]).await);
    assert_eq!(send(&app, "GET", HOME, &[HTML, ("cookie", &second)], "").await.status, 200);
    app.clock.advance(Duration::from_secs(12 * 3600 + 1));
    assert_eq!(send(&app, "GET", HOME, &[HTML, ("cookie", &second)], "").await.status, 303);
    finish(app).await;
}

on_each_database!(what_is_not_there_is_told_on_a_page, async |app: TestApp| {
    let unknown =
        ["/nowhere", "/graphs/none", "/graphs/%3Cscript%3Ealert(1)%3C%2Fscript%3E", "/operations/x", "/failovers/x", "/actions/x"];
    for path in unknown.into_iter().chain(["/graphs/none/diff", "/actions/snapshot?graph=none", "/actions/cancel?id=x"]) {
        let answer = send(&app, "GET", &format!("{HOME}{path}"), &[HTML], "").await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "text/html; charset=utf-8"), "{path}");
        let name = answer.header("x-request-id");
        assert!(!name.is_empty() && answer.text.contains(name) && !answer.text.contains("<script>"), "{path}: {}", answer.text);
    }
    let script = send(&app, "GET", &format!("{HOME}/graphs/%3Cscript%3Ealert(1)%3C%2Fscript%3E"), &[HTML], "").await;
    assert!(script.text.contains(&format!("Graph {SHOWN} not found")), "{}", script.text);
    assert_eq!(send(&app, "GET", &format!("{HOME}/graphs/%FF"), &[HTML], "").await.status, 404);
    assert_eq!(send(&app, "GET", &format!("{HOME}/graphs?page=%25"), &[HTML], "").await.status, 400);
    assert_eq!(send(&app, "DELETE", &format!("{HOME}/graphs"), &[HTML], "").await.status, 405);
    assert_eq!(send(&app, "GET", &format!("{HOME}/"), &[HTML], "").await.header("location"), HOME);
    // What is not ours is still the shim's.
    assert_eq!(get(&app, "/api/monitoring/nowhere").await.refusal(), (404, "Not Found"));
    app
});

on_each_database!(headers_let_nothing_else_in, async |app: TestApp| {
    let answer = send(&app, "GET", HOME, &[HTML], "").await;
    let policy = answer.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"));
    assert!(!answer.text.contains(" style=") && !answer.text.contains(" onclick=") && !answer.text.contains("<style"));
    for (attribute, kind) in
        [("<link rel=\"stylesheet\" href=\"", "text/css; charset=utf-8"), ("<script src=\"", "text/javascript; charset=utf-8")]
    {
        let file = get(&app, between(&answer.text, attribute, "\"")).await;
        assert_eq!((file.status, file.header("content-type"), file.header("x-content-type-options")), (200, kind, "nosniff"));
        assert!(file.header("cache-control").contains("immutable"));
    }
    assert_eq!(send(&app, "HEAD", HOME, &[HTML], "").await.status, 200);
    app
});

on_each_database!(without_its_database_there_is_an_error_page, async |app: TestApp| {
    app.server.services().store().clone().close().await.unwrap();
    for path in PAGES {
        let answer = send(&app, "GET", &format!("{HOME}{path}"), &[HTML], "").await;
        assert!(answer.status == 503 && answer.text.contains("the metadata database does not answer"), "{path}: {}", answer.text);
        assert_eq!((answer.header("retry-after"), answer.header("refresh")), ("5", "5"));
    }
    app.restart().await
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_tells_what_moves_and_ends_with_the_server() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let mut stream = reqwest::get(app.url(&format!("{HOME}/stream"))).await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let message: Json = serde_json::from_str(first.strip_prefix("data: ").unwrap().trim()).unwrap();
    assert_eq!((&message["counts"]["graphs"], &message["operations"]), (&json!(1), &json!([])), "{message}");
    finish(app).await;
    while let Some(_more) = stream.chunk().await.unwrap() {}
}
