%% The connections of the servers that answer netstrings with netstrings (S3-S8): a behaviour, whose callback modules
%% `transform_server` and `library_server` answer one request. Beside actors/src/request_server.rs.
-module(request_server).
-behaviour(connection).
-export([serve/2]).

-define(TOGETHER_MAX, 64).

-type refusal() :: no_dot | unknown_transform | not_utf8 | transform_failed | unknown_poem | bad_poem_name.

%% Answers one request. What it raises ends this connection and no other (S20).
-callback answer(Request :: binary(), Config :: map()) -> {ok, Reply :: iodata()} | {refused, refusal()}.

%% `begun` is when the first byte of an incomplete request came; `stopping`, whether the supervisor wants the end.
-record(state, {socket, config, begun = none, stopping = false}).

serve(Socket, Config) ->
    loop(<<>>, #state{socket = Socket, config = Config}).

%% Waits for requests. Between two requests the connection may be idle for a while; a request has a deadline that no further
%% byte extends (S18).
loop(<<>>, #state{socket = Socket, stopping = true}) ->
    connection:finish(Socket, done);
loop(Buffer, State = #state{socket = Socket}) ->
    case connection:next(Socket, until(State)) of
        {bytes, Bytes} -> answer_requests(<<Buffer/binary, Bytes/binary>>, [], 0, State);
        finished when Buffer =:= <<>> -> connection:finish(Socket, done);
        finished -> refuse(truncated, State);
        reset -> exit({shutdown, reset});
        stop when Buffer =:= <<>> -> connection:close(Socket, stopped);
        stop -> loop(Buffer, State#state{stopping = true});
        timeout when Buffer =:= <<>> -> connection:close(Socket, idle);
        timeout -> connection:close(Socket, deadline)
    end.

until(#state{begun = none, config = #{idle_timeout := Idle}}) -> connection:now_us() + Idle;
until(#state{begun = Begun, config = #{deadline := Deadline}}) -> Begun + Deadline.

%% Answers the complete requests of one read; in one-shot only the first, and none after one that is refused. At most 64
%% replies are sent together (S5). That is no turn as in S24: the scheduler suspends a process after some 4,000 function calls,
%% wherever it is.
answer_requests(Buffer, Replies, ?TOGETHER_MAX, State) ->
    deliver(Replies, ?TOGETHER_MAX, State),
    answer_requests(Buffer, [], 0, State);
answer_requests(Buffer, Replies, Count, State = #state{config = Config}) ->
    #{frame_bytes_max := Max, keep_alive := KeepAlive} = Config,
    case netstring:decode(Buffer, Max) of
        {ok, Request, Rest} ->
            case answer(Request, Max, State) of
                {ok, Reply} when KeepAlive ->
                    answer_requests(Rest, [Replies | netstring:encode(Reply)], Count + 1, State#state{begun = none});
                {ok, Reply} ->
                    deliver([Replies | netstring:encode(Reply)], Count + 1, State),
                    connection:finish(State#state.socket, done);
                {refused, Why} ->
                    deliver(Replies, Count, State),
                    refuse(Why, State);
                {crashed, Reason} ->
                    deliver(Replies, Count, State),
                    crash(Reason, State)
            end;
        more ->
            deliver(Replies, Count, State),
            loop(Buffer, begin_request(Buffer, State));
        {error, Why} ->
            ledger:add(requests, 1),
            deliver(Replies, Count, State),
            refuse(Why, State)
    end.

begin_request(<<>>, State) -> State#state{begun = none};
begin_request(_, State = #state{begun = none}) -> State#state{begun = connection:now_us()};
begin_request(_, State) -> State.

%% ANCHOR: answer
%% An Erlang program would let this process crash. But the replies before the crash are owed (S20), so it ends a little later.
answer(Request, Max, #state{config = Config = #{callback := Module}}) ->
    ledger:add(requests, 1),
    try Module:answer(Request, Config) of
        {ok, Reply} -> case iolist_size(Reply) =< Max of
            true -> {ok, Reply};
            false -> {refused, reply_too_long}
        end;
        Refused -> Refused
    catch
        _:Reason -> {crashed, Reason}
    end.
%% ANCHOR_END: answer

deliver(_Replies, 0, _State) -> ok;
deliver(Replies, Count, #state{socket = Socket}) ->
    case connection:send(Socket, Replies) of
        ok -> ledger:add(answered, Count);
        {error, Why} ->
            ledger:add(failed, Count),
            exit({shutdown, Why})
    end.

%% Closes without a reply (S4).
refuse(Why, #state{socket = Socket}) ->
    Why =:= truncated andalso ledger:add(requests, 1),
    ledger:refused(Why),
    logger:warning("refused a request of ~s: ~s", [connection:peer(Socket), reason(Why)]),
    connection:finish(Socket, refused).

crash(Reason, #state{socket = Socket}) ->
    ledger:add(failed, 1),
    logger:error("a request of ~s crashed: ~0p", [connection:peer(Socket), Reason]),
    connection:finish(Socket, panic).

reason(no_dot) -> "it has no dot";
reason(unknown_transform) -> "there is no such transform";
reason(not_utf8) -> "the poem is not UTF-8";
reason(transform_failed) -> "the transform failed: GibberishError: this transform always fails";
reason(reply_too_long) -> "the reply is longer than a frame may be";
reason(framing) -> "not a netstring, or longer than a frame may be";
reason(truncated) -> "the client finished sending in the middle of it";
reason(unknown_poem) -> "there is no such poem";
reason(bad_poem_name) -> "not the name of a poem".
