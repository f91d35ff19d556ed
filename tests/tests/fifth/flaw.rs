//! The flaws of the fifth model. The cases that must catch them are in `caught_by`.

use std::borrow::Cow;

use poetry::netstring::{self, Decoder};

/// One wrong behaviour; the rest of the model is correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No flaw.
    None,
    /// Does not send the last chunk of a slow poem.
    DropsLastChunk,
    /// Ends the poem at the client's FIN.
    TreatsFinAsDisconnect,
    /// Answers all requests of a one-shot connection.
    AnswersAllInOneShot,
    /// Accepts frames of any length.
    IgnoresFrameLimit,
    /// Answers an unknown transform with the request itself.
    AnswersUnknownTransforms,
    /// Sends the replies to one read as one netstring.
    MergesReplies,
    /// Counts every reply twice.
    CountsRepliesTwice,
    /// Does not count the bytes that a lingering close drains.
    DoesNotCountDrainedBytes,
    /// Forgets a partial request after each read.
    DropsPartialRequests,
    /// Closes connections without lingering.
    ClosesWithoutLingering,
    /// Restarts the request's deadline with every byte.
    ExtendsRequestDeadline,
    /// Accepts more connections than the limit.
    IgnoresConnectionLimit,
    /// Cuts connections in flight at the beginning of a shutdown.
    IgnoresGrace,
    /// Does not close idle keep-alive connections at a shutdown.
    KeepsIdleConnectionsAtShutdown,
    /// Does not refuse a request that FIN truncates.
    IgnoresTruncatedRequests,
    /// Does not send the replies before a panic.
    DropsRepliesBeforePanic,
    /// Takes a reset for the end of the poem.
    TreatsResetAsEnd,
    /// Returns outcomes in the order of arrival.
    ReturnsInArrivalOrder,
    /// Decodes every read separately.
    DecodesEachRead,
    /// Fetches one poem after another.
    FetchesSequentially,
    /// Does not name the peer's address in errors.
    OmitsAddressFromErrors,
    /// Restarts the total deadline with every byte.
    ExtendsTotalDeadline,
    /// Fails the poem if its transform fails.
    FailsPoemWithTransform,
    /// Does not report a failed transform.
    HidesTransformFailure,
    /// Transforms no poem before all have arrived.
    TransformsAfterAllPoems,
    /// Cancels nothing.
    IgnoresCancel,
    /// Tries only the first address of a peer.
    TriesOnlyFirstAddress,
    /// Claims one thread for all connections, and answers a whole read in one turn.
    DoesNotLimitTurns,
    /// Claims one thread for all connections, and gives each three turns before the next has one.
    TakesThreeTurnsInARow,
    /// Uses a connection to itself like any other.
    UsesSelfConnection,
    /// Closes a connection to itself with FIN instead of RST, so that TIME_WAIT holds its port.
    ClosesSelfConnectionWithFin,
    /// Ends with FIN what it owes, when the grace or the write timeout is over or a proxy's fetch has failed.
    ClosesOwedWithFin,
    /// Resets a lingering connection when the grace is over.
    ResetsLingering,
    /// Fetches once for each waiting client.
    FetchesForEach,
    /// Does not cancel a fetch that no client waits for.
    FetchesForNobody,
    /// Cancels a fetch when one of its clients leaves.
    CancelsForOne,
    /// Does not take FIN for leaving.
    IgnoresWaitingFin,
    /// Sends a byte before the fetch is complete.
    SendsBeforeThePoem,
    /// Caches an empty poem.
    CachesEmptyPoems,
    /// Serves a cached poem for ever.
    IgnoresTimeToLive,
    /// Caches nothing.
    NeverCaches,
    /// Does not fetch again after a failure.
    RemembersFailures,
    /// Closes a client that waits for longer than the write timeout.
    LimitsWaiting,
    /// Reports the events of a fetch as those of the proxy.
    ReportsFetchesAsProxy,
    /// Closes every connection before it is served.
    ClosesAtOnce,
    /// Resets every connection before it is served.
    ResetsAtOnce,
    /// Does not send the last byte of a poem or of the replies to a read.
    CutsTheEnd,
    /// Closes no connection that has been answered.
    NeverCloses,
    /// Serves one connection at a time.
    ServesOneAtATime,
    /// Accepts no connection after a reset.
    StopsAfterReset,
    /// Counts every connection as closed because it was done.
    CountsEveryCloseAsDone,
    /// Counts no bytes.
    CountsNoBytes,
    /// Computes any number of heavy requests at once.
    ComputesWithoutBound,
    /// Counts failed requests as answered.
    CountsFailedAsAnswered,
    /// Reports no event.
    ReportsNothing,
    /// Reports events as those of a poem server.
    ReportsAsPoemServer,
    /// Does not close a silent connection.
    IgnoresIdleTimeout,
    /// Closes a connection as idle whose request computes for as long.
    CountsComputingAsIdle,
    /// Does not close a connection whose request does not end.
    IgnoresRequestDeadline,
    /// Does not close a connection that takes no byte.
    IgnoresWriteTimeout,
    /// Drains a lingering connection for ever.
    LingersForEver,
    /// Answers any name with an empty poem, if the library does not have it.
    AnswersUnknownPoems,
    /// Finds a poem by the path of its file.
    FindsPoemsByPath,
    /// Finds a poem whatever the case of its name.
    IgnoresCaseOfNames,
    /// Serves the poems of the start for ever.
    IgnoresReloads,
    /// Resets a connection when the library has been replaced since its first request.
    ClosesAtReload,
    /// Refuses every request.
    RefusesAll,
    /// Takes every failed fetch for a poem.
    SucceedsAlways,
    /// Fails every fetch as cancelled.
    FailsAlways,
    /// Changes every transformed poem, and why a transform failed.
    AltersTransforms,
    /// Sends the name of a poem as it is, without a frame.
    SendsBareNames,
    /// Sends FIN after its request.
    HalfClosesAfterRequest,
    /// Waits for FIN after a whole reply.
    WaitsForFinOfReply,
    /// Takes a reply that is cut short for a poem.
    TakesCutReplies,
    /// Takes a frame limit for the limit of a poem.
    LimitsPoemsToFrames,
    /// Calls a library's over-long reply garbled.
    CallsTooLongGarbled,
    /// Counts the bytes of a poem instead of those of the wire.
    CountsPoemBytes,
    /// Takes a reset after FIN for a lost connection.
    TakesResetAfterFinForLost,
    /// Fails a write that the server takes slowly.
    TakesSlowWritesForIdle,
    /// Does not fail a silent fetch.
    FetchesForEver,
    /// Reads many requests at once, and answers all of them before it sends a reply.
    ReadsWithoutBound,
    /// Reports every panic twice.
    ReportsPanicsTwice,
    /// Counts a connection before the first one comes.
    CountsFromOne,
    /// Says that it has cut a connection, whether or not it has.
    ClaimsACut,
    /// Returns one outcome more than there are requests.
    ReturnsOneOutcomeMore,
    /// Says that every fetch took no time.
    ReportsNoTime,
    /// Tries again at once when it cannot accept for lack of descriptors.
    LoopsWithoutDescriptors,
    /// Fails a fetch for which it has no descriptor.
    FailsWithoutDescriptors,
    /// Takes a mebibyte for a request that is not complete.
    SpendsOnAnnouncements,
}

