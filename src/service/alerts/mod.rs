//! Alerts: rules are asked of the samples, what they find is kept, and whoever wants to know is told.

mod acknowledging;
mod delivering;
mod evaluating;
mod event;
mod mail;
mod rules;
mod silencing;

use lettre::message::{Mailbox, Mailboxes};

pub use acknowledging::SeenAlert;
pub use delivering::TestResult;
pub use mail::check_smtp_url;
pub use silencing::{NewSilence, labels_of};

use super::Services;
use super::error::Error;
use crate::base::secret::Secret;
use crate::domain::alert::{Channel, RuleInForce};
use crate::store::{alerts, silences};

/// What the operator has set for alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertSettings {
    /// Whether rules are asked, and anybody told.
    pub is_enabled: bool,
    /// The default rules, as the operator's file has changed them, and his own; by their names.
    pub rules: Vec<RuleInForce>,
    /// Where alerts are posted.
    pub webhook: Option<WebhookSettings>,
    /// Where alerts are mailed.
    pub mail: Option<MailSettings>,
}

/// Where alerts are posted.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The address; it may hold a token.
    pub url: Secret,
    /// Signs what is posted.
    pub secret: Option<Secret>,
}

/// Where alerts are mailed.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// The mail server, with user and password.
    pub smtp_url: Secret,
    /// Who sends them.
    pub from: Mailbox,
    /// Who gets them.
    pub to: Mailboxes,
}

impl AlertSettings {
    /// By which ways somebody is told.
    fn channels(&self) -> impl Iterator<Item = Channel> {
        self.webhook.iter().map(|_| Channel::Webhook).chain(self.mail.iter().map(|_| Channel::Email))
    }
}

impl Services {
    /// Forgets alerts that have been over, and silences that have ended, for long enough.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_alerts(&self) -> Result<(), Error> {
        let before = self.now().minus(self.settings().monitoring.event_retention);
        alerts::delete_resolved_before(self.store().read(), before).await?;
        Ok(silences::delete_ended_before(self.store().read(), before).await?)
    }
}
