//! The kinds of event that an observer wants.

use std::ops::BitOr;

#[cfg(doc)]
use super::Kind;

/// A set of kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u16);

impl Interest {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind but [`TURNS`](Self::TURNS), which say nothing about the outside world.
    pub const ALL: Self = Self(Self::TURNS.0 - 1);
    /// [`Kind::Connecting`].
    pub const CONNECTING: Self = Self(1);
    /// [`Kind::Connected`].
    pub const CONNECTED: Self = Self(1 << 1);
    /// [`Kind::Accepted`].
    pub const ACCEPTED: Self = Self(1 << 2);
    /// [`Kind::Read`].
    pub const READ: Self = Self(1 << 3);
    /// [`Kind::Wrote`].
    pub const WROTE: Self = Self(1 << 4);
    /// [`Kind::Answered`].
    pub const ANSWERED: Self = Self(1 << 5);
    /// [`Kind::Refused`].
    pub const REFUSED: Self = Self(1 << 6);
    /// [`Kind::Panicked`].
    pub const PANICKED: Self = Self(1 << 7);
    /// [`Kind::Finished`].
    pub const FINISHED: Self = Self(1 << 8);
    /// [`Kind::Failed`].
    pub const FAILED: Self = Self(1 << 9);
    /// [`Kind::Closed`].
    pub const CLOSED: Self = Self(1 << 10);
    /// [`Kind::AcceptFailed`].
    pub const ACCEPT_FAILED: Self = Self(1 << 11);
    /// [`Kind::ShortOfThreads`].
    pub const SHORT_OF_THREADS: Self = Self(1 << 12);
    /// [`Kind::Running`] and [`Kind::Waiting`].
    /// Only timelines need them.
    pub const TURNS: Self = Self(1 << 13);
    /// The kinds that a server logs. None of them is on the hot path.
    pub const TROUBLE: Self = Self(
        Self::REFUSED.0
            | Self::PANICKED.0
            | Self::FAILED.0
            | Self::ACCEPT_FAILED.0
            | Self::SHORT_OF_THREADS.0,
    );

    /// Returns whether the two sets have a kind in common.
    #[inline]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
