//! BackupService.

use tonic::{Request, Response, Status};

use super::convert::{difference, graph, looking, operation, restore, retention, snapshot, verification};
use super::{caller, reading};
use crate::proto::v1;
use crate::proto::v1::backup_service_server::BackupService;
use crate::service::Services;

/// Tells with a part of a file how many bytes the whole has.
pub(in crate::api) const FILE_SIZE: &str = "x-file-size";

/// Graphs and their snapshots, over gRPC.
#[derive(Debug, Clone)]
pub struct BackupGrpc(pub Services);

#[tonic::async_trait]
impl BackupService for BackupGrpc {
    async fn register_graph(&self, request: Request<v1::RegisterGraphRequest>) -> Result<Response<v1::Graph>, Status> {
        let caller = caller(&request);
        let new = graph::parse_new(request.into_inner())?;
        let registered = self.0.register_graph(&caller, new).await?;
        Ok(Response::new(graph::to_proto(registered)))
    }

    async fn get_graph(&self, request: Request<v1::GetGraphRequest>) -> Result<Response<v1::Graph>, Status> {
        let graph_id = graph::parse_id(&request.into_inner().graph_id)?;
        Ok(Response::new(graph::to_proto(self.0.get_graph(&graph_id).await?)))
    }

    async fn list_graphs(&self, request: Request<v1::ListGraphsRequest>) -> Result<Response<v1::ListGraphsResponse>, Status> {
        let (wanted, page) = graph::parse_list(request.into_inner())?;
        let page = self.0.list_graphs(&wanted, &page).await?;
        let graphs = page.items.into_iter().map(graph::to_proto).collect();
        Ok(Response::new(v1::ListGraphsResponse { graphs, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn update_graph(&self, request: Request<v1::UpdateGraphRequest>) -> Result<Response<v1::Graph>, Status> {
        let caller = caller(&request);
        let updated = self.0.update_graph(&caller, graph::parse_update(request.into_inner())?).await?;
        Ok(Response::new(graph::to_proto(updated)))
    }

    async fn unregister_graph(
        &self,
        request: Request<v1::UnregisterGraphRequest>,
    ) -> Result<Response<v1::UnregisterGraphResponse>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let (graph_id, purge, request_id) = graph::parse_unregister(request.get_ref())?;
        let queued = self.0.unregister_graph(&caller, &graph_id, purge, request_id.as_deref()).await?;
        if !wait {
            let operation = self.0.get_operation(&queued.operation_id.to_string()).await?;
            return Ok(Response::new(graph::unregister_accepted(operation)));
        }
        self.0.wait_for(queued.operation_id).await?;
        Ok(Response::new(graph::unregister_done(&graph_id)))
    }

    async fn create_snapshot(&self, request: Request<v1::CreateSnapshotRequest>) -> Result<Response<v1::Snapshot>, Status> {
        let caller = caller(&request);
        let wait = request.get_ref().wait.unwrap_or(true);
        let new = snapshot::parse_new(request.into_inner())?;
        let mut row = self.0.create_snapshot(&caller, new).await?;
        if wait {
            self.0.wait_for(row.operation_id).await?;
            row = self.0.get_snapshot(&row.graph_id, &row.snapshot_id.to_string()).await?;
        }
        Ok(Response::new(snapshot::to_proto(&self.0, row)))
    }

    async fn list_snapshots(&self, request: Request<v1::ListSnapshotsRequest>) -> Result<Response<v1::ListSnapshotsResponse>, Status> {
        let (wanted, page) = snapshot::parse_list(&self.0, request.get_ref())?;
        let page = self.0.list_snapshots(&wanted, &page).await?;
        let snapshots = page.items.into_iter().map(|row| snapshot::to_proto(&self.0, row)).collect();
        Ok(Response::new(v1::ListSnapshotsResponse { snapshots, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn get_snapshot(&self, request: Request<v1::GetSnapshotRequest>) -> Result<Response<v1::Snapshot>, Status> {
        let request = request.into_inner();
        let graph_id = graph::parse_id(&request.graph_id)?;
        let row = self.0.get_snapshot(&graph_id, &request.snapshot_id).await?;
        Ok(Response::new(snapshot::to_proto(&self.0, row)))
    }

    async fn restore_snapshot(
        &self,
        request: Request<v1::RestoreSnapshotRequest>,
    ) -> Result<Response<v1::RestoreSnapshotResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (wait, validate_only, target_dir) = (request.wait.unwrap_or(true), request.validate_only, request.target_dir.clone());
        let new = restore::parse_new(request)?;
        if validate_only {
            return Ok(Response::new(restore::planned(&new, self.0.plan_restore(&new).await?)));
        }
        let operation = self.0.restore_snapshot(&caller, new).await?;
        if !wait {
            let operation = self.0.get_operation(&operation.operation_id.to_string()).await?;
            return Ok(Response::new(restore::accepted(operation, &target_dir)));
        }
        let operation = self.0.wait_for(operation.operation_id).await?;
        Ok(Response::new(restore::done(&operation, &target_dir)))
    }

    async fn delete_snapshot(&self, request: Request<v1::DeleteSnapshotRequest>) -> Result<Response<v1::DeleteSnapshotResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let graph_id = graph::parse_id(&request.graph_id)?;
        let request_id = super::convert::parse_request_id(&request.request_id)?;
        let operation = self.0.delete_snapshot(&caller, &graph_id, &request.snapshot_id, request_id.as_deref()).await?;
        self.0.wait_for(operation.operation_id).await?;
        let message = format!("Deleted snapshot {}", request.snapshot_id);
        Ok(Response::new(v1::DeleteSnapshotResponse { status: "success".to_owned(), message }))
    }

    async fn browse_snapshot(&self, request: Request<v1::BrowseSnapshotRequest>) -> Result<Response<v1::BrowseSnapshotResponse>, Status> {
        let request = request.into_inner();
        let (graph_id, page) = looking::parse_browse(&request)?;
        let directory = self.0.browse_snapshot(&graph_id, &request.snapshot_id, request.inputs, &request.path, page).await?;
        Ok(Response::new(looking::to_proto(directory)))
    }

    type ReadSnapshotFileStream = reading::Pieces;

    async fn read_snapshot_file(
        &self,
        request: Request<v1::ReadSnapshotFileRequest>,
    ) -> Result<Response<Self::ReadSnapshotFileStream>, Status> {
        let request = request.into_inner();
        let (graph_id, offset, length) = looking::parse_read(&request)?;
        let open = self.0.open_snapshot_file(&graph_id, &request.snapshot_id, request.inputs, &request.path, offset, length).await?;
        let size_bytes = open.size_bytes;
        let mut response = Response::new(reading::stream(&self.0, &request.path, open));
        // How long the whole file is, for whoever asked for a part of it.
        response.metadata_mut().insert(FILE_SIZE, size_bytes.into());
        Ok(response)
    }

    async fn diff_snapshots(&self, request: Request<v1::DiffSnapshotsRequest>) -> Result<Response<v1::DiffSnapshotsResponse>, Status> {
        let request = request.into_inner();
        let wanted = difference::parse(&request)?;
        let base = Some(request.base_snapshot_id.as_str()).filter(|id| !id.is_empty());
        let compared = self.0.diff_snapshots(&wanted.graph_id, &request.snapshot_id, base, wanted.only, wanted.page).await?;
        Ok(Response::new(difference::to_proto(compared)))
    }

    async fn pin_snapshot(&self, request: Request<v1::PinSnapshotRequest>) -> Result<Response<v1::Snapshot>, Status> {
        let caller = caller(&request);
        let row = self.0.pin_snapshot(&caller, retention::parse_pin(request.into_inner())?).await?;
        Ok(Response::new(snapshot::to_proto(&self.0, row)))
    }

    async fn unpin_snapshot(&self, request: Request<v1::UnpinSnapshotRequest>) -> Result<Response<v1::Snapshot>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let graph_id = graph::parse_id(&request.graph_id)?;
        let request_id = super::convert::parse_request_id(&request.request_id)?;
        let row = self.0.unpin_snapshot(&caller, &graph_id, &request.snapshot_id, request_id.as_deref()).await?;
        Ok(Response::new(snapshot::to_proto(&self.0, row)))
    }

    async fn cleanup_snapshots(
        &self,
        request: Request<v1::CleanupSnapshotsRequest>,
    ) -> Result<Response<v1::CleanupSnapshotsResponse>, Status> {
        let (caller, wanted) = (caller(&request), retention::parse_cleanup(request.get_ref())?);
        if request.get_ref().validate_only {
            let preview = self.0.preview_cleanup(wanted.graph_id.as_ref(), None, &wanted.page).await?;
            return Ok(Response::new(retention::preview(preview)));
        }
        let queued = self.0.cleanup_snapshots(&caller, wanted.graph_id.as_ref(), wanted.request_id.as_deref()).await?;
        let wait = request.get_ref().wait.unwrap_or(true);
        let deleted_snapshots = self.0.count_cleaned(&queued, wait).await?;
        let operation_ids = queued.iter().map(|operation| operation.operation_id.to_string()).collect();
        Ok(Response::new(v1::CleanupSnapshotsResponse { deleted_snapshots, operation_ids, ..Default::default() }))
    }

    async fn verify_snapshot(&self, request: Request<v1::VerifySnapshotRequest>) -> Result<Response<v1::VerifySnapshotResponse>, Status> {
        let (caller, wait) = (caller(&request), request.get_ref().wait.unwrap_or(true));
        let queued = self.0.verify_snapshot(&caller, &verification::parse_new(request.into_inner())?).await?;
        let verification = match wait {
            true => self.0.find_verification(&self.0.wait_for(queued.operation_id).await?).await?,
            false => None,
        };
        let verification = verification.map(verification::to_proto);
        let operation = self.0.get_operation(&queued.operation_id.to_string()).await?;
        Ok(Response::new(v1::VerifySnapshotResponse { verification, operation: Some(operation::to_proto(operation)) }))
    }

    async fn list_verifications(
        &self,
        request: Request<v1::ListVerificationsRequest>,
    ) -> Result<Response<v1::ListVerificationsResponse>, Status> {
        let request = request.into_inner();
        let wanted = verification::parse_list(&request)?;
        let page = self.0.list_verifications(&wanted.graph_id, &request.snapshot_id, wanted.filter, &wanted.page).await?;
        let verifications = page.items.into_iter().map(verification::to_proto).collect();
        Ok(Response::new(v1::ListVerificationsResponse { verifications, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn get_backup_stats(&self, _: Request<v1::GetBackupStatsRequest>) -> Result<Response<v1::BackupStats>, Status> {
        Ok(Response::new(graph::stats_to_proto(self.0.backup_stats().await?)))
    }
}
