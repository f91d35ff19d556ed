%% The poem client (S10-S15): a process, a poet, for each poem. Beside actors/src/poem_client.rs.
-module(poem_client).
-export([fetch_all/2, tell/2, connect/2, receive_some/2, fail/1]).

%% Fetches all poems at once. Returns, in the order of the tasks, `{poem, Text}`, `{original, Text, Why}` if the transform failed,
%% or `{failed, Why}`.
fetch_all(Tasks, Options = #{deadline := Deadline}) ->
    Poets = maps:from_list([{get_poetry(Task, Options), Task} || Task <- Tasks]),
    Until = case Deadline of infinity -> infinity; _ -> now_ms() + Deadline div 1_000 end,
    Outcomes = collect(Poets, Until, #{}),
    [map_get(Number, Outcomes) || {Number, _, _} <- Tasks].

%% ANCHOR: get_poetry
%% Starts a poet, and monitors it from its beginning on. Its result is the reason of its exit; a crash is one too. So there is
%% one message for each poet, whatever happens to it.
get_poetry(Task, Options) ->
    spawn_monitor(fun() -> exit(fetch(Task, Options)) end).

collect(Poets, _Until, Outcomes) when map_size(Poets) =:= 0 -> Outcomes;
collect(Poets, Until, Outcomes) ->
    receive
        {'DOWN', Monitor, process, Poet, Reason} ->
            {Task = {Number, _, _}, Left} = maps:take({Poet, Monitor}, Poets),
            Outcome = outcome(Reason),
            report(Task, Outcome),
            collect(Left, Until, Outcomes#{Number => Outcome})
    after left_ms(Until) ->
        %% Nothing that a poet holds outlives it, so killing it is safe: its socket is closed, and 'DOWN' still comes.
        [exit(Poet, kill) || {Poet, _} <- maps:keys(Poets)],
        collect(Poets, infinity, Outcomes)
    end.
%% ANCHOR_END: get_poetry

%% ANCHOR: outcome
outcome(killed) -> {failed, "timed out: the deadline is over"};
outcome({poem, Poem}) -> {poem, Poem};
outcome({original, Poem, Why}) -> {original, Poem, Why};
outcome({failed, Why}) -> {failed, Why};
outcome(Crash) -> {failed, io_lib:format("connection lost: the poet crashed: ~0p", [Crash])}.
%% ANCHOR_END: outcome

report({Number, _, _}, {poem, _}) -> tell("Task ~b finished", [Number]);
report({Number, Address, _}, {failed, Why}) ->
    tell("Task ~b failed: ~ts: ~ts", [Number, address:format(Address), Why]);
report({Number, _, _}, {original, _, Why}) ->
    tell("Task ~b finished", [Number]),
    tell("Task ~b: not transformed, the original is kept: ~ts", [Number, Why]).

%% Writes a line about the progress. Here and in `fetch`, what cannot be written is dropped.
tell(Format, Arguments) -> io:format(standard_error, Format ++ "~n", Arguments).

%% ANCHOR: what_a_poet_does
%% What a poet does. It waits in each call, since it has nothing else to do, and whatever goes wrong ends it by `fail`, however
%% deep it is.
fetch(Task = {_, Address, Name}, Options) ->
    Socket = connect(Address, Options),
    Poem = case Name of
        none -> receive_all(Socket, Task, Options, <<>>);
        _ -> transform_client:ask(Socket, unicode:characters_to_binary(Name), Options)
    end,
    ok = gen_tcp:close(Socket),
    unicode:characters_to_binary(Poem) =:= Poem orelse fail("not UTF-8"),
    Name =:= none orelse got(Task, Poem),
    transform(Poem, Options).
%% ANCHOR_END: what_a_poet_does

%% ANCHOR: fallback
%% Has the poem transformed, or keeps the original (S13).
transform(Poem, #{transform := none}) -> {poem, Poem};
transform(Poem, Options = #{transform := Name, via := Via}) ->
    try transform_client:transform(Name, Poem, Via, Options) of
        Transformed -> {poem, Transformed}
    catch
        exit:{failed, Why} -> {original, Poem, [address:format(Via), ": ", Why]}
    end.
%% ANCHOR_END: fallback

%% ANCHOR: connect
connect({Host, Port}, #{connect_timeout := TimeoutUs, idle_timeout := IdleUs}) ->
    Family = case is_tuple(Host) andalso tuple_size(Host) =:= 8 of true -> [inet6]; false -> [] end,
    Options = [binary, {active, false}, {nodelay, true}, {buffer, 65_536}, {show_econnreset, true},
               {send_timeout, IdleUs div 1_000} | Family],
    case gen_tcp:connect(Host, Port, Options, TimeoutUs div 1_000) of
        {ok, Socket} ->
            %% The kernel may have picked the fetched port as the source.
            inet:sockname(Socket) =/= inet:peername(Socket) orelse fail("connection failed: connected to itself"),
            Socket;
        {error, Reason} -> fail(["connection failed: ", words(Reason)])
    end.
%% ANCHOR_END: connect

%% ANCHOR: receive_all
%% Reads to the end of the poem (S1).
receive_all(Socket, Task, Options = #{poem_bytes_max := Max}, Poem) ->
    case receive_some(Socket, Options) of
        closed -> Poem;
        Bytes when byte_size(Poem) + byte_size(Bytes) > Max -> fail("too long");
        Bytes ->
            got(Task, Bytes),
            receive_all(Socket, Task, Options, <<Poem/binary, Bytes/binary>>)
    end.
%% ANCHOR_END: receive_all

receive_some(Socket, #{idle_timeout := IdleUs}) ->
    case gen_tcp:recv(Socket, 0, IdleUs div 1_000) of
        {ok, Bytes} -> Bytes;
        {error, closed} -> closed;
        {error, timeout} -> fail("timed out: the server sends nothing");
        {error, Reason} -> fail(["connection lost: ", words(Reason)])
    end.

%% ANCHOR: fail
-spec fail(iodata()) -> no_return().
fail(Why) -> exit({failed, Why}).
%% ANCHOR_END: fail

got({Number, Address, Name}, Bytes) ->
    What = case Name of none -> "poetry"; _ -> Name end,
    tell("Task ~b: got ~b bytes of ~ts from ~ts", [Number, byte_size(Bytes), What, address:format(Address)]).

words(timeout) -> "timed out";
words(nxdomain) -> "there is no such host";
words(Reason) -> inet:format_error(Reason).

now_ms() -> erlang:monotonic_time(millisecond).

left_ms(infinity) -> infinity;
left_ms(Until) -> max(0, Until - now_ms()).