impl Flaw {
    /// Returns whether a library answers at most a turn of requests after one read.
    pub(crate) fn limits_turns(self) -> bool {
        self != Self::DoesNotLimitTurns
    }

    /// Returns the name that a library finds for a request.
    pub(crate) fn name_in(self, frame: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::FindsPoemsByPath => {
                let is_slash = |&byte: &u8| matches!(byte, b'/' | b'\\');
                let file = frame.rsplit(|byte| is_slash(byte)).next().unwrap_or(frame);
                let stem = file.split(|&byte| byte == b'.').next().unwrap_or(file);
                Cow::Borrowed(stem.trim_ascii_end())
            }
            Self::IgnoresCaseOfNames => Cow::Owned(frame.to_ascii_lowercase()),
            _ => Cow::Borrowed(frame),
        }
    }

    /// Returns how many turns a connection has in a row, for the flaws that claim one thread for all connections.
    pub(crate) fn turns_in_a_row(self) -> Option<u32> {
        match self {
            Self::DoesNotLimitTurns => Some(1),
            Self::TakesThreeTurnsInARow => Some(3),
            _ => None,
        }
    }
}

/// Merges all replies into one, for the flaw that does.
pub(crate) fn merged(replies: &[u8]) -> Vec<u8> {
    let (mut decoder, mut poems) = (Decoder::new(usize::MAX / 2), Vec::new());
    let mut frames = decoder.feed(replies);
    while let Ok(Some(poem)) = frames.next() {
        poems.extend_from_slice(poem);
    }
    let mut merged = Vec::new();
    if !replies.is_empty() {
        netstring::encode(&poems, &mut merged);
    }
    merged
}
