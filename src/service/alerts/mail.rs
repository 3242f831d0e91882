//! E-mail: an event as a plain text, through the operator's mail server.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::ContentType;
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::super::Services;
use super::super::error::Error;
use super::MailSettings;
use super::event::{CloudEvent, EventData};
use crate::base::chain::chain;
use crate::base::timestamp::Timestamp;

/// How long the mail server may take for each step, and for all of them.
const STEP_LIMIT: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Checks the address of a mail server: `smtp://` without TLS, or with STARTTLS by `?tls=required`; `smtps://` with TLS from the start.
///
/// # Errors
/// What it must be. It holds a password, so it is not shown.
pub fn check_smtp_url(url: &str) -> Result<(), String> {
    let must = "must be `smtp://host:port`, `smtp://user:password@host:port?tls=required` or `smtps://user:password@host:port`";
    match builder(url) {
        Ok(_) => Ok(()),
        Err(_) => Err(must.to_owned()),
    }
}

fn builder(url: &str) -> Result<AsyncSmtpTransportBuilder, lettre::transport::smtp::Error> {
    Transport::from_url(url)
}

impl Services {
    /// Mails an event; the inner error says why it has not arrived.
    pub(super) async fn mail_event(&self, settings: &MailSettings, event: &CloudEvent) -> Result<Result<(), String>, Error> {
        let message = message(settings, event, self.now()).map_err(|error| Error::internal("write a mail", error))?;
        let url = settings.smtp_url.clone();
        // It reads the certificates that the system knows.
        let built =
            self.blocking(move || builder(url.expose()).map_err(|error| Error::internal("read the address of the mail server", error)));
        let transport: Transport = built.await?.timeout(Some(STEP_LIMIT)).build();
        Ok(match tokio::time::timeout(LIMIT, transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("the mail server has not taken it within {} s", LIMIT.as_secs())),
        })
    }
}

fn message(settings: &MailSettings, event: &CloudEvent, now: Timestamp) -> Result<Message, lettre::error::Error> {
    let data = &event.data;
    let state = if data.state == "firing" { data.severity.as_str() } else { &data.state };
    let mut builder = Message::builder()
        .from(settings.from.clone())
        .subject(format!("[{state}] {}: {}", data.rule, data.summary))
        .date(UNIX_EPOCH + now.since(Timestamp::default()))
        // The same at each attempt.
        .message_id(Some(format!("<{}@lightkeep>", event.id)))
        .header(ContentType::TEXT_PLAIN);
    for mailbox in settings.to.iter() {
        builder = builder.to(mailbox.clone());
    }
    builder.body(text(data, &event.time))
}

fn text(data: &EventData, time: &str) -> String {
    let labels: Vec<String> = data.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let number = |number: Option<f64>| number.map(|number| number.to_string());
    let alert_id = Some(data.alert_id.clone()).filter(|id| !id.is_empty());
    let lines = [
        ("Rule", Some(format!("{} ({})", data.rule, data.severity))),
        ("State", Some(format!("{} at {time}", data.state))),
        ("Graph", data.graph_id.clone()),
        ("Labels", Some(labels.join(", ")).filter(|labels| !labels.is_empty())),
        ("Value", number(data.value)),
        ("Threshold", number(data.threshold)),
        ("Since", data.started_at.clone()),
        ("Instance", Some(data.instance.clone())),
        ("Alert", alert_id),
    ];
    let lines: String = lines.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}\n", value?))).collect();
    format!("{}\n\n{lines}", data.summary)
}
