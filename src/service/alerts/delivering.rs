//! Telling: what is due goes out, by each channel for itself, until it has arrived or is a day old.

use std::time::Duration;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::webhook::{Post, PostFailure};
use super::event::CloudEvent;
use super::{AlertSettings, MailSettings, WebhookSettings};
use crate::base::backoff::pause_after;
use crate::base::ids::NotificationId;
use crate::domain::alert::Channel;
use crate::domain::caller::Caller;
use crate::domain::metric::fact::{Fact, FactKind};
use crate::store::entity::notification::Model;
use crate::store::notifications::Attempt;
use crate::store::{self, facts, notifications};

/// How CloudEvents are posted.
const CONTENT_TYPE: &str = "application/cloudevents+json";

/// How long a webhook may take.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(10);

/// For how long an attempt keeps other instances from the same: longer than it can take.
const CLAIM: Duration = Duration::from_secs(60);

/// When it is tried no more.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// What has come of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// By this way.
    pub channel: Channel,
    /// Why it has not arrived; nothing where it has.
    pub error: Option<String>,
}

impl Services {
    /// Sends what is due, and notes how that went. What did not arrive is tried again later.
    ///
    /// # Errors
    /// The database's.
    pub async fn deliver_notifications(&self) -> Result<(), Error> {
        let AlertSettings { is_enabled, webhook, mail, .. } = &self.settings().alerts;
        if !is_enabled {
            return Ok(());
        }
        let by_webhook = async {
            match webhook {
                Some(settings) => self.deliver_by(&Way::Webhook(settings)).await,
                None => Ok(()),
            }
        };
        let by_mail = async {
            match mail {
                Some(settings) => self.deliver_by(&Way::Mail(settings)).await,
                None => Ok(()),
            }
        };
        // Beside each other: a server that hangs holds up only its own.
        let (by_webhook, by_mail) = tokio::join!(by_webhook, by_mail);
        by_webhook.and(by_mail)
    }

    async fn deliver_by(&self, way: &Way<'_>) -> Result<(), Error> {
        let (read, channel) = (self.store().read(), way.channel());
        // A look first, which keeps no writer waiting.
        while notifications::has_due(read, channel, self.now()).await? {
            let now = self.now();
            let Some(claimed) = notifications::claim(read, channel, now, now.plus(CLAIM)).await? else { return Ok(()) };
            let sent = tokio::select! {
                // One that cannot be sent for a reason of ours must not hold up the others for ever.
                sent = self.send_event(way, &claimed.body) => sent.unwrap_or_else(|error| Err(error.chain())),
                // It is sent when its claim has run out, perhaps a second time.
                () = self.stopping().cancelled() => return Ok(()),
            };
            let has_arrived = sent.is_ok();
            self.note_attempt(&claimed, sent).await?;
            if !has_arrived {
                // What is wrong with this one is wrong with others too: they wait for the next look.
                return Ok(());
            }
        }
        Ok(())
    }

    async fn note_attempt(&self, claimed: &Model, sent: Result<(), String>) -> Result<(), Error> {
        let now = self.now();
        let (alert_id, channel) = (claimed.alert_id.to_string(), claimed.channel.as_str());
        let attempt = match sent {
            Ok(()) => Attempt::Delivered,
            Err(error) if now.since(claimed.created_at) >= GIVE_UP => {
                tracing::error!(alert_id, channel, error, "nobody could be told of an alert, it is given up");
                Attempt::GivenUp { error }
            }
            Err(error) => {
                if claimed.attempts == 1 {
                    tracing::warn!(alert_id, channel, error, "nobody could be told of an alert yet, it is tried again");
                }
                let pause = pause_after(claimed.attempts.unsigned_abs());
                Attempt::Failed { next_attempt_at: now.plus(pause), error }
            }
        };
        let result = if matches!(attempt, Attempt::Delivered) { "delivered" } else { "failed" };
        let fact = Fact { word: Some(format!("{channel} {result}")), ..Fact::new(FactKind::Notification, now) };
        let transaction = self.store().begin().await?;
        facts::insert(&*transaction, fact).await?;
        notifications::finish(&*transaction, claimed, attempt, now).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Sends an event; the inner error says why it has not arrived.
    async fn send_event(&self, way: &Way<'_>, body: &str) -> Result<Result<(), String>, Error> {
        match way {
            Way::Webhook(settings) => Ok(post(settings, body.to_owned()).await),
            Way::Mail(settings) => self.mail_event(settings, &CloudEvent::from_json(body)?).await,
        }
    }

    /// Sends a test by each channel, once, and tells how that went.
    ///
    /// # Errors
    /// No channel is set; the database's.
    pub async fn test_notification(&self, caller: &Caller) -> Result<Vec<TestResult>, Error> {
        let AlertSettings { webhook, mail, .. } = &self.settings().alerts;
        let ways: Vec<Way<'_>> = webhook.iter().map(Way::Webhook).chain(mail.iter().map(Way::Mail)).collect();
        if ways.is_empty() {
            let message = "nobody is told of alerts: set `LIGHTKEEP_ALERT_WEBHOOK_URL` or `LIGHTKEEP_ALERT_SMTP_URL`, and restart";
            return Err(Error::refused(ErrorKind::FailedPrecondition, "NO_NOTIFICATION_CHANNEL", message));
        }
        self.record_audit(self.store().read(), caller, "TestNotification", None, None).await?;
        let mut results = Vec::new();
        for way in ways {
            let now = self.now();
            let event = CloudEvent::of_test(&self.settings().instance_name, NotificationId::new(self.ids(), now), now);
            let error = self.send_event(&way, &event.to_json()?).await?.err();
            results.push(TestResult { channel: way.channel(), error });
        }
        Ok(results)
    }
}

/// A channel that is set.
enum Way<'a> {
    Webhook(&'a WebhookSettings),
    Mail(&'a MailSettings),
}

impl Way<'_> {
    fn channel(&self) -> Channel {
        match self {
            Self::Webhook(_) => Channel::Webhook,
            Self::Mail(_) => Channel::Email,
        }
    }
}

async fn post(settings: &WebhookSettings, body: String) -> Result<(), String> {
    let (url, secret) = (settings.url.expose(), settings.secret.as_ref());
    let post = Post { url, content_type: CONTENT_TYPE, body, secret, limit: WEBHOOK_LIMIT };
    post.send().await.map_err(|failure| match failure {
        PostFailure::TimedOut => format!("it did not answer within {} s", WEBHOOK_LIMIT.as_secs()),
        PostFailure::Failed(why) => why,
    })
}
