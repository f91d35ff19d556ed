%% Netstrings (S2): LENGTH ":" BYTES ",". Beside poetry/src/netstring.rs.
%%
%% The Rust decoder keeps its place between two reads. This one begins again with all bytes that have come: a header has a
%% few digits, and appending to a binary that nobody else refers to copies nothing.
-module(netstring).
-export([decode/2, encode/1]).

-type framing_error() :: {error, framing}.

%% ANCHOR: decode
%% Returns the first frame and the bytes behind it, or `more` if it has not come whole. An error is found at the first byte
%% that cannot belong to a netstring.
-spec decode(binary(), pos_integer()) -> {ok, binary(), binary()} | more | framing_error().
decode(<<>>, _Max) -> more;
decode(<<"0">>, _Max) -> more;
decode(<<"0:", Rest/binary>>, _Max) -> payload(0, Rest);
decode(<<Digit, Rest/binary>>, Max) when Digit >= $1, Digit =< $9 -> digits(Rest, Digit - $0, Max);
decode(_Bytes, _Max) -> {error, framing}.

digits(_Bytes, Length, Max) when Length > Max -> {error, framing};
digits(<<Digit, Rest/binary>>, Length, Max) when Digit >= $0, Digit =< $9 ->
    digits(Rest, Length * 10 + Digit - $0, Max);
digits(<<$:, Rest/binary>>, Length, _Max) -> payload(Length, Rest);
digits(<<>>, _Length, _Max) -> more;
digits(_Bytes, _Length, _Max) -> {error, framing}.

%% A pattern says it: Length bytes, a comma, and the rest. The frame is a part of the read buffer, not a copy.
payload(Length, Bytes) ->
    case Bytes of
        <<Payload:Length/binary, ",", Rest/binary>> -> {ok, Payload, Rest};
        <<_:Length/binary, _, _/binary>> -> {error, framing};
        _ -> more
    end.
%% ANCHOR_END: decode

%% Returns a list of the parts: `gen_tcp:send` writes them with one system call, so the payload is not copied.
-spec encode(iodata()) -> iodata().
encode(Payload) -> [integer_to_binary(iolist_size(Payload)), $:, Payload, $,].
