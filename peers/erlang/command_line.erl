%% The words of the command line: a part of those of `quatrain`. Beside cli/src/args/.
-module(command_line).
-export([parse/1]).

-define(SERVER, #{
    iface => {"127.0.0.1", text},
    port => {0, {count, 0, 65_535}},
    threads => {all, {count, 1, 256}},
    connections_max => {10_000, {count, 1, 1_048_576}},
    write_timeout => {30_000_000, some_time},
    grace => {10_000_000, time},
    stats => {stderr, text}
}).
-define(REQUESTS, #{
    keep_alive => {false, flag},
    idle_timeout => {60_000_000, some_time},
    deadline => {30_000_000, some_time},
    frame_bytes_max => {99_999, {count, 1, 1_073_741_824}}
}).
-define(POEM, #{
    fast => {false, flag},
    num_bytes => {10, {count, 1, 1_073_741_824}},
    delay => {700_000, time}
}).
-define(FETCH, #{
    poem => {[], list},
    transform => {none, text},
    via => {none, address},
    connect_timeout => {10_000_000, some_time},
    idle_timeout => {60_000_000, some_time},
    deadline => {infinity, some_time},
    poem_bytes_max => {67_108_864, {count, 1, 1_073_741_824}},
    frame_bytes_max => {99_999, {count, 1, 1_073_741_824}}
}).

%% Returns what to do and its options, with defaults for those that are not given; or what is wrong, in words. Times are in
%% microseconds.
-spec parse([string()]) -> {ok, {atom(), [string()], map()}} | {error, iodata()}.
parse(Words) ->
    try {ok, command(Words)} catch throw:{wrong, Why} -> {error, Why} end.

command(["--version"]) -> {version, [], #{}};
command(["serve", "poem" | Words]) -> serve(poem, "FILE", Words, ?POEM);
%% `--offload` changes nothing: see transform_server:burn.
command(["serve", "transform" | Words]) ->
    serve(transform, none, Words, maps:merge(?REQUESTS, #{lab => {false, flag}, offload => {false, flag}}));
command(["serve", "library" | Words]) -> serve(library, "DIR", Words, ?REQUESTS);
command(["fetch" | Words]) ->
    {Addresses, Options} = options(Words, ?FETCH),
    Addresses =/= [] orelse wrong("give the address of a server, [host:]port", []),
    #{transform := Transform, via := Via} = Options,
    (Transform =:= none) =:= (Via =:= none) orelse wrong("--transform and --via belong together", []),
    {fetch, [value(address, Address) || Address <- Addresses], Options};
command(_) -> wrong("say: serve poem FILE, serve transform, serve library DIR, or fetch [HOST:]PORT...", []).

serve(Role, What, Words, Own) ->
    case {options(Words, maps:merge(?SERVER, Own)), What} of
        {{[], Options}, none} -> {Role, [], Options};
        {{[Path], Options}, What} when What =/= none -> {Role, [Path], Options};
        {{[], _}, _} -> wrong("give a ~s", [What]);
        {{[Word | _], _}, _} -> wrong("unexpected argument '~ts'", [Word])
    end.

%% Returns the words that belong to no option, and the options.
options(Words, Known) ->
    options(Words, Known, [], maps:map(fun(_, {Default, _}) -> Default end, Known)).

options([], _Known, Plain, Options) -> {lists:reverse(Plain), Options};
options(["--" ++ _ = Word | Words], Known, Plain, Options) ->
    case [{Name, Type} || {Name, {_, Type}} <- maps:to_list(Known), option(Name) =:= Word] of
        [{Name, flag}] -> options(Words, Known, Plain, Options#{Name => true});
        [_] when Words =:= [] -> wrong("~ts needs a value", [Word]);
        [{Name, list}] -> options(tl(Words), Known, Plain, maps:update_with(Name, fun(L) -> L ++ [hd(Words)] end, Options));
        [{Name, Type}] -> options(tl(Words), Known, Plain, Options#{Name => value(Type, hd(Words), Word)});
        [] -> wrong("unexpected argument '~ts'", [Word])
    end;
options([Word | Words], Known, Plain, Options) -> options(Words, Known, [Word | Plain], Options).

option(Name) -> "--" ++ [case Character of $_ -> $-; _ -> Character end || Character <- atom_to_list(Name)].

value(Type, Text) -> value(Type, Text, "the address").

value(text, Text, _) -> Text;
value(address, Text, Option) ->
    case address:parse(Text) of
        {ok, Address} -> Address;
        error -> wrong("invalid value '~ts' for ~ts: write [host:]port", [Text, Option])
    end;
value({count, Min, Max}, Text, Option) ->
    case string:to_integer(Text) of
        {Count, []} when Count >= Min, Count =< Max -> Count;
        _ -> wrong("invalid value '~ts' for ~ts: write a number from ~b to ~b", [Text, Option, Min, Max])
    end;
value(Type, Text, Option) ->
    case time(Text) of
        Us when is_integer(Us), Us > 0; Us =:= 0, Type =:= time -> Us;
        _ -> wrong("invalid value '~ts' for ~ts: write a time such as 0.7, 700ms, 2s or 1m", [Text, Option])
    end.

time(Text) ->
    case re:run(Text, "^([0-9]+(?:\\.[0-9]+)?)(ms|s|m|)$", [{capture, all_but_first, list}]) of
        {match, [Number, Unit]} -> round(number(Number) * unit(Unit));
        nomatch -> error
    end.

number(Text) ->
    case string:to_float(Text) of
        {Float, []} -> Float;
        _ -> list_to_integer(Text)
    end.

unit("ms") -> 1_000;
unit("m") -> 60_000_000;
unit(_) -> 1_000_000.

-spec wrong(string(), [term()]) -> no_return().
wrong(Format, Arguments) -> throw({wrong, io_lib:format(Format, Arguments)}).
