//! ReplicationService.

use tonic::{Request, Response, Status};

use super::caller;
use super::convert::{checkpoint, graph, operation, parse_request_id, replication};
use crate::proto::v1;
use crate::proto::v1::replication_service_server::ReplicationService;
use crate::service::Services;
use crate::store::entity::operation::Model as OperationRow;

/// Targets, what is sent to them, and how far they are, over gRPC.
#[derive(Debug, Clone)]
pub struct ReplicationGrpc(pub Services);

impl ReplicationGrpc {
    /// An operation as it is now, or when it has ended.
    async fn told(&self, queued: OperationRow, wait: bool) -> Result<Response<v1::Operation>, Status> {
        if wait {
            self.0.wait_for(queued.operation_id).await?;
        }
        Ok(Response::new(operation::to_proto(self.0.get_operation(&queued.operation_id.to_string()).await?)))
    }
}

#[tonic::async_trait]
impl ReplicationService for ReplicationGrpc {
    async fn register_target(&self, request: Request<v1::RegisterTargetRequest>) -> Result<Response<v1::Target>, Status> {
        let caller = caller(&request);
        let new = replication::parse_new(request.into_inner())?;
        Ok(Response::new(replication::to_proto(self.0.register_target(&caller, &new).await?)?))
    }

    async fn get_target(&self, request: Request<v1::GetTargetRequest>) -> Result<Response<v1::Target>, Status> {
        Ok(Response::new(replication::to_proto(self.0.get_target(&request.get_ref().target_id).await?)?))
    }

    async fn list_targets(&self, request: Request<v1::ListTargetsRequest>) -> Result<Response<v1::ListTargetsResponse>, Status> {
        let page = checkpoint::parse_page(request.get_ref().page_size, &request.get_ref().page_token)?;
        let page = self.0.list_targets(&page).await?;
        let targets = page.items.into_iter().map(replication::to_proto).collect::<Result<_, _>>()?;
        Ok(Response::new(v1::ListTargetsResponse { targets, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn update_target(&self, request: Request<v1::UpdateTargetRequest>) -> Result<Response<v1::Target>, Status> {
        let caller = caller(&request);
        let update = replication::parse_update(request.into_inner())?;
        Ok(Response::new(replication::to_proto(self.0.update_target(&caller, &update).await?)?))
    }

    async fn remove_target(&self, request: Request<v1::RemoveTargetRequest>) -> Result<Response<v1::RemoveTargetResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        self.0.remove_target(&caller, &request.target_id, request_id.as_deref()).await?;
        let message = format!("Removed target {}", request.target_id);
        Ok(Response::new(v1::RemoveTargetResponse { status: "success".to_owned(), message }))
    }

    async fn check_target_health(&self, request: Request<v1::CheckTargetHealthRequest>) -> Result<Response<v1::TargetHealth>, Status> {
        Ok(Response::new(replication::health_to_proto(&self.0.check_target(&request.get_ref().target_id).await?)))
    }

    async fn get_replication_status(
        &self,
        request: Request<v1::GetReplicationStatusRequest>,
    ) -> Result<Response<v1::ReplicationStatus>, Status> {
        let graph_id = graph::parse_id(&request.get_ref().graph_id)?;
        Ok(Response::new(replication::status(self.0.replication_status(&graph_id).await?)?))
    }

    async fn replicate_graph(&self, request: Request<v1::ReplicateGraphRequest>) -> Result<Response<v1::Operation>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(false));
        let (graph_id, wish, request_id) = replication::parse_replicate(request.into_inner())?;
        self.told(self.0.replicate_graph(&caller, &graph_id, &wish, request_id.as_deref()).await?, wait).await
    }

    async fn verify_replica(&self, request: Request<v1::VerifyReplicaRequest>) -> Result<Response<v1::VerifyReplicaResponse>, Status> {
        let graph_id = graph::parse_id(&request.get_ref().graph_id)?;
        Ok(Response::new(replication::reread_to_proto(self.0.verify_replica(&request.get_ref().target_id, &graph_id).await?)))
    }

    async fn recover_graph(&self, request: Request<v1::RecoverGraphRequest>) -> Result<Response<v1::Operation>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let (graph_id, request_id) = replication::parse_graph(&request.get_ref().graph_id, &request.get_ref().request_id)?;
        let queued = self.0.recover_graph(&caller, &request.get_ref().target_id, &graph_id, request_id.as_deref()).await?;
        self.told(queued, wait).await
    }

    async fn set_copies_policy(&self, request: Request<v1::SetCopiesPolicyRequest>) -> Result<Response<v1::CopiesPolicy>, Status> {
        let caller = caller(&request);
        let (graph_id, request_id) = replication::parse_policy(request.get_ref())?;
        let v1::SetCopiesPolicyRequest { copies, off_site_copies, .. } = request.into_inner();
        let graph = self.0.set_copies_policy(&caller, &graph_id, (copies, off_site_copies), request_id.as_deref()).await?;
        Ok(Response::new(replication::policy_to_proto(&graph)))
    }

    async fn set_standby(&self, request: Request<v1::SetStandbyRequest>) -> Result<Response<v1::Standby>, Status> {
        let caller = caller(&request);
        let (graph_id, request_id) = replication::parse_graph(&request.get_ref().graph_id, &request.get_ref().request_id)?;
        let directory = Some(request.get_ref().directory.as_str()).filter(|directory| !directory.is_empty());
        let standby = self.0.set_standby(&caller, &graph_id, directory, request_id.as_deref()).await?;
        Ok(Response::new(replication::standby(&graph_id, standby)))
    }

    async fn list_replication_events(
        &self,
        request: Request<v1::ListReplicationEventsRequest>,
    ) -> Result<Response<v1::ListReplicationEventsResponse>, Status> {
        let (wanted, page) = replication::parse_events(request.get_ref())?;
        let page = self.0.list_replication_events(&wanted, &page).await?;
        let events = page.items.into_iter().map(replication::event_to_proto).collect();
        Ok(Response::new(v1::ListReplicationEventsResponse { events, next_page_token: page.next_page_token.unwrap_or_default() }))
    }
}
