//! AlertService.

use tonic::{Request, Response, Status};

use super::caller;
use super::convert::{alert, parse_request_id};
use crate::proto::v1;
use crate::proto::v1::alert_service_server::AlertService;
use crate::service::Services;

/// Alerts, their rules and silences, over gRPC.
#[derive(Debug, Clone)]
pub struct AlertGrpc(pub Services);

#[tonic::async_trait]
impl AlertService for AlertGrpc {
    async fn list_alerts(&self, request: Request<v1::ListAlertsRequest>) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let (wanted, page) = alert::parse_list(request.into_inner())?;
        let page = self.0.list_alerts(&wanted, &page).await?;
        let alerts = page.items.into_iter().map(alert::to_proto).collect();
        Ok(Response::new(v1::ListAlertsResponse { alerts, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn get_alert(&self, request: Request<v1::GetAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        Ok(Response::new(alert::to_proto(self.0.get_alert(&request.get_ref().alert_id).await?)))
    }

    async fn acknowledge_alert(&self, request: Request<v1::AcknowledgeAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        let alert = self.0.acknowledge_alert(&caller, &request.alert_id, &request.comment, request_id.as_deref()).await?;
        Ok(Response::new(alert::to_proto(alert)))
    }

    async fn create_silence(&self, request: Request<v1::CreateSilenceRequest>) -> Result<Response<v1::Silence>, Status> {
        let caller = caller(&request);
        let new = alert::parse_silence(request.into_inner())?;
        Ok(Response::new(alert::silence_to_proto(self.0.create_silence(&caller, &new).await?)?))
    }

    async fn list_silences(&self, request: Request<v1::ListSilencesRequest>) -> Result<Response<v1::ListSilencesResponse>, Status> {
        let page = alert::parse_page(request.get_ref().page_size, &request.get_ref().page_token)?;
        let page = self.0.list_silences(&page).await?;
        let silences = page.items.into_iter().map(alert::silence_to_proto).collect::<Result<Vec<_>, _>>()?;
        Ok(Response::new(v1::ListSilencesResponse { silences, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn delete_silence(&self, request: Request<v1::DeleteSilenceRequest>) -> Result<Response<v1::DeleteSilenceResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        self.0.delete_silence(&caller, &request.silence_id, request_id.as_deref()).await?;
        let message = format!("Deleted silence {}", request.silence_id);
        Ok(Response::new(v1::DeleteSilenceResponse { status: "success".to_owned(), message }))
    }

    async fn list_alert_rules(&self, request: Request<v1::ListAlertRulesRequest>) -> Result<Response<v1::ListAlertRulesResponse>, Status> {
        let page = alert::parse_page(request.get_ref().page_size, &request.get_ref().page_token)?;
        let page = self.0.list_alert_rules(&page).await?;
        let rules = page.items.into_iter().map(alert::rule_to_proto).collect();
        Ok(Response::new(v1::ListAlertRulesResponse { rules, next_page_token: page.next_page_token.unwrap_or_default() }))
    }

    async fn put_alert_rule(&self, request: Request<v1::PutAlertRuleRequest>) -> Result<Response<v1::AlertRule>, Status> {
        let caller = caller(&request);
        let (fields, request_id) = alert::parse_rule(request.into_inner())?;
        Ok(Response::new(alert::rule_to_proto(self.0.put_alert_rule(&caller, &fields, request_id.as_deref()).await?)))
    }

    async fn delete_alert_rule(
        &self,
        request: Request<v1::DeleteAlertRuleRequest>,
    ) -> Result<Response<v1::DeleteAlertRuleResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let request_id = parse_request_id(&request.request_id)?;
        self.0.delete_alert_rule(&caller, &request.name, request_id.as_deref()).await?;
        let message = format!("Deleted rule {}", request.name);
        Ok(Response::new(v1::DeleteAlertRuleResponse { status: "success".to_owned(), message }))
    }

    async fn test_notification(
        &self,
        request: Request<v1::TestNotificationRequest>,
    ) -> Result<Response<v1::TestNotificationResponse>, Status> {
        let results = self.0.test_notification(&caller(&request)).await?;
        let channels = results.into_iter().map(alert::result_to_proto).collect();
        Ok(Response::new(v1::TestNotificationResponse { channels }))
    }
}
