//! The doors: one object with all services and layers, reached by gRPC on one port and by REST on the other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::auth::Auth;
use super::door::{GrpcService, door, for_tonic};
use super::grpc::{
    AlertGrpc, BackupGrpc, MonitoringGrpc, OperationGrpc, RecoveryGrpc, ReplicaGrpc, ReplicationGrpc, RepositoryGrpc, RetentionGrpc,
    ScheduleGrpc,
};
use super::metrics::{MetricsLayer, count_http};
use super::serve::serve;
use super::ui::{self, Features};
use super::{metrics_page, rest};
use crate::base::secret::Secret;
use crate::domain::peer::{CONNECTION_WINDOW, LARGEST_FRAME, LARGEST_MESSAGE, PeerKey, STREAM_WINDOW};
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::v1::alert_service_server::AlertServiceServer;
use crate::proto::v1::backup_service_server::BackupServiceServer;
use crate::proto::v1::monitoring_service_server::MonitoringServiceServer;
use crate::proto::v1::operation_service_server::OperationServiceServer;
use crate::proto::v1::recovery_service_server::RecoveryServiceServer;
use crate::proto::v1::replica_service_server::ReplicaServiceServer;
use crate::proto::v1::replication_service_server::ReplicationServiceServer;
use crate::proto::v1::repository_service_server::RepositoryServiceServer;
use crate::proto::v1::retention_service_server::RetentionServiceServer;
use crate::proto::v1::schedule_service_server::ScheduleServiceServer;
use crate::service::Services;

/// The longest request that is read, bytes: as REST has it.
const REQUEST_LIMIT: usize = 1024 * 1024;

/// How often the health service asks the database whether it answers.
const HEALTH_PERIOD: Duration = Duration::from_secs(5);

const ALERT_SERVICE: &str = "lightkeep.v1.AlertService";
const BACKUP_SERVICE: &str = "lightkeep.v1.BackupService";
const MONITORING_SERVICE: &str = "lightkeep.v1.MonitoringService";
const RECOVERY_SERVICE: &str = "lightkeep.v1.RecoveryService";
const REPLICA_SERVICE: &str = "lightkeep.v1.ReplicaService";
const REPLICATION_SERVICE: &str = "lightkeep.v1.ReplicationService";
const REPOSITORY_SERVICE: &str = "lightkeep.v1.RepositoryService";
const RETENTION_SERVICE: &str = "lightkeep.v1.RetentionService";
const SCHEDULE_SERVICE: &str = "lightkeep.v1.ScheduleService";
const OPERATION_SERVICE: &str = "lightkeep.v1.OperationService";

/// What is served, and to whom.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// What every call needs, where it is set.
    pub api_key: Option<Secret>,
    /// What those need that bring copies here.
    pub peer_keys: Vec<PeerKey>,
    /// Backups are served.
    pub backup_enabled: bool,
    /// Recovery is served.
    pub recovery_enabled: bool,
    /// Targets are served.
    pub replication_enabled: bool,
    /// Alerts are served.
    pub alerts_enabled: bool,
}

/// All services behind their layers.
#[derive(Debug)]
pub struct Doors {
    grpc: GrpcService,
    rest: axum::Router,
    health: HealthReporter,
    names: Vec<&'static str>,
}

impl Doors {
    /// Puts the doors together. What is not enabled is not there.
    ///
    /// # Errors
    /// The protos cannot be served, which is a bug.
    pub fn new(services: &Services, access: Access) -> anyhow::Result<Self> {
        let Access { api_key, peer_keys, backup_enabled, recovery_enabled, replication_enabled, alerts_enabled } = access;
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut routes = Routes::new(health_service);
        routes = routes.add_service(OperationServiceServer::new(OperationGrpc(services.clone())).max_decoding_message_size(REQUEST_LIMIT));
        let monitoring = MonitoringServiceServer::new(MonitoringGrpc(services.clone()));
        routes = routes.add_service(monitoring.max_decoding_message_size(REQUEST_LIMIT));
        let mut names = vec![OPERATION_SERVICE, MONITORING_SERVICE];
        if backup_enabled {
            names.extend([BACKUP_SERVICE, REPOSITORY_SERVICE, RETENTION_SERVICE, SCHEDULE_SERVICE]);
            let repository = RepositoryServiceServer::new(RepositoryGrpc(services.clone()));
            routes = routes.add_service(repository.max_decoding_message_size(REQUEST_LIMIT));
            let retention = RetentionServiceServer::new(RetentionGrpc(services.clone()));
            routes = routes.add_service(retention.max_decoding_message_size(REQUEST_LIMIT));
            let schedule = ScheduleServiceServer::new(ScheduleGrpc(services.clone()));
            routes = routes.add_service(schedule.max_decoding_message_size(REQUEST_LIMIT));
            routes = routes.add_service(BackupServiceServer::new(BackupGrpc(services.clone())).max_decoding_message_size(REQUEST_LIMIT));
        }
        if recovery_enabled {
            names.push(RECOVERY_SERVICE);
            let recovery = RecoveryServiceServer::new(RecoveryGrpc(services.clone()));
            routes = routes.add_service(recovery.max_decoding_message_size(REQUEST_LIMIT));
        }
        if replication_enabled {
            names.push(REPLICATION_SERVICE);
            let replication = ReplicationServiceServer::new(ReplicationGrpc(services.clone()));
            routes = routes.add_service(replication.max_decoding_message_size(REQUEST_LIMIT));
        }
        if alerts_enabled {
            names.push(ALERT_SERVICE);
            let alert = AlertServiceServer::new(AlertGrpc(services.clone()));
            routes = routes.add_service(alert.max_decoding_message_size(REQUEST_LIMIT));
        }
        if backup_enabled && !peer_keys.is_empty() {
            names.push(REPLICA_SERVICE);
            let replica = ReplicaServiceServer::new(ReplicaGrpc(services.clone()));
            routes = routes.add_service(replica.max_decoding_message_size(LARGEST_MESSAGE));
        }
        for reflection in [Reflection::V1, Reflection::V1Alpha] {
            routes = reflection.add_to(routes, &names)?;
        }
        let needs_key = api_key.is_some();
        let auth = Auth::new(api_key, peer_keys);
        let metrics = MetricsLayer::new(services.clone(), methods()?);
        let grpc = door(routes, auth.clone(), Some(metrics), services.ids().clone(), Arc::clone(services.clock()));
        let bag = services.clone();
        let ready = move || {
            let bag = bag.clone();
            async move { !bag.stopping().is_cancelled() && bag.store().ping().await.is_ok() }
        };
        let rest = rest::router(FILE_DESCRIPTOR_SET, &names, grpc.clone(), needs_key, ready).context("cannot make the REST routes")?;
        let features =
            Features { backup: backup_enabled, recovery: recovery_enabled, replication: replication_enabled, alerts: alerts_enabled };
        let rest = rest.merge(ui::router(services, auth, features));
        let rest = rest.layer(axum::middleware::from_fn_with_state(services.clone(), count_http));
        // The empty name stands for the server as a whole.
        names.push("");
        Ok(Self { grpc, rest, health, names })
    }

