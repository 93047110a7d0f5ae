//! What can go wrong when a node is asked something.

/// A node did not answer, or not as its kind answers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ObserveError {
    /// Nobody answers there.
    #[error("{what} cannot be reached: {why}")]
    Unreachable {
        /// What was asked, with its address.
        what: String,
        /// Why not.
        why: String,
    },
    /// No answer came in time.
    #[error("{what} did not answer within {ms} ms")]
    TimedOut {
        /// What was asked, with its address.
        what: String,
        /// The deadline.
        ms: u128,
    },
    /// The answer makes no sense.
    #[error("{what} answers nonsense: {why}")]
    Garbage {
        /// What was asked, with its address.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
}
