%% Accepts connections, while there is room (S16, S17). Beside actors/src/listener/acceptor.rs.
-module(acceptor).
-export([start_link/1, init/1]).

-define(RETRY_MS, 100).

start_link(Listener) -> {ok, proc_lib:spawn_link(?MODULE, init, [Listener])}.

init(Listener) -> loop(Listener, true).

%% `HadDescriptors` is false while the system has no free descriptor, so that an outage is reported once.
loop(Listener, HadDescriptors) ->
    ok = census:wait_for_room(),
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            ledger:add(accepted, 1),
            {ok, Connection} = supervisor:start_child(connections, []),
            census:enter(Connection),
            connection:hand_over(Connection, Socket),
            loop(Listener, true);
        {error, closed} -> exit(normal);
        {error, econnaborted} -> loop(Listener, HadDescriptors);
        {error, Reason} ->
            HadDescriptors andalso logger:warning("cannot accept: ~s; trying again", [inet:format_error(Reason)]),
            timer:sleep(?RETRY_MS),
            loop(Listener, false)
    end.
