//! OperationService.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::caller;
use super::convert::operation;
use crate::proto::v1;
use crate::proto::v1::operation_service_server::OperationService;
use crate::service::Services;

/// Operations, over gRPC.
#[derive(Debug, Clone)]
pub struct OperationGrpc(pub Services);

#[tonic::async_trait]
impl OperationService for OperationGrpc {
    type WatchOperationStream = Pin<Box<dyn Stream<Item = Result<v1::Operation, Status>> + Send>>;

    async fn get_operation(&self, request: Request<v1::GetOperationRequest>) -> Result<Response<v1::Operation>, Status> {
        let found = self.0.get_operation(&request.into_inner().operation_id).await?;
        Ok(Response::new(operation::to_proto(found)))
    }

    async fn list_operations(&self, request: Request<v1::ListOperationsRequest>) -> Result<Response<v1::ListOperationsResponse>, Status> {
        let (wanted, page) = operation::parse_list(&request.into_inner())?;
        let page = self.0.list_operations(&wanted, &page).await?;
        let operations = page.items.into_iter().map(operation::to_proto).collect();
        Ok(Response::new(v1::ListOperationsResponse { operations, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn cancel_operation(&self, request: Request<v1::CancelOperationRequest>) -> Result<Response<v1::Operation>, Status> {
        let caller = caller(&request);
        let cancelled = self.0.cancel_operation(&caller, &request.into_inner().operation_id).await?;
        Ok(Response::new(operation::to_proto(cancelled)))
    }

    async fn watch_operation(&self, request: Request<v1::WatchOperationRequest>) -> Result<Response<Self::WatchOperationStream>, Status> {
        let id = request.into_inner().operation_id;
        self.0.get_operation(&id).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let services = self.0.clone();
        self.0.tasks().spawn(async move { watch(&services, &id, &sender).await });
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }
}

/// Sends the operation at each change until it has ended, the client has gone, or the process stops.
async fn watch(services: &Services, id: &str, sender: &tokio::sync::mpsc::Sender<Result<v1::Operation, Status>>) {
    let mut changes = services.wakeup().changes();
    let mut last = None;
    loop {
        let (message, ended) = match services.get_operation(id).await {
            Ok(operation) => {
                let ended = operation.row.state.is_ended();
                (Ok(operation::to_proto(operation)), ended)
            }
            Err(error) => (Err(Status::from(error)), true),
        };
        let is_news = message.as_ref().ok() != last.as_ref();
        last = message.as_ref().ok().cloned();
        if is_news && sender.send(message).await.is_err() || ended {
            return;
        }
        tokio::select! {
            () = changes.next() => {}
            () = sender.closed() => return,
            () = services.stopping().cancelled() => {
                let message = format!("the server stops, operation `{id}` goes on when it is back");
                let error = crate::service::Error::refused(crate::service::ErrorKind::Unavailable, "SERVER_STOPPING", message);
                let _ = sender.send(Err(error.into())).await;
                return;
            }
        }
    }
}
