//! The flaws of the fifth model, and the cases that must catch each of them.

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
}

impl Flaw {
    /// Returns whether a library answers at most a turn of requests after one read.
    pub(crate) fn limits_turns(self) -> bool {
        self != Self::DoesNotLimitTurns
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

/// Every flaw, with cases that must catch it. Other cases may catch it too.
pub(crate) const CAUGHT_BY: &[(Flaw, &[&str])] = &[
    (
        Flaw::DropsLastChunk,
        &["poem_server::sends_a_non_ascii_poem_byte_for_byte"],
    ),
    (
        Flaw::TreatsFinAsDisconnect,
        &["poem_server::a_client_fin_does_not_end_a_slow_poem"],
    ),
    (
        Flaw::AnswersAllInOneShot,
        &["transform_server::answers_only_the_first_of_two_requests_in_one_segment"],
    ),
    (
        Flaw::IgnoresFrameLimit,
        &["transform_server::closes_on_a_length_over_a_smaller_limit"],
    ),
    (
        Flaw::AnswersUnknownTransforms,
        &["transform_server::refuses_an_unknown_transform"],
    ),
    (
        Flaw::MergesReplies,
        &["transform_server::keep_alive_answers_pipelined_requests_in_order"],
    ),
    (
        Flaw::CountsRepliesTwice,
        &["transform_server::bytes_requests_and_connections_are_counted_exactly"],
    ),
    (
        Flaw::DoesNotCountDrainedBytes,
        &["transform_server::drained_bytes_are_counted_as_read"],
    ),
    (
        Flaw::DropsPartialRequests,
        &[
            "transform_server::a_request_split_at_any_byte_is_answered",
            "transform_server::keep_alive_answers_a_request_followed_by_half_of_the_next",
        ],
    ),
    (
        Flaw::ClosesWithoutLingering,
        &[
            "transform_server::client_input_after_the_reply_is_drained",
            "transform_server::client_input_after_a_refusal_is_drained",
            "poem_server::client_input_after_the_poem_is_discarded",
        ],
    ),
    (
        Flaw::ExtendsRequestDeadline,
        &["transform_server::a_trickle_of_bytes_does_not_extend_the_deadline"],
    ),
    (
        Flaw::IgnoresConnectionLimit,
        &["transform_server::a_lingering_connection_counts_toward_the_limit"],
    ),
    (
        Flaw::IgnoresGrace,
        &[
            "transform_server::a_partly_read_request_is_finished",
            "poem_server::a_poem_in_flight_is_finished_at_shutdown",
        ],
    ),
    (
        Flaw::KeepsIdleConnectionsAtShutdown,
        &["transform_server::idle_connections_are_closed_at_once_with_fin"],
    ),
    (
        Flaw::IgnoresTruncatedRequests,
        &["transform_server::a_request_cut_short_by_fin_is_refused_as_truncated"],
    ),
    (
        Flaw::DropsRepliesBeforePanic,
        &["transform_server::replies_before_a_panic_are_delivered"],
    ),
    (
        Flaw::TreatsResetAsEnd,
        &["poem_client::a_reset_mid_poem_is_reported_as_connection_lost_not_as_a_poem"],
    ),
    (
        Flaw::ReturnsInArrivalOrder,
        &["poem_client::outcomes_are_in_request_order_not_arrival_order"],
    ),
    (
        Flaw::DecodesEachRead,
        &["poem_client::a_character_split_across_reads_arrives_whole"],
    ),
    (
        Flaw::FetchesSequentially,
        &["poem_client::poems_are_fetched_concurrently"],
    ),
    (
        Flaw::OmitsAddressFromErrors,
        &["poem_client::a_refused_connection_is_reported_as_connection_failed"],
    ),
    (
        Flaw::ExtendsTotalDeadline,
        &["poem_client::a_trickle_of_bytes_does_not_extend_the_total_deadline"],
    ),
    (
        Flaw::FailsPoemWithTransform,
        &["transform_client::keeps_the_original_when_the_server_closes_without_a_reply"],
    ),
    (
        Flaw::HidesTransformFailure,
        &["transform_client::keeps_the_original_when_no_server_transforms"],
    ),
    (
        Flaw::TransformsAfterAllPoems,
        &["transform_client::a_poem_is_transformed_before_the_others_arrive"],
    ),
    (
        Flaw::IgnoresCancel,
        &["poem_client::cancelling_one_task_leaves_the_others_running"],
    ),
    (
        Flaw::TriesOnlyFirstAddress,
        &["poem_client::addresses_are_tried_in_order"],
    ),
    (
        Flaw::DoesNotLimitTurns,
        &[
            "transform_server::pipelining_clients_of_one_thread_take_turns",
            "transform_server::a_client_that_waits_for_each_reply_is_not_held_up_by_pipeliners",
            "library_server::a_server_holds_the_replies_of_at_most_one_read",
        ],
    ),
    (
        Flaw::TakesThreeTurnsInARow,
        &["transform_server::pipelining_clients_of_one_thread_take_turns"],
    ),
    (
        Flaw::UsesSelfConnection,
        &[
            "poem_client::a_fetch_that_connects_to_itself_is_reported_as_connection_failed",
            "poem_client::a_transform_that_connects_to_itself_keeps_the_original",
        ],
    ),
    (
        Flaw::ClosesSelfConnectionWithFin,
        &["poem_client::a_fetch_that_connects_to_itself_is_reported_as_connection_failed"],
    ),
];
