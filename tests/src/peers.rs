//! Clients that are hostile or slow, each in one way and under one name.
//!
//! Those of [`patterns`] say how bytes are sent; the others are whole peers that do one thing to a server. What the
//! server must make of it is the case's to say.

pub mod closes;
pub mod floods;
pub mod patterns;
pub mod resets;
pub mod stalls;

pub use closes::{ClosesAtOnce, ClosesMidFrame, HalfCloses};
pub use floods::{LeavesUnreadInput, PipelinesMany, SendsForever, SendsGarbage};
pub use patterns::{CutsAtRandom, SendPattern, SplitsAt, SplitsEveryByte, Whole};
pub use resets::{ResetsAtOnce, ResetsMidPoem, ResetsMidRequest};
pub use stalls::{NeverReads, SendsNothing, StallsMidRequest, Trickles};
