//! Hostile and slow clients, each named for what it does.
//!
//! Those of [`patterns`] vary how bytes are split into writes; the others are complete peers. The cases check how the server
//! reacts.

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
