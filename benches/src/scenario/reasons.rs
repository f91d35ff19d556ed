//! Why a model may be behind the bare loop of its kind: what it does that the loop does not. The system calls are what strace
//! shows, wake-ups are the scenario's waits; the rest is what the code does.

/// Connections that the server closes first.
pub(super) const CLOSING: &str = "A bare loop closes a connection as soon as it has sent the reply, which loses the reply if the \
     client still sends. A model shuts down the sending side, reads to the client's end, and then closes (S7). That takes two \
     further system calls, and another wake-up of a thread that has nothing else to do meanwhile.";

/// Requests on connections that stay open.
pub(super) const REQUESTS: &str = "A model counts requests and bytes, holds deadlines and bounds a connection's turn (S24). A bare \
     loop does none of that.";

/// Connections that wait.
pub(super) const WAITING: &str = "A model's connection has deadlines, counters and a place within the limit on connections. A bare \
     loop's has none of that.";
