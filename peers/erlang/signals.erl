%% Turns signals into messages. Beside cli/src/signals.rs.
-module(signals).
-behaviour(gen_event).
-export([install/0, init/1, handle_event/2, handle_call/2]).

%% ANCHOR: install
%% From now on the calling process receives `{signal, Signal}`. The runtime's own handler stops at SIGTERM, without a grace.
install() ->
    [ok = os:set_signal(Signal, handle) || Signal <- [sigterm, sighup, sigusr1]],
    ok = gen_event:swap_handler(erl_signal_server, {erl_signal_handler, []}, {?MODULE, self()}).

init({Receiver, _OfTheFormerHandler}) -> {ok, Receiver}.

handle_event(Signal, Receiver) ->
    Receiver ! {signal, Signal},
    {ok, Receiver}.
%% ANCHOR_END: install

handle_call(_, Receiver) -> {ok, ok, Receiver}.
