//! The gRPC services. An RPC is parse, call, convert.

mod alert;
mod backup;
mod convert;
mod monitoring;
mod operation;
mod reading;
mod recovery;
mod replica;
mod replication;
mod repository;
mod retention;
mod schedule;

pub use alert::AlertGrpc;
pub use backup::BackupGrpc;
pub use monitoring::MonitoringGrpc;
pub use operation::OperationGrpc;
pub use recovery::RecoveryGrpc;
pub use replica::ReplicaGrpc;
pub use replication::ReplicationGrpc;
pub use repository::RepositoryGrpc;
pub use retention::RetentionGrpc;
pub use schedule::ScheduleGrpc;

use crate::api::auth::Authenticated;
use crate::api::request_id::CallName;
use crate::domain::caller::Caller;

/// Who makes this request, as the layers found out.
fn caller<T>(request: &tonic::Request<T>) -> Caller {
    let name = if request.extensions().get::<Authenticated>().is_some() { "api-key" } else { "anonymous" };
    let request_id = request.extensions().get::<CallName>().map(|id| id.as_str().to_owned());
    Caller { name, request_id }
}
