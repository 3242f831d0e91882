//! A database for each test: a SQLite file, or a PostgreSQL database in the cluster that `tests/run` starts.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{ConnectionTrait as _, Database as SeaDatabase, Statement};

/// Which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Makes a fresh database and gives its URL.
pub(crate) async fn fresh(kind: Kind, directory: &Path) -> String {
    match kind {
        Kind::Sqlite => format!("sqlite:///{}/lightkeep.db", directory.display()),
        Kind::Postgres => fresh_postgres().await,
    }
}

async fn fresh_postgres() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    #[expect(clippy::disallowed_methods, reason = "tests/run tells where the cluster is")]
    let cluster = std::env::var("LIGHTKEEP_TEST_POSTGRES_URL").expect("run the tests with tests/run, it starts PostgreSQL");
    let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let (server, _) = cluster.rsplit_once('/').expect("the URL ends in a database");
    let connection = SeaDatabase::connect(&cluster).await.unwrap();
    connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}/{name}")
}

/// The first column of what a statement finds, as texts.
pub(crate) async fn texts(url: &str, statement: &str) -> Vec<String> {
    let connection = SeaDatabase::connect(url).await.unwrap();
    let rows = connection.query_all_raw(Statement::from_string(connection.get_database_backend(), statement)).await.unwrap();
    let texts = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    connection.close().await.unwrap();
    texts
}

/// Runs a test on SQLite and on PostgreSQL: `on_each_database!(name, async |app: TestApp| { .. });`
macro_rules! on_each_database {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let app = crate::support::app::TestApp::start(crate::support::database::Kind::Sqlite).await;
                crate::support::app::finish($test(app).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let app = crate::support::app::TestApp::start(crate::support::database::Kind::Postgres).await;
                crate::support::app::finish($test(app).await).await;
            }
        }
    };
}
pub(crate) use on_each_database;