    /// Serves until `closing`; gives a handle for each listener.
    pub fn listen(
        &self,
        services: &Services,
        http: TcpListener,
        grpc: TcpListener,
        metrics: Option<TcpListener>,
        closing: &CancellationToken,
    ) -> Vec<JoinHandle<anyhow::Result<()>>> {
        services.tasks().spawn(watch_database(services.clone(), self.health.clone(), self.names.clone()));
        let server = tonic::transport::Server::builder().initial_stream_window_size(STREAM_WINDOW);
        let mut server = server.initial_connection_window_size(CONNECTION_WINDOW).max_frame_size(LARGEST_FRAME);
        let server = server.add_routes(for_tonic(self.grpc.clone()));
        let incoming = TcpIncoming::from(grpc).with_nodelay(Some(true));
        let grpc_closing = closing.clone().cancelled_owned();
        let grpc = services
            .tasks()
            .spawn(async move { server.serve_with_incoming_shutdown(incoming, grpc_closing).await.context("the gRPC server failed") });
        let http = http.tap_io(|connection| {
            // Answers are small: waiting to fill a packet only makes them late.
            let _ = connection.set_nodelay(true);
        });
        let http = serve(http, self.rest.clone(), services.tasks().clone(), closing.clone());
        let http = services.tasks().spawn(async move {
            http.await;
            Ok(())
        });
        let metrics = metrics.map(|metrics| {
            let page = serve(metrics, metrics_page::router(services.clone()), services.tasks().clone(), closing.clone());
            services.tasks().spawn(async move {
                page.await;
                Ok(())
            })
        });
        [grpc, http].into_iter().chain(metrics).collect()
    }

    /// The first act of a stop: load balancers look elsewhere.
    pub async fn say_not_serving(&self) {
        say(&self.health, &self.names, ServingStatus::NotServing).await;
    }
}

/// The names of all methods that can be called, as they are counted.
fn methods() -> anyhow::Result<Vec<String>> {
    let sets = [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let pools = sets.map(|set| DescriptorPool::decode(set).context("the descriptor set cannot be read"));
    let mut methods = Vec::new();
    for pool in pools {
        let pool = pool?;
        let of = |service: &prost_reflect::ServiceDescriptor| {
            service.methods().map(|method| format!("{}/{}", service.full_name(), method.name())).collect::<Vec<_>>()
        };
        methods.extend(pool.services().flat_map(|service| of(&service)));
    }
    Ok(methods)
}

async fn say(health: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names {
        health.set_service_status(name, status).await;
    }
}

/// SERVING only while the database answers.
async fn watch_database(services: Services, health: HealthReporter, names: Vec<&'static str>) {
    let stopping = services.stopping().clone();
    while !stopping.is_cancelled() {
        let status = if services.store().ping().await.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        if !stopping.is_cancelled() {
            say(&health, &names, status).await;
        }
        stopping.run_until_cancelled(tokio::time::sleep(HEALTH_PERIOD)).await;
    }
}

/// Both versions of reflection: grpcurl asks for either.
enum Reflection {
    V1,
    V1Alpha,
}

impl Reflection {
    fn add_to(&self, routes: Routes, names: &[&str]) -> anyhow::Result<Routes> {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for name in names {
            builder = builder.with_service_name(*name);
        }
        let context = "cannot make the reflection service";
        Ok(match self {
            Self::V1 => routes.add_service(builder.build_v1().context(context)?),
            Self::V1Alpha => routes.add_service(builder.build_v1alpha().context(context)?),
        })
    }
}
