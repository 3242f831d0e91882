//! Messages as REST writes them, for whoever has them from elsewhere: the command line.

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use serde_json::Value;

use super::dialect::Dialect;
use super::json::MessageJson;

/// Writes messages as REST does.
#[derive(Debug)]
pub struct JsonText {
    pool: DescriptorPool,
    dialect: Dialect,
}

/// What is to be written is no message of ours.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` cannot be written")]
pub struct UnknownMessage {
    name: String,
    #[source]
    source: Option<prost::DecodeError>,
}

impl JsonText {
    /// A writer of the messages of these descriptors.
    ///
    /// # Errors
    /// When the descriptors cannot be read.
    pub fn new(descriptors: &[u8]) -> Result<Self, prost_reflect::DescriptorError> {
        let pool = DescriptorPool::decode(descriptors)?;
        Ok(Self { dialect: Dialect::new(&pool), pool })
    }

    /// The JSON of the message `name` (`lightkeep.v1.Graph`) that is encoded in `bytes`, as REST writes it.
    ///
    /// # Errors
    /// [`UnknownMessage`] for a name that the descriptors have not, and for bytes that are no such message.
    pub fn text(&self, name: &str, bytes: &[u8]) -> Result<String, UnknownMessage> {
        let message = self.message(name, bytes)?;
        serde_json::to_string(&MessageJson { dialect: &self.dialect, message: &message }).map_err(|_| unknown(name, None))
    }

    /// The fields of the same JSON, in the order of the proto, with their names.
    ///
    /// # Errors
    /// As of [`Self::text`].
    pub fn fields(&self, name: &str, bytes: &[u8]) -> Result<Vec<(String, Value)>, UnknownMessage> {
        let message = self.message(name, bytes)?;
        let json = serde_json::to_value(MessageJson { dialect: &self.dialect, message: &message }).map_err(|_| unknown(name, None))?;
        let field = |field: prost_reflect::FieldDescriptor| Some((field.name().to_owned(), json.get(field.name())?.clone()));
        Ok(message.descriptor().fields().filter_map(field).collect())
    }

    fn message(&self, name: &str, bytes: &[u8]) -> Result<DynamicMessage, UnknownMessage> {
        let descriptor = self.pool.get_message_by_name(name).ok_or_else(|| unknown(name, None))?;
        DynamicMessage::decode(descriptor, bytes).map_err(|error| unknown(name, Some(error)))
    }
}

fn unknown(name: &str, source: Option<prost::DecodeError>) -> UnknownMessage {
    UnknownMessage { name: name.to_owned(), source }
}
