//! Clients that are hostile or slow, each in one way and under one name.
//!
//! Those of [`manners`] say how bytes are sent; the others are whole peers that do one thing to a server. What the
//! server must make of it is the case's to say.

pub mod closes;
pub mod floods;
pub mod manners;
pub mod resets;
pub mod stalls;

pub use closes::{ClosesMidFrame, HalfCloses, LeavesAtOnce};
pub use floods::{LeavesUnreadInput, PipelinesMany, SendsGarbage, SendsWithoutEnd};
pub use manners::{CutsAtRandom, Manner, SplitsAt, SplitsEveryByte, Whole};
pub use resets::{ResetsAtOnce, ResetsMidPoem, ResetsMidRequest};
pub use stalls::{KeepsSilent, NeverReads, StallsMidRequest, Trickles};
