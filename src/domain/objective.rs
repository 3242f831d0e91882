//! What a graph's recovery must keep to.

/// The longest objective, seconds: a hundred years.
pub const MAX_SECONDS: i64 = 36_500 * 24 * 3600;

/// The objectives of a graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Objectives {
    /// How old its newest good snapshot may be, seconds; none for what the setting says.
    pub rpo_seconds: Option<i64>,
    /// How long its recovery may take, seconds; none where nobody says.
    pub rto_seconds: Option<i64>,
}
