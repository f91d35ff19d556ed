%% The poem server (S1). Beside actors/src/poem_server.rs.
-module(poem_server).
-behaviour(connection).
-export([serve/2]).

%% A binary never changes and is shared by all processes, so no connection has a copy of the poem.
serve(Socket, #{poem := Poem, pace := Pace}) ->
    ledger:add(requests, 1),
    case Pace of
        fast -> serve_poem(Socket, Poem, byte_size(Poem), 0, connection:now_us());
        {slow, NumBytes, DelayUs} -> serve_poem(Socket, Poem, NumBytes, DelayUs, connection:now_us())
    end.

%% ANCHOR: serve_poem
%% Sends a chunk whenever one is due, and FIN after the last. The due times are counted from the accept, so that lateness does
%% not accumulate. There is no case for the supervisor's request to stop: a poem in flight is finished (S21).
serve_poem(Socket, <<>>, _NumBytes, _DelayUs, Due) ->
    ledger:add(answered, 1),
    wait(Socket, Due),
    connection:finish(Socket, done);
serve_poem(Socket, Poem, NumBytes, DelayUs, Due) ->
    Size = min(NumBytes, byte_size(Poem)),
    <<Chunk:Size/binary, Rest/binary>> = Poem,
    case wait(Socket, Due) of
        ok -> case connection:send(Socket, Chunk) of
            ok -> serve_poem(Socket, Rest, NumBytes, DelayUs, Due + DelayUs);
            {error, Why} -> failed(Why)
        end;
        reset -> failed(reset)
    end.
%% ANCHOR_END: serve_poem

%% Waits until a chunk is due. What the client sends is discarded, and its FIN does not end the poem.
wait(Socket, Due) ->
    case connection:next(Socket, Due) of
        timeout -> ok;
        reset -> reset;
        finished -> connection:sleep(Due);
        _ -> wait(Socket, Due)
    end.

%% The poem is still owed, so the exit resets the client: see connection:finish.
failed(Why) ->
    ledger:add(failed, 1),
    exit({shutdown, Why}).
