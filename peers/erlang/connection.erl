%% What the connections of all servers do. Beside actors/src/port.rs and actors/src/linger.rs.
%%
%% A connection is a process, and its program is written downward: it waits in a `receive`. In actix a handler returns and
%% is called again, so the Rust program keeps its place in an enum.
-module(connection).
-export([start_link/2, hand_over/2, init/2, next/2, send/2, finish/2, close/2]).
-export([now_us/0, sleep/1, peer/1]).

-define(LINGER_US, 2_000_000).
-define(LINGER_BYTES_MAX, 1_000_000).
-define(PIECE_BYTES, 131_072).

%% The callback of a kind of server: serves one connection and does not return.
-callback serve(gen_tcp:socket(), Config :: map()) -> no_return().

%% A child of the supervisor `connections`.
start_link(Module, Config) ->
    {ok, proc_lib:spawn_link(?MODULE, init, [Module, Config])}.

%% Makes a connection the owner of its socket, which is closed when the owner ends, whatever the reason.
hand_over(Connection, Socket) ->
    case gen_tcp:controlling_process(Socket, Connection) of
        ok -> Connection ! {socket, Socket};
        {error, _} -> exit(Connection, {shutdown, reset}) % The client has gone already.
    end.

init(Module, Config) ->
    %% The supervisor's request to stop becomes a message, so that requests in flight can be finished (S21).
    process_flag(trap_exit, true),
    receive
        {socket, Socket} -> Module:serve(Socket, Config);
        {'EXIT', _From, Reason} -> exit(Reason)
    end.

%% Waits for the next event, at the longest until the time `Until`. Bytes are read only here: while a connection computes or
%% sends, its client's bytes wait in the kernel (S5).
next(Socket, Until) ->
    _ = inet:setopts(Socket, [{active, once}]),
    receive
        {tcp, Socket, Bytes} ->
            ledger:add(bytes_in, byte_size(Bytes)),
            {bytes, Bytes};
        {tcp_closed, Socket} -> finished;
        {tcp_error, Socket, _} -> reset;
        {'EXIT', _Supervisor, shutdown} -> stop;
        {'EXIT', From, Reason} when is_pid(From) -> exit(Reason)
    after wait_ms(Until) -> timeout
    end.

%% Returns when the kernel has every byte: see the socket's options in server.erl. The client has the write timeout for each
%% piece (S18). Nothing is copied: the pieces are parts of the same binaries.
send(Socket, Data) ->
    case iolist_size(Data) =< ?PIECE_BYTES of
        true -> send_pieces(Socket, [Data]);
        false -> send_pieces(Socket, erlang:iolist_to_iovec(Data))
    end.

send_pieces(_Socket, []) -> ok;
send_pieces(Socket, [<<Piece:?PIECE_BYTES/binary, Rest/binary>> | More]) when Rest =/= <<>> ->
    send_pieces(Socket, [Piece, Rest | More]);
send_pieces(Socket, [Piece | More]) ->
    case gen_tcp:send(Socket, Piece) of
        ok ->
            ledger:add(bytes_out, iolist_size(Piece)),
            send_pieces(Socket, More);
        {error, timeout} -> {error, write};
        {error, _} -> {error, reset}
    end.

%% The lingering close (S7): FIN, then what still comes is read and discarded, so that it destroys no reply.
-spec finish(gen_tcp:socket(), Why :: atom()) -> no_return().
finish(Socket, Why) ->
    owe_nothing(Socket),
    _ = gen_tcp:shutdown(Socket, write),
    drain(Socket, now_us() + ?LINGER_US, ?LINGER_BYTES_MAX),
    close(Socket, Why).

drain(Socket, Until, Bytes) ->
    case next(Socket, Until) of
        {bytes, More} when byte_size(More) < Bytes -> drain(Socket, Until, Bytes - byte_size(More));
        stop -> drain(Socket, Until, Bytes);
        _ -> ok
    end.

%% Closes with FIN and ends. The reason is what the census counts; `{shutdown, _}` tells supervisors that it is no crash.
-spec close(gen_tcp:socket(), Why :: atom()) -> no_return().
close(Socket, Why) ->
    owe_nothing(Socket),
    _ = gen_tcp:close(Socket),
    exit(case Why of done -> normal; stopped -> shutdown; _ -> {shutdown, Why} end).

%% Accepted sockets have `{linger, {true, 0}}`: whatever ends the process, a crash or the supervisor's kill, the kernel then
%% resets the client, for which FIN would make a part of a poem look complete (S21). Here nothing is owed any more.
owe_nothing(Socket) -> _ = inet:setopts(Socket, [{linger, {false, 0}}]).

now_us() -> erlang:monotonic_time(microsecond).

sleep(Until) -> timer:sleep(wait_ms(Until)).

%% Rounded up: nothing is early.
wait_ms(Until) -> max(0, (Until - now_us() + 999) div 1_000).

peer(Socket) ->
    case inet:peername(Socket) of
        {ok, Address} -> address:format(Address);
        {error, _} -> "a client that has gone"
    end.
