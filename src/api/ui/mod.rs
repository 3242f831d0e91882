//! The dashboard: pages that the server renders, which read through the services and act through them, as the API does. They need no
//! JavaScript to be read, nothing from elsewhere, and the API's key where one is set.

mod actions;
mod alerts;
mod chart;
mod checkpoints;
mod confirm;
mod diff;
mod drills;
mod events;
mod failovers;
mod failure;
mod frame;
mod graph;
mod graphs;
mod guard;
mod instances;
mod live;
mod login;
mod marks;
mod metrics;
mod operations;
mod overview;
mod page;
mod preview;
mod schedules;
mod session;
mod static_files;
mod targets;
mod timeline;
mod visit;

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};

use self::session::Sessions;
use super::auth::Auth;
use super::request_id::RequestIdLayer;
use crate::service::Services;

/// Where the dashboard is.
const HOME: &str = "/api/monitoring/dashboard";

/// What is served, and so what is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Features {
    /// Backups.
    pub(super) backup: bool,
    /// Recovery.
    pub(super) recovery: bool,
    /// Targets.
    pub(super) replication: bool,
    /// Alerts.
    pub(super) alerts: bool,
}

/// What the pages share.
#[derive(Debug)]
struct Ui {
    services: Services,
    auth: Auth,
    sessions: Sessions,
    features: Features,
    live: live::Shared,
}

/// All pages. Unknown paths outside of them are left to others.
pub(super) fn router(services: &Services, auth: Auth, features: Features) -> Router {
    let sessions = Sessions::new(auth.key_bytes(), &services.settings().repository_password);
    let ui = Arc::new(Ui { services: services.clone(), auth, sessions, features, live: live::Shared::default() });
    let at = |path: &str| format!("{HOME}{path}");
    let mut pages = Router::new()
        .route("/", get(overview::show))
        .route(HOME, get(overview::show))
        .route(&at("/"), get(overview::home))
        .route(&at("/login"), get(login::show).post(login::log_in))
        .route(&at("/logout"), get(login::home).post(login::log_out))
        .route(&at("/stream"), get(live::stream))
        .route(&at("/graphs"), get(graphs::show))
        .route(&at("/graphs/{graph_id}"), get(graph::show))
        .route(&at("/operations"), get(operations::list))
        .route(&at("/operations/{operation_id}"), get(operations::show))
        .route(&at("/events"), get(events::show))
        .route(&at("/metrics"), get(metrics::show))
        .route(&at("/instances"), get(instances::show))
        .route(&at("/actions/{verb}"), get(confirm::ask).post(confirm::act))
        .route(&at("/{*rest}"), get(page::unknown).post(page::unknown));
    if features.backup {
        pages = pages
            .route(&at("/graphs/{graph_id}/diff"), get(diff::show))
            .route(&at("/graphs/{graph_id}/restore"), get(preview::show))
            .route(&at("/schedules"), get(schedules::show));
    }
    if features.recovery {
        pages = pages
            .route(&at("/checkpoints"), get(checkpoints::show))
            .route(&at("/drills"), get(drills::show))
            .route(&at("/failovers"), get(failovers::list))
            .route(&at("/failovers/{failover_id}"), get(failovers::show));
    }
    if features.alerts {
        pages = pages.route(&at("/alerts"), get(alerts::show));
    }
    if features.replication {
        pages = pages.route(&at("/targets"), get(targets::show));
    }
    let names = RequestIdLayer::new(Arc::clone(services.ids()), Arc::clone(services.clock()));
    pages
        .method_not_allowed_fallback(page::wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&ui), frame::frame))
        .layer(names)
        .with_state(ui)
        .merge(static_files::router())
}
