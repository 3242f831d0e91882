//! Who makes a request.

/// The origin of a change, as the audit trail names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who: `api-key` where a key is set, else `anonymous`; `operation` for what an operation changes beyond its own row.
    pub name: &'static str,
    /// The name of the request that it came with; of an operation, its id.
    pub request_id: Option<String>,
}
