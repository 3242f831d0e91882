use crate::domain::verification::VerificationLevel;
use crate::proto::v1;
pub(super) fn level_to_proto(level: VerificationLevel) -> v1::VerificationLevel {
    match level {
        VerificationLevel::Record => v1::VerificationLevel::Record,
        VerificationLevel::Data => v1::VerificationLevel::Data,
        VerificationLevel::Content => v1::VerificationLevel::Content,
    }
}
