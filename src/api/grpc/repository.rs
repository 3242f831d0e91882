//! RepositoryService.

use tonic::{Request, Response, Status};

use super::caller;
use super::convert::{operation, repository};
use crate::proto::v1;
use crate::proto::v1::repository_service_server::RepositoryService;
use crate::service::Services;
use crate::service::repositories::RepositoryWish;
use crate::store::entity::operation::Model;

/// Repositories, over gRPC.
#[derive(Debug, Clone)]
pub struct RepositoryGrpc(pub Services);

impl RepositoryGrpc {
    /// Queues the work, waits for it if that is wanted, and gives the operation as it is then.
    async fn work<T>(&self, request: &Request<T>, wanted: repository::Wanted, wish: RepositoryWish) -> Result<Model, Status> {
        let queued = self.0.work_on_repository(&caller(request), &wanted.graph_id, wish, wanted.request_id.as_deref()).await?;
        if wanted.wait {
            return Ok(self.0.wait_for(queued.operation_id).await?);
        }
        Ok(queued)
    }

    async fn shown(&self, row: &Model) -> Result<Option<v1::Operation>, Status> {
        Ok(Some(operation::to_proto(self.0.get_operation(&row.operation_id.to_string()).await?)))
    }
}

#[tonic::async_trait]
impl RepositoryService for RepositoryGrpc {
    async fn prune_repository(
        &self,
        request: Request<v1::PruneRepositoryRequest>,
    ) -> Result<Response<v1::PruneRepositoryResponse>, Status> {
        let (wanted, wish) = repository::parse_prune(request.get_ref())?;
        let row = self.work(&request, wanted, RepositoryWish::Prune(wish)).await?;
        let (report, operation) = (repository::prune_report(&row), self.shown(&row).await?);
        Ok(Response::new(v1::PruneRepositoryResponse { report, operation }))
    }

    async fn check_repository(
        &self,
        request: Request<v1::CheckRepositoryRequest>,
    ) -> Result<Response<v1::CheckRepositoryResponse>, Status> {
        let (wanted, wish) = repository::parse_check(request.get_ref())?;
        let row = self.work(&request, wanted, RepositoryWish::Check(wish)).await?;
        let (report, operation) = (repository::check_report(&row), self.shown(&row).await?);
        Ok(Response::new(v1::CheckRepositoryResponse { report, operation }))
    }

    async fn repair_repository(
        &self,
        request: Request<v1::RepairRepositoryRequest>,
    ) -> Result<Response<v1::RepairRepositoryResponse>, Status> {
        let (wanted, wish) = repository::parse_repair(request.get_ref())?;
        let row = self.work(&request, wanted, RepositoryWish::Repair(wish)).await?;
        let (report, operation) = (repository::repair_report(&row), self.shown(&row).await?);
        Ok(Response::new(v1::RepairRepositoryResponse { report, operation }))
    }

    async fn reconcile_repository(
        &self,
        request: Request<v1::ReconcileRepositoryRequest>,
    ) -> Result<Response<v1::ReconcileRepositoryResponse>, Status> {
        let (wanted, wish) = repository::parse_reconcile(request.get_ref())?;
        let row = self.work(&request, wanted, RepositoryWish::Reconcile(wish)).await?;
        let (report, operation) = (repository::reconcile_report(&row), self.shown(&row).await?);
        Ok(Response::new(v1::ReconcileRepositoryResponse { report, operation }))
    }
}
