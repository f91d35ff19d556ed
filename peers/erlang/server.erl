%% The supervision tree of a server. Beside actors/src/listener/server.rs and actors/src/supervisor.rs.
%%
%%     server (rest_for_one)
%%     +-- census        how many connections are open, and how they ended
%%     +-- library_server  only of a library: the poems
%%     +-- connections (simple_one_for_one)
%%     |   +-- a process for each connection
%%     +-- acceptor
-module(server).
-behaviour(supervisor).
-export([listen/2, start_link/2, stop/1, init/1]).

-define(BACKLOG, 4_096).

%% Accepted sockets inherit these options.
listen(Address, #{write_timeout := WriteTimeoutUs, port := Port}) ->
    gen_tcp:listen(Port, [
        binary,
        {ip, Address}, case tuple_size(Address) of 4 -> inet; 8 -> inet6 end,
        {reuseaddr, true}, {backlog, ?BACKLOG}, {nodelay, true}, {buffer, 65_536},
        {active, false},                    % No byte is read unasked: see connection:next.
        {exit_on_close, false},             % A client's FIN leaves its socket open for the reply (S6).
        {show_econnreset, true},            % A reset is not a FIN.
        {linger, {true, 0}},                % What is not finished in order is reset: see connection:owe_nothing.
        {high_watermark, 1}, {low_watermark, 0}, % A send returns when the kernel has every byte (S5).
        {send_timeout, max(1, WriteTimeoutUs div 1_000)}
    ]).

start_link(Listener, Config) -> supervisor:start_link({local, ?MODULE}, ?MODULE, {server, Listener, Config}).

%% A supervisor's `shutdown` is S21: its children are asked to stop and have the grace to do so; then they are killed.
%% Returns how many connections finished, and how many were cut.
stop(Listener) ->
    census:stopping(),
    ok = supervisor:terminate_child(?MODULE, acceptor),
    ok = gen_tcp:close(Listener),
    ok = supervisor:terminate_child(?MODULE, connections),
    census:wait_for_the_last().

%% ANCHOR: tree
%% If a child crashes, it and those behind it are started again.
init({server, Listener, Config = #{connections_max := Max, callback := Module}}) ->
    Library = [child(library_server, [Config], 5_000) || Module =:= library_server],
    Connections = (child(connections, [], infinity))#{
        start => {supervisor, start_link, [{local, connections}, ?MODULE, {connections, Config}]},
        type => supervisor
    },
    Children = [child(census, [Max], 5_000)] ++ Library ++ [Connections, child(acceptor, [Listener], brutal_kill)],
    {ok, {#{strategy => rest_for_one, intensity => 1, period => 5}, Children}};
%% A connection is temporary: its client will not come back for a restarted one.
init({connections, Config = #{protocol := Protocol, grace := GraceUs}}) ->
    Child = #{
        id => connection,
        start => {connection, start_link, [Protocol, Config]},
        restart => temporary,
        shutdown => GraceUs div 1_000
    },
    {ok, {#{strategy => simple_one_for_one}, [Child]}}.
%% ANCHOR_END: tree

child(Module, Arguments, Shutdown) ->
    #{id => Module, start => {Module, start_link, Arguments}, shutdown => Shutdown}.
