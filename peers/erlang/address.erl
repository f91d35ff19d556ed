%% Addresses as users write them: [host:]port. Beside poetry/src/peer.rs.
-module(address).
-export([parse/1, format/1]).

-define(IP6, "^\\[([^]]*)\\]:([0-9]+)$").
-define(PLAIN, "^(?:([^:]*):)?([0-9]+)$").

%% Returns the host as `gen_tcp:connect` takes it, and the port.
-spec parse(string()) -> {ok, {string() | inet:ip_address(), inet:port_number()}} | error.
parse(Text) ->
    Match = fun(Pattern) -> re:run(Text, Pattern, [{capture, all_but_first, list}, unicode]) end,
    case {Match(?IP6), Match(?PLAIN)} of
        {{match, [Host, Port]}, _} -> parse(Host, list_to_integer(Port));
        {_, {match, ["", Port]}} -> parse("127.0.0.1", list_to_integer(Port));
        {_, {match, [Host, Port]}} -> parse(Host, list_to_integer(Port));
        _ -> error
    end.

parse(Host, Port) when Port >= 1, Port =< 65_535 ->
    case inet:parse_strict_address(Host) of
        {ok, Address} -> {ok, {Address, Port}};
        {error, _} -> {ok, {Host, Port}}
    end;
parse(_, _) -> error.

format({Address, Port}) when tuple_size(Address) =:= 8 -> io_lib:format("[~s]:~b", [inet:ntoa(Address), Port]);
format({Address, Port}) when is_tuple(Address) -> io_lib:format("~s:~b", [inet:ntoa(Address), Port]);
format({Host, Port}) -> io_lib:format("~ts:~b", [Host, Port]).
