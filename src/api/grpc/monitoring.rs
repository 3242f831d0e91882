//! MonitoringService.

use std::pin::Pin;

use tokio::sync::mpsc::Sender;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::convert::{event, monitoring};
use crate::domain::page::TimeKey;
use crate::proto::google::api::HttpBody;
use crate::proto::v1;
use crate::proto::v1::monitoring_service_server::MonitoringService;
use crate::service::{Error, ErrorKind, Services};
use crate::store::events::EventFilter;
use crate::telemetry::Format;

/// Metrics, health, events and statistics, over gRPC.
#[derive(Debug, Clone)]
pub struct MonitoringGrpc(pub Services);

#[tonic::async_trait]
impl MonitoringService for MonitoringGrpc {
    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn get_metrics(&self, _: Request<v1::GetMetricsRequest>) -> Result<Response<v1::GetMetricsResponse>, Status> {
        self.0.check_metrics_enabled()?;
        Ok(Response::new(v1::GetMetricsResponse { metrics: monitoring::metrics_to_proto(&self.0.collected()) }))
    }

    async fn get_prometheus_metrics(&self, _: Request<v1::GetPrometheusMetricsRequest>) -> Result<Response<HttpBody>, Status> {
        let page = self.0.metrics_page(Format::Text).await?;
        Ok(Response::new(HttpBody { content_type: page.content_type.to_owned(), data: page.text, extensions: Vec::new() }))
    }

    async fn get_metrics_summary(&self, _: Request<v1::GetMetricsSummaryRequest>) -> Result<Response<v1::MetricsSummary>, Status> {
        self.0.check_metrics_enabled()?;
        let collected = self.0.collected();
        Ok(Response::new(v1::MetricsSummary {
            collector_enabled: true,
            collection_interval: self.0.settings().monitoring.interval.as_secs().cast_signed(),
            last_collection: collected.at.map(super::convert::timestamp),
            metrics_count: monitoring::metrics_to_proto(&collected).len() as i64,
            status: if self.0.stopping().is_cancelled() { "stopped" } else { "running" }.to_owned(),
        }))
    }

    async fn collect_metrics(&self, _: Request<v1::CollectMetricsRequest>) -> Result<Response<v1::CollectMetricsResponse>, Status> {
        let collected = self.0.collect_metrics().await?;
        self.0.follow_collection(&collected).await?;
        let (status, message) = ("success".to_owned(), "Metrics collection triggered".to_owned());
        Ok(Response::new(v1::CollectMetricsResponse { status, message }))
    }

    async fn query_metric_history(
        &self,
        request: Request<v1::QueryMetricHistoryRequest>,
    ) -> Result<Response<v1::QueryMetricHistoryResponse>, Status> {
        let query = monitoring::parse_history(request.into_inner(), self.0.now())?;
        let histories = self.0.query_history(&query).await?;
        let series = histories.into_iter().map(|history| monitoring::history_to_proto(&query.metric, history)).collect();
        Ok(Response::new(v1::QueryMetricHistoryResponse { series }))
    }

    async fn get_health(&self, _: Request<v1::GetHealthRequest>) -> Result<Response<v1::SystemHealth>, Status> {
        Ok(Response::new(monitoring::health_to_proto(self.0.system_health().await)))
    }

    async fn get_backup_statistics(&self, _: Request<v1::GetBackupStatisticsRequest>) -> Result<Response<v1::BackupStatistics>, Status> {
        Ok(Response::new(monitoring::backups_to_proto(&self.0.backup_statistics().await?)))
    }

    async fn get_recovery_statistics(
        &self,
        _: Request<v1::GetRecoveryStatisticsRequest>,
    ) -> Result<Response<v1::RecoveryStatistics>, Status> {
        Ok(Response::new(monitoring::recovery_to_proto(&self.0.recovery_statistics().await?)))
    }

    async fn list_events(&self, request: Request<v1::ListEventsRequest>) -> Result<Response<v1::ListEventsResponse>, Status> {
        let (wanted, page) = event::parse_list(request.get_ref())?;
        let page = self.0.list_events(&wanted, &page).await?;
        let events = page.items.into_iter().map(event::to_proto).collect();
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn watch_events(&self, request: Request<v1::WatchEventsRequest>) -> Result<Response<Self::WatchEventsStream>, Status> {
        let wanted = event::parse_watch(request.get_ref())?;
        // Before the answer begins: what happens from now on is sent.
        let after = self.0.newest_event().await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let services = self.0.clone();
        self.0.tasks().spawn(async move { watch(&services, &wanted, after, &sender).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Sends each event after this place, until the client has gone or the process stops.
async fn watch(services: &Services, wanted: &EventFilter, mut after: TimeKey, sender: &Sender<Result<v1::Event, Status>>) {
    let mut changes = services.wakeup().changes();
    loop {
        match services.events_after(wanted, &after).await {
            Ok(events) => {
                for event in events {
                    after = (event.created_at, event.event_id.to_string());
                    if sender.send(Ok(event::to_proto(event))).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => {
                let _ = sender.send(Err(error.into())).await;
                return;
            }
        }
        tokio::select! {
            () = changes.next() => {}
            () = sender.closed() => return,
            () = services.stopping().cancelled() => {
                let error = Error::refused(ErrorKind::Unavailable, "SERVER_STOPPING", "the server stops: watch again when it is back");
                let _ = sender.send(Err(error.into())).await;
                return;
            }
        }
    }
}
