//! Tables that other programs have made, or make at the same time.

use lightkeep::store::Store;
use sea_orm::{ConnectionTrait as _, Database};

use crate::support::database::{self, Kind};

const NOTED: &str = "SELECT version FROM seaql_migrations ORDER BY version";

async fn names_the_migration(kind: Kind) {
    let directory = tempfile::tempdir().unwrap();
    let url = match kind {
        Kind::Sqlite => format!("sqlite://{}/lightkeep.db?mode=rwc", directory.path().display()),
        Kind::Postgres => database::fresh(kind, directory.path()).await,
    };
    let store = Store::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let noted = database::texts(&url, NOTED).await;
    let connection = Database::connect(&url).await.unwrap();
    for statement in [
        // As early servers noted it.
        "UPDATE seaql_migrations SET version = 'mod' WHERE version = 'm20261130_000011_monitoring'",
        // Both names: of such a server that was started again beside a newer one.
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('mod', 0)",
    ] {
        assert_eq!(connection.execute_unprepared(statement).await.unwrap().rows_affected(), 1);
        store.migrate().await.unwrap();
        assert_eq!(database::texts(&url, NOTED).await, noted, "after {statement}");
    }
    connection.close().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_name_becomes_the_right_one_on_sqlite() {
    names_the_migration(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_name_becomes_the_right_one_on_postgres() {
    names_the_migration(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_once_share_an_empty_database() {
    let directory = tempfile::tempdir().unwrap();
    let url = database::fresh(Kind::Postgres, directory.path()).await;
    let stores = [Store::connect(&url).await.unwrap(), Store::connect(&url).await.unwrap(), Store::connect(&url).await.unwrap()];
    let [first, second, third] = &stores;
    let (first, second, third) = tokio::join!(first.migrate(), second.migrate(), third.migrate());
    first.and(second).and(third).unwrap();
    for store in stores {
        store.close().await.unwrap();
    }
}
