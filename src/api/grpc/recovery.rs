//! RecoveryService.

use tonic::{Request, Response, Status};

use super::caller;
use super::convert::{checkpoint, drill, failover, health, parse_request_id, probe};
use crate::domain::checkpoint::ValidationState;
use crate::domain::drill::DrillState;
use crate::proto::v1;
use crate::proto::v1::recovery_service_server::RecoveryService;
use crate::service::Services;

/// Checkpoints and their validations, probes, drills and failovers, over gRPC.
#[derive(Debug, Clone)]
pub struct RecoveryGrpc(pub Services);

#[tonic::async_trait]
impl RecoveryService for RecoveryGrpc {
    async fn create_checkpoint(&self, request: Request<v1::CreateCheckpointRequest>) -> Result<Response<v1::Checkpoint>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let new = checkpoint::parse_new(request.into_inner())?;
        let mut made = self.0.create_checkpoint(&caller, &new).await?;
        if wait {
            made = self.0.wait_for_checkpoint(made.row.checkpoint_id).await?;
        }
        Ok(Response::new(checkpoint::to_proto(made)))
    }

    async fn get_checkpoint(&self, request: Request<v1::GetCheckpointRequest>) -> Result<Response<v1::Checkpoint>, Status> {
        Ok(Response::new(checkpoint::to_proto(self.0.get_checkpoint(&request.get_ref().checkpoint_id).await?)))
    }

    async fn list_checkpoints(
        &self,
        request: Request<v1::ListCheckpointsRequest>,
    ) -> Result<Response<v1::ListCheckpointsResponse>, Status> {
        let request = request.into_inner();
        let page = self.0.list_checkpoints(&checkpoint::parse_page(request.page_size, &request.page_token)?).await?;
        let checkpoints = page.items.into_iter().map(checkpoint::to_proto).collect();
        Ok(Response::new(v1::ListCheckpointsResponse { checkpoints, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn delete_checkpoint(
        &self,
        request: Request<v1::DeleteCheckpointRequest>,
    ) -> Result<Response<v1::DeleteCheckpointResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        self.0.delete_checkpoint(&caller, &request.checkpoint_id, request_id.as_deref()).await?;
        let message = format!("Deleted checkpoint {}", request.checkpoint_id);
        Ok(Response::new(v1::DeleteCheckpointResponse { status: "success".to_owned(), message }))
    }

    async fn validate_checkpoint(
        &self,
        request: Request<v1::ValidateCheckpointRequest>,
    ) -> Result<Response<v1::ValidateCheckpointResponse>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let (level, request_id) = checkpoint::parse_validate(request.get_ref())?;
        let queued = self.0.validate_checkpoint(&caller, &request.get_ref().checkpoint_id, level, request_id.as_deref()).await?;
        if !wait {
            let validation = Some(checkpoint::validation_to_proto(queued));
            return Ok(Response::new(v1::ValidateCheckpointResponse { valid: false, validation }));
        }
        let ended = self.0.wait_for_validation(queued.validation_id).await?;
        let valid = ended.state == ValidationState::Passed;
        Ok(Response::new(v1::ValidateCheckpointResponse { valid, validation: None }))
    }

    async fn list_validations(
        &self,
        request: Request<v1::ListValidationsRequest>,
    ) -> Result<Response<v1::ListValidationsResponse>, Status> {
        let request = request.into_inner();
        let page = checkpoint::parse_page(request.page_size, &request.page_token)?;
        let page = self.0.list_validations(&request.checkpoint_id, &page).await?;
        let validations = page.items.into_iter().map(checkpoint::validation_to_proto).collect();
        Ok(Response::new(v1::ListValidationsResponse { validations, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn get_recovery_health(&self, _: Request<v1::GetRecoveryHealthRequest>) -> Result<Response<v1::RecoveryHealth>, Status> {
        Ok(Response::new(health::to_proto(self.0.recovery_health().await?)))
    }

    async fn check_recovery_health(&self, _: Request<v1::CheckRecoveryHealthRequest>) -> Result<Response<v1::RecoveryHealth>, Status> {
        Ok(Response::new(health::to_proto(self.0.check_recovery_health().await?)))
    }

    async fn set_probes(&self, request: Request<v1::SetProbesRequest>) -> Result<Response<v1::GraphProbes>, Status> {
        let caller = caller(&request);
        let new = probe::parse_new(request.into_inner())?;
        Ok(Response::new(probe::to_proto(self.0.set_probes(&caller, &new).await?)))
    }

    async fn get_probes(&self, request: Request<v1::GetProbesRequest>) -> Result<Response<v1::GraphProbes>, Status> {
        let graph_id = probe::parse_get(request.get_ref())?;
        let snapshot_id = Some(request.get_ref().snapshot_id.as_str()).filter(|id| !id.is_empty());
        Ok(Response::new(probe::to_proto(self.0.get_probes(&graph_id, snapshot_id).await?)))
    }

    async fn run_drill(&self, request: Request<v1::RunDrillRequest>) -> Result<Response<v1::Drill>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let new = drill::parse_new(request.into_inner())?;
        let mut row = self.0.drill_snapshot(&caller, &new).await?;
        if wait {
            row = self.0.wait_for_drill(row).await?;
        }
        Ok(Response::new(drill::to_proto(row)?))
    }

    async fn run_checkpoint_drill(
        &self,
        request: Request<v1::RunCheckpointDrillRequest>,
    ) -> Result<Response<v1::RunCheckpointDrillResponse>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let request_id = parse_request_id(&request.get_ref().request_id)?;
        let mut run = self.0.drill_checkpoint(&caller, &request.get_ref().checkpoint_id, request_id.as_deref()).await?;
        if wait {
            run = self.0.wait_for_drills(run).await?;
        }
        let passed = !run.is_empty() && run.iter().all(|row| row.state == DrillState::Passed);
        let drills = run.into_iter().map(drill::to_proto).collect::<Result<_, _>>()?;
        Ok(Response::new(v1::RunCheckpointDrillResponse { passed, drills }))
    }

    async fn get_drill(&self, request: Request<v1::GetDrillRequest>) -> Result<Response<v1::Drill>, Status> {
        Ok(Response::new(drill::to_proto(self.0.get_drill(&request.get_ref().drill_id).await?)?))
    }

    async fn list_drills(&self, request: Request<v1::ListDrillsRequest>) -> Result<Response<v1::ListDrillsResponse>, Status> {
        let (wanted, page) = drill::parse_list(request.get_ref())?;
        let page = self.0.list_drills(&wanted, &page).await?;
        let drills = page.items.into_iter().map(drill::to_proto).collect::<Result<_, _>>()?;
        Ok(Response::new(v1::ListDrillsResponse { drills, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn run_failover(&self, request: Request<v1::RunFailoverRequest>) -> Result<Response<v1::RunFailoverResponse>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let validate_only = request.get_ref().validate_only;
        let new = failover::parse_new(request.into_inner())?;
        if validate_only {
            return Ok(Response::new(failover::planned(self.0.preview_failover(&new).await?, self.0.failover_steps())));
        }
        let mut row = self.0.fail_over(&caller, &new).await?;
        if wait {
            row = self.0.wait_for_failover(row.failover_id).await?;
        }
        Ok(Response::new(failover::answer(row)?))
    }

    async fn get_failover(&self, request: Request<v1::GetFailoverRequest>) -> Result<Response<v1::Failover>, Status> {
        Ok(Response::new(failover::to_proto(self.0.get_failover(&request.get_ref().failover_id).await?)?))
    }

    async fn list_failovers(&self, request: Request<v1::ListFailoversRequest>) -> Result<Response<v1::ListFailoversResponse>, Status> {
        let (checkpoint_id, page) = failover::parse_list(request.get_ref())?;
        let page = self.0.list_failovers(checkpoint_id, &page).await?;
        let failovers = page.items.into_iter().map(failover::to_proto).collect::<Result<_, _>>()?;
        Ok(Response::new(v1::ListFailoversResponse { failovers, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn roll_back_failover(&self, request: Request<v1::RollBackFailoverRequest>) -> Result<Response<v1::Failover>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        let mut row = self.0.roll_back_failover(&caller, &request.failover_id, request.force, request_id.as_deref()).await?;
        if wait {
            row = self.0.wait_for_failover(row.failover_id).await?;
        }
        Ok(Response::new(failover::to_proto(row)?))
    }

    async fn fail_back(&self, request: Request<v1::FailBackRequest>) -> Result<Response<v1::Failover>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        let mut row = self.0.fail_back(&caller, &request.failover_id, request.force, request_id.as_deref()).await?;
        if wait {
            row = self.0.wait_for_failover(row.failover_id).await?;
        }
        Ok(Response::new(failover::to_proto(row)?))
    }

    async fn get_recovery_status(&self, _: Request<v1::GetRecoveryStatusRequest>) -> Result<Response<v1::RecoveryStatus>, Status> {
        Ok(Response::new(checkpoint::status_to_proto(self.0.recovery_status().await?)))
    }
}
