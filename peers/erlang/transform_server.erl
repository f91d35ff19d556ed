%% The transform server (S3, S4): how one request is answered. Beside actors/src/transform_server.rs and
%% poetry/src/transform.rs.
-module(transform_server).
-behaviour(request_server).
-export([answer/2]).

%% A sigma behind a letter with a case, and not before one; marks and apostrophes between them are passed over.
-define(IGNORED, "['’.:·\\p{Mn}\\p{Me}\\p{Cf}\\p{Lm}\\p{Sk}]*").
-define(FINAL_SIGMA, "\\p{L&}" ?IGNORED "\\KΣ(?!" ?IGNORED "\\p{L&})").

answer(Request, #{lab := Lab}) ->
    case binary:split(Request, <<".">>) of
        [Name, Poem] -> transform(Name, Poem, Lab);
        [_] -> {refused, no_dot}
    end.

transform(Name, Poem, Lab) ->
    case find(Name, Lab) of
        none -> {refused, unknown_transform};
        Transform ->
            case unicode:characters_to_binary(Poem) of
                Poem -> Transform(Poem);
                _ -> {refused, not_utf8}
            end
    end.

find(<<"cummingsify">>, _) -> fun(Poem) -> {ok, by_line(fun string:lowercase/1, with_final_sigmas(Poem))} end;
find(<<"shout">>, _) -> fun(Poem) -> {ok, by_line(fun string:uppercase/1, Poem)} end;
find(<<"reverse">>, _) -> fun(Poem) -> {ok, reverse(Poem)} end;
find(<<"gibberish">>, _) -> fun(_) -> {refused, transform_failed} end;
find(<<"crash">>, true) -> fun(_) -> error("the crash transform was requested") end;
find(<<"burn">>, true) -> fun(Poem) -> burn(), {ok, Poem} end;
find(<<"overheat">>, true) -> fun(_) -> burn(), error("the overheat transform was requested") end;
find(_, _) -> none.

%% `string:lowercase` looks at one character at a time. But a capital sigma at the end of a word has a lower case of its own.
with_final_sigmas(Poem) ->
    case binary:match(Poem, <<"Σ"/utf8>>) of
        nomatch -> Poem;
        _ -> re:replace(Poem, ?FINAL_SIGMA, <<"ς"/utf8>>, [unicode, ucp, global, {return, binary}])
    end.

%% `string` makes a list of all characters, 16 bytes for each. So line by line it needs a quarter of the time for a long poem.
by_line(Change, Poem) -> lists:join($\n, [Change(Line) || Line <- lines(Poem)]).

%% The lines in reverse order. The newline at the end stays there.
reverse(Poem) ->
    case lists:reverse(lines(Poem)) of
        [<<>> | Lines] when Lines =/= [] -> [lists:join($\n, Lines), $\n];
        Lines -> lists:join($\n, Lines)
    end.

lines(Poem) -> binary:split(Poem, <<"\n">>, [global]).

%% ANCHOR: burn
%% Computes for 10 ms. It delays no other connection: the scheduler lets them run meanwhile (S25 without an option).
burn() -> burn_until(connection:now_us() + 10_000).

burn_until(End) ->
    case connection:now_us() < End of
        true -> burn_until(End);
        false -> ok
    end.
%% ANCHOR_END: burn
