//! ScheduleService.

use tonic::{Request, Response, Status};

use super::caller;
use super::convert::{graph, parse_request_id, schedule, schedule_run};
use crate::proto::v1;
use crate::proto::v1::schedule_service_server::ScheduleService;
use crate::service::Services;

/// Schedules, over gRPC.
#[derive(Debug, Clone)]
pub struct ScheduleGrpc(pub Services);

#[tonic::async_trait]
impl ScheduleService for ScheduleGrpc {
    async fn create_schedule(&self, request: Request<v1::CreateScheduleRequest>) -> Result<Response<v1::CreateScheduleResponse>, Status> {
        let (caller, validate_only) = (caller(&request), request.get_ref().validate_only);
        let new = schedule::parse_new(request.into_inner())?;
        if validate_only {
            let (row, next_runs) = self.0.preview_schedule(&new).await?;
            return Ok(Response::new(schedule::previewed(row, next_runs)));
        }
        let row = self.0.create_schedule(&caller, &new).await?;
        let next_runs = self.0.next_runs(&row)?;
        Ok(Response::new(schedule::created(row, next_runs)))
    }

    async fn get_schedule(&self, request: Request<v1::GetScheduleRequest>) -> Result<Response<v1::Schedule>, Status> {
        Ok(Response::new(schedule::to_proto(self.0.get_schedule(&request.get_ref().schedule_id).await?)))
    }

    async fn list_schedules(&self, request: Request<v1::ListSchedulesRequest>) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        let request = request.into_inner();
        let (graph_id, page) = schedule::parse_list(&request.graph_id, request.page_size, &request.page_token)?;
        let page = self.0.list_schedules(graph_id.as_ref(), &page).await?;
        let schedules = page.items.into_iter().map(schedule::to_proto).collect();
        Ok(Response::new(v1::ListSchedulesResponse { schedules, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn update_schedule(&self, request: Request<v1::UpdateScheduleRequest>) -> Result<Response<v1::Schedule>, Status> {
        let caller = caller(&request);
        let update = schedule::parse_update(request.into_inner())?;
        Ok(Response::new(schedule::to_proto(self.0.update_schedule(&caller, &update).await?)))
    }

    async fn delete_schedule(&self, request: Request<v1::DeleteScheduleRequest>) -> Result<Response<v1::DeleteScheduleResponse>, Status> {
        let (caller, id) = (caller(&request), &request.get_ref().schedule_id);
        let request_id = parse_request_id(&request.get_ref().request_id)?;
        self.0.delete_schedule(&caller, id, request_id.as_deref()).await?;
        let message = format!("Deleted schedule {id}");
        Ok(Response::new(v1::DeleteScheduleResponse { status: "success".to_owned(), message }))
    }

    async fn run_schedule(&self, request: Request<v1::RunScheduleRequest>) -> Result<Response<v1::RunScheduleResponse>, Status> {
        let caller = caller(&request);
        let request_id = parse_request_id(&request.get_ref().request_id)?;
        let runs = self.0.run_schedule(&caller, &request.get_ref().schedule_id, request_id.as_deref()).await?;
        Ok(Response::new(v1::RunScheduleResponse { runs: schedule_run::list_to_proto(runs) }))
    }

    async fn pause_schedule(&self, request: Request<v1::PauseScheduleRequest>) -> Result<Response<v1::Schedule>, Status> {
        let caller = caller(&request);
        let request_id = parse_request_id(&request.get_ref().request_id)?;
        let row = self.0.pause_schedule(&caller, &request.get_ref().schedule_id, true, request_id.as_deref()).await?;
        Ok(Response::new(schedule::to_proto(row)))
    }

    async fn resume_schedule(&self, request: Request<v1::ResumeScheduleRequest>) -> Result<Response<v1::Schedule>, Status> {
        let caller = caller(&request);
        let request_id = parse_request_id(&request.get_ref().request_id)?;
        let row = self.0.pause_schedule(&caller, &request.get_ref().schedule_id, false, request_id.as_deref()).await?;
        Ok(Response::new(schedule::to_proto(row)))
    }

    async fn list_schedule_runs(
        &self,
        request: Request<v1::ListScheduleRunsRequest>,
    ) -> Result<Response<v1::ListScheduleRunsResponse>, Status> {
        let request = request.into_inner();
        let (graph_id, page) = schedule::parse_list(&request.graph_id, request.page_size, &request.page_token)?;
        let page = self.0.list_schedule_runs(&request.schedule_id, graph_id.as_ref(), &page).await?;
        let runs = schedule_run::list_to_proto(page.items);
        Ok(Response::new(v1::ListScheduleRunsResponse { runs, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn set_graph_schedule(&self, request: Request<v1::SetGraphScheduleRequest>) -> Result<Response<v1::Schedule>, Status> {
        let caller = caller(&request);
        let new = schedule::parse_set(request.into_inner())?;
        Ok(Response::new(schedule::to_proto(self.0.set_graph_schedule(&caller, &new).await?)))
    }

    async fn get_graph_schedule(&self, request: Request<v1::GetGraphScheduleRequest>) -> Result<Response<v1::Schedule>, Status> {
        let graph_id = graph::parse_id(&request.get_ref().graph_id)?;
        Ok(Response::new(schedule::to_proto(self.0.get_graph_schedule(&graph_id).await?)))
    }
}
