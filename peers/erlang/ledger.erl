%% The counts of the server (S23). Beside actors/src/ledger.rs.
%%
%% This is the only memory that processes share: an array of atomic integers. Messages to a process that counts would do as
%% well, but its mailbox could grow without bound.
-module(ledger).
-export([new/0, add/2, refused/1, closed/1, json/1]).

-define(CLOSED, [done, refused, reset, idle, deadline, write, cut, panic, left, upstream]).
-define(REFUSED, [no_dot, unknown_transform, not_utf8, transform_failed, reply_too_long, framing, truncated, unknown_poem,
                  bad_poem_name]).
-define(PLAIN, [accepted, requests, answered, failed, bytes_in, bytes_out]).

new() ->
    Names = ?PLAIN ++ [{closed, Why} || Why <- ?CLOSED] ++ [{refused, Why} || Why <- ?REFUSED],
    Places = maps:from_list(lists:zip(Names, lists:seq(1, length(Names)))),
    %% A persistent term is read without a copy and without a lock.
    persistent_term:put(?MODULE, {counters:new(length(Names), []), Places}).

add(Name, Count) ->
    {Counters, Places} = persistent_term:get(?MODULE),
    counters:add(Counters, map_get(Name, Places), Count).

refused(Why) -> add({refused, Why}, 1).

closed(Why) -> add({closed, Why}, 1).

%% Ends are read before beginnings, so that no difference is negative. Once no connection is left, what was neither answered
%% nor refused has failed: a process that was killed could not count that.
json(Open) ->
    {Counters, Places} = persistent_term:get(?MODULE),
    Get = fun(Name) -> counters:get(Counters, map_get(Name, Places)) end,
    Closed = [{Why, Get({closed, Why})} || Why <- ?CLOSED],
    Refused = [{Why, Get({refused, Why})} || Why <- ?REFUSED],
    [Failed, Answered, Requests, Accepted] = [Get(Name) || Name <- [failed, answered, requests, accepted]],
    Ended = Answered + sum(Refused),
    {Lost, InFlight} = case Open of
        none_left -> {Requests - Ended, 0};
        some -> {Failed, Requests - Ended - Failed}
    end,
    object([{accepted, Accepted}, {open, Accepted - sum(Closed)}, {closed, Closed}, {requests, Requests},
            {answered, Answered}, {refused, Refused}, {failed, Lost}, {in_flight, InFlight},
            {bytes_in, Get(bytes_in)}, {bytes_out, Get(bytes_out)},
            {fetches, [{Name, 0} || Name <- [begun, cached, failed, cancelled, under_way]]}]).

sum(Counts) -> lists:sum([Count || {_, Count} <- Counts]).

object(Fields) ->
    Field = fun({Name, Value}) when is_list(Value) -> io_lib:format("\"~s\":~s", [Name, object(Value)]);
               ({Name, Value}) -> io_lib:format("\"~s\":~b", [Name, Value])
            end,
    [${, lists:join($,, lists:map(Field, Fields)), $}].
