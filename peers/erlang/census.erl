%% Knows which connections are open: bounds their number (S16) and counts their ends by their exit reasons (S21, S23). In actors
%% the supervisor of the connections does this, actors/src/listener/connections.rs.
-module(census).
-behaviour(gen_server).
-export([start_link/1, wait_for_room/0, enter/1, count/0, stopping/0, wait_for_the_last/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% `waiting` is the acceptor, or who waits for the last connection to end; `finished` and `cut` are counted during a stop.
-record(state, {max, open = 0, waiting = none, stopping = false, finished = 0, cut = 0}).

start_link(Max) -> gen_server:start_link({local, ?MODULE}, ?MODULE, Max, []).

%% Returns when another connection may be accepted.
wait_for_room() -> gen_server:call(?MODULE, wait_for_room, infinity).

enter(Connection) -> gen_server:call(?MODULE, {enter, Connection}, infinity).

count() -> gen_server:call(?MODULE, count, infinity).

%% From now on, ends are counted as finished or cut.
stopping() -> gen_server:call(?MODULE, stopping, infinity).

%% Returns how many connections have finished since the stop began, and how many were cut, when all have ended.
wait_for_the_last() -> gen_server:call(?MODULE, wait_for_the_last, infinity).

init(Max) -> {ok, #state{max = Max}}.

%% A call need not be answered at once: its caller waits until `gen_server:reply`.
handle_call(wait_for_room, _From, State = #state{open = Open, max = Max}) when Open < Max -> {reply, ok, State};
handle_call(wait_for_the_last, _From, State = #state{open = 0}) -> {reply, ended(State), State};
handle_call(Wait, From, State) when Wait =:= wait_for_room; Wait =:= wait_for_the_last ->
    {noreply, State#state{waiting = {Wait, From}}};
handle_call({enter, Connection}, _From, State = #state{open = Open}) ->
    monitor(process, Connection),
    {reply, ok, State#state{open = Open + 1}};
handle_call(count, _From, State) -> {reply, State#state.open, State};
handle_call(stopping, _From, State) -> {reply, ok, State#state{stopping = true}}.

handle_cast(_, State) -> {noreply, State}.

%% A monitored connection has ended. Its exit reason says how.
handle_info({'DOWN', _Monitor, process, _Connection, Reason}, State = #state{open = Open}) ->
    ledger:closed(why(Reason)),
    {noreply, let_go(tally(Reason, State#state{open = Open - 1}))}.

why(normal) -> done;
why(shutdown) -> done;
why(killed) -> cut;
why({shutdown, Why}) -> Why;
why(_Crash) -> panic.

tally(_, State = #state{stopping = false}) -> State;
tally(shutdown, State) -> State; % Was idle.
tally(killed, State = #state{cut = Cut}) -> State#state{cut = Cut + 1};
tally(_, State = #state{finished = Finished}) -> State#state{finished = Finished + 1}.

let_go(State = #state{waiting = {wait_for_room, From}}) ->
    gen_server:reply(From, ok),
    State#state{waiting = none};
let_go(State = #state{waiting = {wait_for_the_last, From}, open = 0}) ->
    gen_server:reply(From, ended(State)),
    State#state{waiting = none};
let_go(State) -> State.

ended(#state{finished = Finished, cut = Cut}) -> {Finished, Cut}.
