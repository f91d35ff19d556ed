//! Requests that are not answered where they were read.

use std::fmt;

use crate::error::Refusal;

/// Why a request is not answered in place.
pub enum Unanswered<R = Vec<u8>> {
    /// It is refused (S4).
    Refused(Refusal),
    /// It is heavy, and its service offloads it (S25): its reply is to be computed elsewhere.
    Heavy(Heavy<R>),
}

/// A heavy request, which owns all that it needs. Called in any thread, it returns the reply or refuses; it panics as the
/// transform does.
pub type Heavy<R = Vec<u8>> = Box<dyn FnOnce() -> Result<R, Refusal> + Send>;

impl<R: 'static> Unanswered<R> {
    /// Returns the same with the reply of a heavy request changed by `change`.
    #[cold]
    pub fn map<S>(self, change: impl FnOnce(R) -> S + Send + 'static) -> Unanswered<S> {
        match self {
            Self::Refused(refusal) => Unanswered::Refused(refusal),
            Self::Heavy(heavy) => Unanswered::Heavy(Box::new(|| heavy().map(change))),
        }
    }
}

impl<R> fmt::Debug for Unanswered<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => out.debug_tuple("Refused").field(refusal).finish(),
            Self::Heavy(_) => out.write_str("Heavy"),
        }
    }
}

impl<R> From<Refusal> for Unanswered<R> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
