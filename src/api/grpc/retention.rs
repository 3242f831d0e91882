//! RetentionService.

use tonic::{Request, Response, Status};

use super::caller;
use super::convert::{graph, parse_request_id, policy, retention, snapshot};
use crate::proto::v1;
use crate::proto::v1::retention_service_server::RetentionService;
use crate::service::Services;

/// Retention policies and legal holds, over gRPC.
#[derive(Debug, Clone)]
pub struct RetentionGrpc(pub Services);

#[tonic::async_trait]
impl RetentionService for RetentionGrpc {
    async fn set_retention_policy(&self, request: Request<v1::SetRetentionPolicyRequest>) -> Result<Response<v1::GraphRetention>, Status> {
        let caller = caller(&request);
        let set = policy::parse_set(request.into_inner())?;
        let told = self.0.set_retention_policy(&caller, &set.graph_id, Some(&set.policy), set.request_id.as_deref()).await?;
        Ok(Response::new(policy::to_proto(&self.0, told)))
    }

    async fn get_retention_policy(&self, request: Request<v1::GetRetentionPolicyRequest>) -> Result<Response<v1::GraphRetention>, Status> {
        let graph_id = graph::parse_id(&request.get_ref().graph_id)?;
        Ok(Response::new(policy::to_proto(&self.0, self.0.get_retention_policy(&graph_id).await?)))
    }

    async fn clear_retention_policy(
        &self,
        request: Request<v1::ClearRetentionPolicyRequest>,
    ) -> Result<Response<v1::GraphRetention>, Status> {
        let caller = caller(&request);
        let graph_id = graph::parse_id(&request.get_ref().graph_id)?;
        let request_id = parse_request_id(&request.get_ref().request_id)?;
        let told = self.0.set_retention_policy(&caller, &graph_id, None, request_id.as_deref()).await?;
        Ok(Response::new(policy::to_proto(&self.0, told)))
    }

    async fn preview_retention(
        &self,
        request: Request<v1::PreviewRetentionRequest>,
    ) -> Result<Response<v1::PreviewRetentionResponse>, Status> {
        let wanted = policy::parse_preview(request.into_inner())?;
        let preview = self.0.preview_cleanup(Some(&wanted.graph_id), wanted.tried.as_ref(), &wanted.page).await?;
        Ok(Response::new(retention::previewed(preview)))
    }

    async fn hold_snapshot(&self, request: Request<v1::HoldSnapshotRequest>) -> Result<Response<v1::Snapshot>, Status> {
        let caller = caller(&request);
        let row = self.0.hold_snapshot(&caller, retention::parse_hold(request.into_inner())?).await?;
        Ok(Response::new(snapshot::to_proto(&self.0, row)))
    }

    async fn release_snapshot(&self, request: Request<v1::ReleaseSnapshotRequest>) -> Result<Response<v1::Snapshot>, Status> {
        let caller = caller(&request);
        let row = self.0.release_snapshot(&caller, &retention::parse_release(request.into_inner())?).await?;
        Ok(Response::new(snapshot::to_proto(&self.0, row)))
    }
}
