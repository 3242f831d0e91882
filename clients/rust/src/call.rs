//! What a call is: each request knows its own. The implementations are written by `build.rs`.

use prost::Message;

/// A request that has one answer.
pub trait Call: Message + Clone + Default + 'static {
    /// The answer.
    type Answer: Message + Default + Send + 'static;
    /// `/lightkeep.v1.BackupService/GetGraph`.
    const PATH: &'static str;
    /// Whether it changes nothing: then it can be repeated.
    const READS: bool;

    /// By what the server knows a repeated request again; `None` where it cannot.
    fn request_id(&mut self) -> Option<&mut String> {
        None
    }
}

/// A request with many answers, one after the other.
pub trait Stream: Message + Clone + Default + 'static {
    /// Each answer.
    type Answer: Message + Default + Send + 'static;
    /// `/lightkeep.v1.OperationService/WatchOperation`.
    const PATH: &'static str;
}

/// A request whose answer is a list, by pages.
pub trait Pages: Call {
    /// What is listed.
    type Item: Send;

    /// Asks for so many on a page, at most 1000.
    fn ask_for(&mut self, page_size: i32);
    /// Asks for the page with this token.
    fn turn_to(&mut self, page_token: String);
    /// What a page has, and the token of the next one; empty after the last.
    fn take(answer: Self::Answer) -> (Vec<Self::Item>, String);
}
