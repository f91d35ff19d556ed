%% The transform client (S13), and the client's side of netstrings. Beside actors/src/transform_client.rs.
-module(transform_client).
-export([transform/4, ask/3]).

%% Returns the transformed poem, or fails as `poem_client:fail` says.
transform(Name, Poem, Via, Options) ->
    Socket = poem_client:connect(Via, Options),
    Transformed = ask(Socket, <<Name/binary, ".", Poem/binary>>, Options),
    ok = gen_tcp:close(Socket),
    unicode:characters_to_binary(Transformed) =:= Transformed orelse poem_client:fail("not UTF-8"),
    Transformed.

%% Sends a request, and returns the reply without waiting until the server closes.
ask(Socket, Request, Options) ->
    case gen_tcp:send(Socket, netstring:encode(Request)) of
        ok -> receive_reply(Socket, <<>>, Options);
        {error, Reason} -> poem_client:fail(["connection lost: ", inet:format_error(Reason)])
    end.

receive_reply(Socket, Buffer, Options = #{frame_bytes_max := Max}) ->
    case netstring:decode(Buffer, Max) of
        {ok, Reply, _} -> Reply;
        {error, framing} -> poem_client:fail("garbled: the reply is not a netstring");
        more ->
            case poem_client:receive_some(Socket, Options) of
                closed when Buffer =:= <<>> -> poem_client:fail("refused: closed without a reply");
                closed -> poem_client:fail("cut short: closed in the middle of the reply");
                Bytes -> receive_reply(Socket, <<Buffer/binary, Bytes/binary>>, Options)
            end
    end.
