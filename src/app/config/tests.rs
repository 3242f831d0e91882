use clap::Parser as _;

use super::*;

const NO_FLAGS: &[&str] = &["lightkeep", "serve"];

fn load(flags: &[&str], environment: &[(&str, &str)], working_dir: &Path) -> Result<Config, Vec<String>> {
    let args = Args::try_parse_from(flags).expect("flags");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&args, &environment, working_dir).map_err(|problems| problems.iter().map(str::to_owned).collect())
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// The only problem of an environment.
fn problem(environment: &[(&str, &str)]) -> String {
    let mut problems = load(NO_FLAGS, environment, directory().path()).expect_err("must be refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn defaults() {
    let dir = directory();
    let config = load(NO_FLAGS, &[], dir.path()).expect("a configuration");
    let real = dir.path().canonicalize().expect("the directory");
    assert_eq!(config.http_addr.to_string(), "127.0.0.1:9621");
    assert_eq!(config.grpc_addr.to_string(), "127.0.0.1:50051");
    assert_eq!(config.metrics_addr.to_string(), "127.0.0.1:9090");
    assert_eq!(config.storage, real.join("lightrag_backups"));
    assert_eq!(config.database, DatabaseUrl::Sqlite(dir.path().join("lightrag_recovery.db")));
    assert_eq!(config.allowed_roots, [real]);
    assert_eq!(config.password, PasswordSource::Generated);
    assert!(config.api_key.is_none() && !config.instance_name.is_empty() && config.max_parallel_operations > 0);
    assert_eq!(config.log_level, LogLevel::Info);
    assert!(config.backup_enabled && config.replication_enabled && config.recovery_enabled && config.monitoring.metrics_enabled);
    assert!(config.monitoring.health_check_enabled && config.monitoring.event_logging_enabled);
    assert_eq!((config.retention_days, config.auto_backup_interval_hours, config.checkpoint_interval_hours), (30, 24, 12));
    assert_eq!((config.replication_health_check_interval_seconds, config.replication_max_targets), (300, 5));
    assert_eq!((config.monitoring.metrics_collection_interval_seconds, config.monitoring.event_retention_days), (60, 90));
}

#[test]
fn flags_win_over_environment_over_dot_env_over_file() {
    let dir = directory();
    fs::write(
        dir.path().join("c.toml"),
        "[server]\nhttp_addr = '127.0.0.1:1'\ngrpc_addr = '127.0.0.1:2'\n[backup]\nretention_days = 3\n[events]\nretention_days = 4\n",
    )
    .expect("written");
    fs::write(
        dir.path().join(".env"),
        "LIGHTKEEP_HTTP_ADDR=127.0.0.1:11\nLIGHTKEEP_GRPC_ADDR=127.0.0.1:12\nexport LIGHTRAG_BACKUP_RETENTION_DAYS='13'\n",
    )
    .expect("written");
    let environment = [("LIGHTKEEP_HTTP_ADDR", "127.0.0.1:21"), ("LIGHTKEEP_GRPC_ADDR", "127.0.0.1:22")];
    let flags = ["lightkeep", "--config", "c.toml", "serve", "--http-addr", "127.0.0.1:31"];
    let config = load(&flags, &environment, dir.path()).expect("a configuration");
    assert_eq!((config.http_addr.port(), config.grpc_addr.port()), (31, 22));
    assert_eq!((config.retention_days, config.monitoring.event_retention_days), (13, 4));
}

#[test]
fn the_example_file_is_accepted_and_names_every_key() {
    let dir = directory();
    let example = include_str!("../../../lightkeep.example.toml");
    // Commented-out settings are examples too.
    let whole: String = example.lines().map(|line| line.strip_prefix("# = ").unwrap_or(line).to_owned() + "\n").collect();
    let whole = whole.replace("\"/srv/lightrag\"", &format!("{:?}", dir.path()));
    let hooks = include_str!("../../../lightkeep.hooks.example.toml");
    for (name, text) in [("hooks.toml", hooks), ("some.toml", example), ("all.toml", whole.as_str())] {
        fs::write(dir.path().join(name), text).expect("written");
        if name != "hooks.toml" {
            load(&["lightkeep", "serve", "--config", name], &[], dir.path()).expect(name);
        }
    }
    let config = |flags: &[&str]| format!("{:?}", load(flags, &[], dir.path()).expect("a configuration"));
    assert_eq!(config(&["lightkeep", "serve", "--config", "some.toml"]), config(NO_FLAGS), "a value is not the default");
    let table: toml::Table = whole.parse().expect("TOML");
    for key in table::ALL.iter().map(|names| names.key).filter(|key| !key.is_empty() && *key != "backup.repository_password_command") {
        let (section, name) = key.split_once('.').expect("a dotted key");
        assert!(table.get(section).and_then(|section| section.get(name)).is_some(), "`{key}` is missing");
    }
}

#[test]
fn each_bad_value_names_its_variable() {
    for (variable, value, wanted) in [
        ("LIGHTRAG_BACKUP_ENABLED", "maybe", "must be one of `true`, `1`, `yes`, `on`, `false`, `0`, `no`, `off`: maybe"),
        ("LIGHTRAG_METRICS_ENABLED", "", "must be one of `true`, `1`, `yes`, `on`, `false`, `0`, `no`, `off`: "),
        ("LIGHTRAG_BACKUP_RETENTION_DAYS", "0", "must be a whole number from 1 to 36500: 0"),
        ("LIGHTRAG_BACKUP_INTERVAL_HOURS", "-1", "must be a whole number from 0 to 8784: -1"),
        ("LIGHTRAG_METRICS_PORT", "65536", "must be a whole number from 0 to 65535: 65536"),
        ("LIGHTKEEP_HTTP_ADDR", "9621", "must be an IP address and a port, such as `127.0.0.1:9621`: 9621"),
        ("LOG_LEVEL", "loud", "must be one of `DEBUG`, `INFO`, `WARNING`, `ERROR`: loud"),
        ("LIGHTRAG_BACKUP_STORAGE", "", "is empty: set it to a value or remove it"),
        ("LIGHTKEEP_ALLOWED_ROOTS", "/no/such", "names a directory that does not exist, create or remove it: /no/such"),
        (
            "LIGHTRAG_BACKUP_S3_BUCKET",
            "b",
            "is set, but object stores are not supported yet: remove it and set `LIGHTRAG_BACKUP_STORAGE` to a directory",
        ),
        ("LIGHTKEEP_HTPP_ADDR", "x", "is no known variable: correct its name or remove it"),
        ("LIGHTKEEP_ALERT_WEBHOOK_URL", "hooks.example", "must begin with `http://` or `https://` and name a host"),
    ] {
        assert_eq!(problem(&[(variable, value)]), format!("`{variable}` {wanted}"));
    }
}

#[test]
fn the_variables_of_the_client_are_known_and_set_nothing() {
    let dir = directory();
    let given: Vec<_> = table::CLIENT_VARIABLES.iter().map(|(variable, _)| (*variable, "hunter2")).collect();
    assert!(given.contains(&("LIGHTKEEP_ADDRESS", "hunter2")) && given.contains(&("LIGHTKEEP_CA_FILE", "hunter2")));
    let config = |environment: &[(&str, &str)]| format!("{:?}", load(NO_FLAGS, environment, dir.path()).expect("a configuration"));
    assert_eq!(config(&given), config(&[]));
}

#[test]
fn all_problems_are_listed_at_once() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[server]\nport = 1\n[metrics]\nport = [1]\n").expect("written");
    fs::write(
        dir.path().join(".env"),
        "LIGHTRAG_RECOVERY_DB_URL=mysql://u:hunter2@h/d\nTITLE=two words, not ours\nLIGHTRAG_API_KEY=hunter2 hunter2\n",
    )
    .expect("written");
    let flags = ["lightkeep", "--config", "c.toml", "serve", "--grpc-addr", "0.0.0.0:1", "--max-parallel-operations", "0"];
    let environment = [
        ("LIGHTRAG_EVENT_LOG_RETENTION", "x"),
        ("LIGHTKEEP_REPOSITORY_PASSWORD_FILE", "f"),
        ("LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND", "c"),
    ];
    let problems = load(&flags, &environment, dir.path()).expect_err("must be refused");
    let places = [
        "`LIGHTRAG_API_KEY` in `.env` cannot be parsed",
        "`metrics.port` in `",
        "`server.port` in `c.toml` is no known setting",
        "`LIGHTRAG_EVENT_LOG_RETENTION` must be",
        "`LIGHTRAG_RECOVERY_DB_URL` in `.env` names no database that is supported",
        "`LIGHTKEEP_REPOSITORY_PASSWORD_FILE` and",
        "`--max-parallel-operations` must be",
        "`--grpc-addr` is reachable from other computers",
    ];
    assert_eq!(problems.len(), places.len(), "{problems:#?}");
    for (problem, place) in problems.iter().zip(places) {
        assert!(problem.starts_with(place) && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn aliases_may_agree_but_not_differ() {
    let dir = directory();
    let agreeing = [("LIGHTRAG_BACKUP_STORAGE", "/a"), ("LIGHTRAG_BACKUP_STORAGE_PATH", "/a"), ("LOG_LEVEL", "debug")];
    let config = load(NO_FLAGS, &agreeing, dir.path()).expect("a configuration");
    assert_eq!((config.storage.as_path(), config.log_level), (Path::new("/a"), LogLevel::Debug));
    assert_eq!(
        problem(&[("LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL", "1"), ("LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL_HOURS", "2")]),
        "`LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL` and its alias `LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL_HOURS` differ: remove one of them"
    );
}

#[test]
fn beyond_this_computer_only_with_a_key_or_on_demand() {
    let dir = directory();
    let open = ("LIGHTKEEP_HTTP_ADDR", "[::]:9621");
    assert!(problem(&[open, ("LIGHTRAG_API_KEY", " ")]).starts_with("`LIGHTKEEP_HTTP_ADDR` is reachable"));
    let config = load(NO_FLAGS, &[open, ("LIGHTRAG_API_KEY", "k")], dir.path()).expect("with a key");
    assert!(config.api_key.is_some_and(|key| key.expose() == "k"));
    load(NO_FLAGS, &[open, ("LIGHTKEEP_INSECURE_NO_AUTH", "yes")], dir.path()).expect("on demand");
    load(&["lightkeep", "serve", "--insecure-no-auth"], &[open], dir.path()).expect("on demand");
    load(NO_FLAGS, &[("LIGHTKEEP_HTTP_ADDR", "127.8.8.8:1"), ("LIGHTKEEP_GRPC_ADDR", "[::1]:2")], dir.path()).expect("loopback");
}

#[test]
fn ports_must_differ_unless_any_free_one_is_taken() {
    let dir = directory();
    let wanted = "the http address and the grpc address have the same port, change one of them: 7";
    assert_eq!(problem(&[("LIGHTKEEP_HTTP_ADDR", "127.0.0.1:7"), ("LIGHTKEEP_GRPC_ADDR", "localhost:7")]), wanted);
    let any = [("LIGHTKEEP_HTTP_ADDR", "127.0.0.1:0"), ("LIGHTKEEP_GRPC_ADDR", "127.0.0.1:0"), ("LIGHTRAG_METRICS_PORT", "0")];
    load(NO_FLAGS, &any, dir.path()).expect("free ports");
    load(NO_FLAGS, &[("LIGHTKEEP_GRPC_ADDR", "127.0.0.1:9090"), ("LIGHTRAG_METRICS_ENABLED", "no")], dir.path()).expect("no metrics");
}

#[test]
fn roots_are_resolved() {
    let dir = directory();
    let real = dir.path().canonicalize().expect("the directory");
    fs::create_dir(real.join("a")).expect("a directory");
    std::os::unix::fs::symlink(real.join("a"), real.join("link")).expect("a link");
    let roots = |environment: &[(&str, &str)], flags: &[&str]| load(flags, environment, dir.path()).expect("a configuration").allowed_roots;
    assert_eq!(roots(&[("LIGHTKEEP_ALLOWED_ROOTS", "link::a/..")], NO_FLAGS), [real.clone(), real.join("a")]);
    assert_eq!(roots(&[("WORKING_DIR", "./rag/../rag_storage")], NO_FLAGS), [real.clone(), real.join("rag_storage")]);
    assert_eq!(
        roots(&[("WORKING_DIR", "rag")], &["lightkeep", "serve", "--allowed-root", "a", "--allowed-root", "link"]),
        [real.join("a")]
    );
    assert_eq!(roots(&[], &["lightkeep", "quickstart", "--once"]), [real.join("lightkeep-data")]);
}

#[test]
fn nothing_secret_is_shown() {
    let dir = directory();
    let environment = [
        ("LIGHTRAG_API_KEY", "hunter2"),
        ("LIGHTRAG_RECOVERY_DB_URL", "postgresql+psycopg2://u:hunter2@h/d"),
        ("LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND", "vault --token hunter2"),
        ("LIGHTKEEP_HOOK_SECRET", "hunter2"),
        ("LIGHTKEEP_ALERT_WEBHOOK_URL", "https://h/hunter2"),
        ("LIGHTKEEP_ALERT_WEBHOOK_SECRET", "hunter2"),
        ("LIGHTKEEP_ALERT_SMTP_URL", "smtps://u:hunter2@h"),
        ("LIGHTKEEP_ALERT_MAIL_FROM", "Lightkeep <lightkeep@example.org>"),
        ("LIGHTKEEP_ALERT_MAIL_TO", "ops@example.org,boss@example.org"),
        ("LIGHTKEEP_HOOKS_FILE", "hooks.toml"),
    ];
    let hooks = "[[on_failure]]\nurl = \"https://h/hunter2\"\n[[on_failure]]\ncommand = [\"tell\", \"hunter2\"]\n";
    fs::write(dir.path().join("hooks.toml"), hooks).expect("written");
    let config = load(NO_FLAGS, &environment, dir.path()).expect("a configuration");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.database.connect_url(), "postgres://u:hunter2@h/d");
}

#[test]
fn mail_needs_a_server_a_sender_and_receivers() {
    let mail = |url: &'static str| {
        [("LIGHTKEEP_ALERT_SMTP_URL", url), ("LIGHTKEEP_ALERT_MAIL_FROM", "a@example.org"), ("LIGHTKEEP_ALERT_MAIL_TO", "b@example.org")]
    };
    let dir = directory();
    for url in ["smtp://mail.example", "smtp://u:p%40@mail.example:587?tls=required", "smtps://u:p@mail.example"] {
        assert!(load(NO_FLAGS, &mail(url), dir.path()).expect(url).alerts.mail.is_some(), "{url}");
    }
    for url in ["mail.example", "http://mail.example", "smtp://u:hunter2@mail.example?tls=perhaps"] {
        let wrong = problem(&mail(url));
        assert!(wrong.starts_with("`LIGHTKEEP_ALERT_SMTP_URL` must be `smtp://host:port`") && !wrong.contains("hunter2"), "{wrong}");
    }
    assert!(problem(&[("LIGHTKEEP_ALERT_MAIL_TO", "b@example.org")]).contains("belong together"));
    assert!(load(NO_FLAGS, &[], dir.path()).expect("a configuration").alerts.mail.is_none());
}

#[test]
fn a_broken_file_is_one_problem_without_its_content() {
    let dir = directory();
    fs::write(dir.path().join("c.toml"), "[server]\napi_key = \"hunter2\n").expect("written");
    let problems = load(&["lightkeep", "serve", "--config", "c.toml"], &[], dir.path()).expect_err("must be refused");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("correct line 2") && !problems[0].contains("hunter2"), "{problems:?}");
    fs::write(dir.path().join("hooks.toml"), "[[on_failure]]\nurl = hunter2\n").expect("written");
    let problems = load(NO_FLAGS, &[("LIGHTKEEP_HOOKS_FILE", "hooks.toml")], dir.path()).expect_err("must be refused");
    assert!(problems[0].contains("line 2") && !problems[0].contains("hunter2"), "{problems:?}");
    let problems = load(&["lightkeep", "serve", "--config", "none.toml"], &[], dir.path()).expect_err("must be refused");
    assert!(problems[0].starts_with("`--config` cannot be read, name an existing file"), "{problems:?}");
}
