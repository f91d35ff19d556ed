%% The command: starts what the command line asks for, and ends with a status. Beside cli/src/serve.rs and cli/src/fetch.rs.
-module(quatrain_erlang).
-export([main/0]).

-define(PENDING_MS, 20).

main() ->
    %% What is logged goes to stderr as one line, at most ten a second; the rest is dropped (S22).
    ok = logger:remove_handler(default),
    ok = logger:add_handler(default, logger_std_h, #{
        config => #{type => standard_error, burst_limit_enable => true, burst_limit_max_count => 10,
                    burst_limit_window_time => 1_000, sync_mode_qlen => 200, drop_mode_qlen => 200},
        formatter => {logger_formatter, #{template => ["quatrain-erlang: ", msg, "\n"], single_line => true}}
    }),
    [ok = io:setopts(Device, [{encoding, unicode}]) || Device <- [standard_io, standard_error]],
    Status = case command_line:parse(init:get_plain_arguments()) of
        {ok, {version, _, _}} ->
            io:format("quatrain-erlang with Erlang/OTP ~s~n", [erlang:system_info(otp_release)]),
            0;
        {ok, {fetch, Addresses, Options}} -> fetch(Addresses, Options);
        {ok, {Role, Paths, Options}} -> serve(Role, Paths, Options);
        {error, Why} -> cannot("~ts", [Why])
    end,
    halt(Status).

cannot(Format, Arguments) ->
    io:format(standard_error, "quatrain-erlang: " ++ Format ++ "~n", Arguments),
    2.

%% Serving.

serve(Role, Paths, Options = #{threads := Threads}) ->
    %% The schedulers of the runtime are threads; by default there is one for each core.
    Threads =:= all orelse erlang:system_flag(schedulers_online, min(Threads, erlang:system_info(schedulers))),
    case what(Role, Paths, Options) of
        {ok, Name, Service} -> listen(Name, maps:merge(Options, Service));
        {error, Why} -> cannot("~ts", [Why])
    end.

%% Returns what is served, for the `Serving` line and for the connections.
what(poem, [File], #{fast := Fast, num_bytes := NumBytes, delay := DelayUs}) ->
    Pace = case Fast of true -> fast; false -> {slow, NumBytes, DelayUs} end,
    case file:read_file(File) of
        {ok, Poem} ->
            case unicode:characters_to_binary(Poem) of
                Poem -> {ok, File, #{protocol => poem_server, callback => none, poem => Poem, pace => Pace}};
                _ -> {error, [File, " is not UTF-8; save it as UTF-8"]}
            end;
        {error, Reason} ->
            {error, ["cannot read ", File, ": ", file:format_error(Reason), "; give the path of a text file"]}
    end;
what(transform, [], _) -> {ok, "transforms", #{protocol => request_server, callback => transform_server}};
what(library, [Directory], _) ->
    case file:list_dir(Directory) of
        {ok, _} ->
            Service = #{protocol => request_server, callback => library_server, directory => Directory},
            {ok, ["library ", Directory], Service};
        {error, Reason} ->
            {error, ["cannot read the library ", Directory, ": ", file:format_error(Reason),
                     "; give the path of a directory of poems"]}
    end.

listen(Name, Config = #{iface := Interface, port := Port}) ->
    case interface(Interface) of
        {ok, Address} ->
            case server:listen(Address, Config) of
                {ok, Listener} -> run(Name, Listener, Config);
                {error, Reason} ->
                    cannot("cannot listen on ~s: ~s; choose another --iface or --port",
                           [address:format({Address, Port}), inet:format_error(Reason)])
            end;
        {error, _} -> cannot("cannot listen on ~ts: there is no such address; choose another --iface", [Interface])
    end.

interface(Text) ->
    case inet:parse_strict_address(Text) of
        {ok, Address} -> {ok, Address};
        {error, _} -> inet:getaddr(Text, inet)
    end.

run(Name, Listener, Config = #{stats := Stats}) ->
    process_flag(trap_exit, true),
    ok = signals:install(),
    ok = ledger:new(),
    {ok, _} = server:start_link(Listener, Config),
    {ok, Address} = inet:sockname(Listener),
    io:format("Serving ~ts on ~s with erlang~n", [Name, address:format(Address)]),
    obey(Listener, Stats).

%% Does what signals ask for, until one asks for a stop.
obey(Listener, Stats) ->
    receive
        {signal, sigterm} -> stop(Listener, Stats);
        {signal, sigusr1} ->
            whereis(library_server) =:= undefined orelse reload_before_counting(),
            write_counts(Stats, some),
            obey(Listener, Stats);
        {signal, sighup} ->
            whereis(library_server) =:= undefined orelse library_server:reload(),
            obey(Listener, Stats);
        {'EXIT', _Tree, _Reason} -> cannot("the server has crashed too often", []) - 1
    end.

%% On a busy machine two signals may be pending together, and the kernel then has the later one handled first. The other one
%% follows at once, and nothing announces that none does.
reload_before_counting() ->
    receive
        {signal, sighup} -> library_server:reload()
    after ?PENDING_MS -> ok
    end.

%% Stops in another process, so that a second signal is received meanwhile.
stop(Listener, Stats) ->
    {Stopping, Monitor} = spawn_monitor(fun() -> exit({stopped, server:stop(Listener)}) end),
    receive
        {'DOWN', Monitor, process, Stopping, {stopped, {Finished, Cut}}} ->
            write_counts(Stats, none_left),
            io:format(standard_error, "quatrain-erlang: stopped: ~b finished, ~b cut~n", [Finished, Cut]),
            min(Cut, 1);
        {signal, sigterm} ->
            io:format(standard_error, "quatrain-erlang: ended at once by a second signal~n", []),
            write_counts(Stats, some),
            halt(min(census:count(), 1), [{flush, false}])
    end.

write_counts(stderr, Open) -> io:format(standard_error, "~s~n", [ledger:json(Open)]);
write_counts(File, Open) ->
    case file:write_file(File, [ledger:json(Open), $\n], [append]) of
        ok -> ok;
        {error, Reason} -> logger:warning("cannot write the counts to ~ts: ~s", [File, file:format_error(Reason)])
    end.

%% Fetching.

fetch(Addresses, Options = #{poem := Names, transform := Transform}) ->
    Wanted = [{Address, Name} || Address <- Addresses, Name <- case Names of [] -> [none]; _ -> Names end],
    Tasks = [{Number, Address, Name} || {Number, {Address, Name}} <- lists:enumerate(Wanted)],
    Began = erlang:monotonic_time(millisecond),
    Outcomes = poem_client:fetch_all(Tasks, Options#{transform := name(Transform)}),
    Poems = [Poem || Outcome <- Outcomes, Poem <- poem(Outcome)],
    [io:put_chars(Poem) || Poem <- Poems],
    Seconds = (erlang:monotonic_time(millisecond) - Began) / 1_000,
    poem_client:tell("Got ~b of ~b poems in ~.1f s", [length(Poems), length(Tasks), Seconds]),
    min(1, length(Tasks) - length(Poems)).

name(none) -> none;
name(Text) -> unicode:characters_to_binary(Text).

poem({poem, Poem}) -> [Poem];
poem({original, Poem, _Why}) -> [Poem];
poem({failed, _Why}) -> [].
