#!/usr/bin/env escript
%%! +S 1:1 +P 1000000
%% Runs histories of processes on Erlang: one a line in, as a term; what was seen in it out, as lines of text.
%%
%% `ours.rs` runs the same histories on `actors`. The driver of a history does the acts of one instant while no process of it
%% runs, since it has a higher priority and there is one scheduler, and then waits until all processes of the history wait.
%% The processes run in the order in which they were woken, or, in steps with a seed, in one that priorities give. The
%% observer traces every process, so that ends are seen in the order in which they happen.
-mode(compile).
-export([start_worker/2, init_worker/3, start_supervisor/2, init/1]).

-record(world, {table, log, lane, seeds}).
-record(puppet, {world, name, parent, manner, monitors = [], kept = queue:new(), due = infinity, unsent = []}).

%% Histories that run side by side, so that their waits are one wait.
-define(LANES, 250).
%% The capacity of a puppet's mailbox; `ours.rs` has the same.
-define(MAILBOX, 3).

main(_) ->
    logger:set_primary_config(level, none),
    %% Modules that are loaded later make processes wait.
    Modules = [filelib:wildcard(filename:join(code:lib_dir(Library, ebin), "*.beam")) || Library <- [kernel, stdlib]],
    [code:ensure_loaded(list_to_atom(filename:basename(File, ".beam"))) || File <- lists:append(Modules)],
    io:setopts(standard_io, [binary, {encoding, latin1}]),
    main(lists:seq(1, ?LANES), 0).

%% Starts the next history in a free lane, or waits for one to end.
main([], Running) ->
    main([ended()], Running - 1);
main([Lane | Free], Running) ->
    case io:get_line(standard_io, '') of
        eof ->
            [ended() || _ <- lists:seq(1, Running)],
            ok;
        Line ->
            {ok, Tokens, _} = erl_scan:string(binary_to_list(Line)),
            {ok, {Index, Seeds, History}} = erl_parse:parse_term(Tokens),
            Main = self(),
            %% Linked, so that the program ends if nobody reads what was seen.
            spawn_link(fun() ->
                Seen = history(Lane, Seeds, History),
                io:put_chars([io_lib:format("history ~w~n", [Index]), Seen, "end\n"]),
                Main ! {ended, Lane}
            end),
            main(Free, Running + 1)
    end.

ended() ->
    receive {ended, Lane} -> Lane end.

%% One history.

history(Lane, Seeds, {Puppets, Root, Instants}) ->
    World = #world{table = ets:new(table, [public]), log = ets:new(log, [public, ordered_set]), lane = Lane, seeds = Seeds},
    ets:insert(World#world.table, [{step, 0}, {root, Root}]),
    Observer = spawn_opt(fun() -> observe(World) end, [{priority, max}]),
    process_flag(trap_exit, true),
    process_flag(priority, max),
    erlang:trace(self(), true, [procs, set_on_spawn, {tracer, Observer}]),
    lists:foldl(fun(Manner, Slot) ->
        start_puppet(World, Slot, Manner, []),
        Slot + 1
    end, 0, Puppets),
    settle(World),
    [instant(World, Instant) || Instant <- Instants],
    erlang:trace(self(), false, [all]),
    Pids = pids(World),
    [say(World, name(World, Pid), "alive") || Pid <- Pids, name(World, Pid) =/= "driver"],
    exit(Observer, kill),
    [exit(Pid, kill) || Pid <- Pids],
    Seen = [io_lib:format("~w ~s ~s~n", [Step, Who, What]) || {_, Step, Who, What} <- ets:tab2list(World#world.log)],
    ets:delete(World#world.table),
    ets:delete(World#world.log),
    Seen.

instant(World, {Wait, Acts}) ->
    next_step(World),
    receive after Wait -> ok end,
    settle(World),
    next_step(World),
    [begin act(World, Act), let_others(World, Number) end || {Number, Act} <- lists:zip(lists:seq(1, length(Acts)), Acts)],
    settle(World).

%% With seeds, every process that is free chooses its priority in this step; a supervisor ignores the message.
next_step(World) ->
    ets:update_counter(World#world.table, step, 1),
    [Pid ! shuffle || World#world.seeds =/= {0, []}, Pid <- pids(World)],
    settle(World).

%% With a seed, some processes run before the next act.
let_others(World, Number) ->
    case choose(World, {act, Number}, 4) of
        0 -> ok;
        Yields ->
            process_flag(priority, normal),
            [erlang:yield() || _ <- lists:seq(1, Yields)],
            process_flag(priority, max)
    end.

act(World, {do, Slot, Commands}) ->
    [do(World, Pid, Commands) || Pid <- pid(World, Slot)];
act(World, {signal, Slot, Reason}) ->
    [exit(Pid, Reason) || Pid <- pid(World, Slot)];
act(World, {refuse, Slot, Starts}) ->
    ets:insert(World#world.table, {{refuse, Slot}, Starts}).

%% The driver does not wait for room.
do(World, Pid, Commands) ->
    case take_room(World, Pid) of
        true -> Pid ! {do, Commands};
        false ->
            spawn(fun() -> wait_for_room(World, Pid, infinity), Pid ! {do, Commands} end)
    end.

%% Waits until every process waits, seen twice.
settle(World) ->
    process_flag(priority, low),
    settle(World, 2),
    process_flag(priority, max).

settle(_, 0) ->
    ok;
settle(World, Times) ->
    Waits = fun(Pid) -> lists:member(process_info(Pid, status), [{status, waiting}, undefined]) end,
    case lists:all(Waits, pids(World)) of
        true -> settle(World, Times - 1);
        false -> erlang:yield(), settle(World, 2)
    end.

observe(World) ->
    receive
        {trace, _, spawn, Pid, _} ->
            ets:insert_new(World#world.table, {{alive, Pid}, none});
        {trace, Pid, exit, Reason} ->
            ets:delete(World#world.table, {alive, Pid}),
            ets:insert(World#world.table, {{reason, Pid}, Reason}),
            %% Ours may have had another reason, and gone on if that was normal: the rest is not compared.
            [deviation(World, "watch-at-once, not compared") || Reason =:= noproc, ets:match(World#world.table, {{watched, Pid, '_'}}) =/= []],
            case name(World, Pid) of
                "driver" -> ok;
                Name -> say(World, Name, ["ended ", reason(Reason)])
            end,
            [killed(World, Pid) || Reason =:= killed],
            leave_rooms(World, Pid),
            [Waiter ! room || {_, _, Waiting} <- ets:take(World#world.table, {room, Pid}), Waiter <- Waiting];
        _ -> ok
    end,
    observe(World).

%% "killed-supervisor": children do not outlive it.
killed(World, Pid) ->
    %% Without `is_process_alive`, which lets the child run.
    Children = [Child || [Child] <- ets:match(World#world.table, {{alive, '$1'}, Pid})],
    [deviation(World, "killed-supervisor") || Children =/= []],
    %% It takes an exit that its child has sent for the end of the child; whether it has received it is not known here.
    [deviation(World, "killed-supervisor, not compared") || ets:member(World#world.table, {feigned, Pid})],
    [exit(Child, kill) || Child <- Children].

deviation(World, Name) ->
    say(World, "deviation", Name).

%% What is known of the processes: by slot its latest process, by process its name.

next_name(World, Slot) ->
    Number = ets:update_counter(World#world.table, {starts, Slot}, 1, {{starts, Slot}, 0}),
    lists:flatten(io_lib:format("~w.~w", [Slot, Number])).

started(World, Slot, Name, Pid, Supervisor) ->
    ets:insert(World#world.table, [{{slot, Slot}, Pid}, {{name, Pid}, Name}, {{alive, Pid}, Supervisor}]),
    say(World, Name, "started").

%% A list, empty if the slot has had no process.
pid(World, Slot) ->
    [Pid || {_, Pid} <- ets:lookup(World#world.table, {slot, Slot})].

pids(World) ->
    [Pid || [Pid] <- ets:match(World#world.table, {{alive, '$1'}, '_'})].

name(World, Pid) ->
    case ets:lookup(World#world.table, {name, Pid}) of
        [{_, Name}] -> Name;
        [] -> "driver"
    end.

say(World, Who, What) ->
    ets:insert(World#world.log, {erlang:unique_integer([monotonic]), step(World), Who, What}).

step(World) ->
    [{_, Step}] = ets:lookup(World#world.table, step),
    Step.

reason({crash, Word}) -> ["crash ", atom_to_list(Word)];
reason({shutdown, _}) -> "shutdown";
reason(Reason) -> io_lib:format("~w", [Reason]).

%% With a seed, a process runs sooner or later than others that are ready.
shuffle(World, Who) ->
    process_flag(priority, element(1 + choose(World, Who, 3), {normal, low, high})),
    [erlang:yield() || _ <- lists:seq(1, choose(World, {yield, Who}, 3))].

%% A number below Range, the same for the same seed of this step; 0 if the step has none.
choose(World = #world{seeds = {Seed, Seeds}}, What, Range) ->
    Step = step(World),
    case proplists:get_value(Step, Seeds, Seed) of
        0 -> 0;
        Number -> erlang:phash2({Number, Step, What}, Range)
    end.

%% Supervisors and their children.

spec(World, Child = {child, Slot, Restart, Shutdown, Significant, Kind}) ->
    {Start, Type} = case Kind of
        {worker, _} -> {start_worker, worker};
        {supervisor, _, _, _, _, _} -> {start_supervisor, supervisor}
    end,
    #{id => Slot, restart => Restart, shutdown => Shutdown, significant => Significant, type => Type,
      start => {?MODULE, Start, [World, Child]}}.

start_worker(World, Child = {child, Slot, _, _, _, _}) ->
    shuffle(World, Slot),
    case refuses(World, Slot) of
        false -> proc_lib:start_link(?MODULE, init_worker, [World, Child, self()]);
        Error -> Error
    end.

init_worker(World, {child, Slot, _, _, _, {worker, Manner}}, Supervisor) ->
    Puppet = init_puppet(World, Slot, Manner, Supervisor),
    proc_lib:init_ack({ok, self()}),
    shuffle(World, Puppet#puppet.name),
    loop(Puppet).

start_supervisor(World, Child = {child, Slot, _, _, _, _}) ->
    shuffle(World, Slot),
    case refuses(World, Slot) of
        false -> supervisor:start_link(?MODULE, {World, self(), Child});
        Error -> Error
    end.

%% In the supervisor.
init({World, Parent, {child, Slot, _, _, _, {supervisor, Strategy, Intensity, Period, AutoShutdown, Children}}}) ->
    shuffle(World, Slot),
    started(World, Slot, next_name(World, Slot), self(), Parent),
    %% Between two messages, too, others may run.
    Yields = fun(Number, _, _) -> shuffle(World, {Slot, Number}), Number + 1 end,
    [self() ! {system, {self(), make_ref()}, {debug, {install, {Yields, 0}}}} || World#world.seeds =/= {0, []}],
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => AutoShutdown},
    {ok, {Flags, [spec(World, Child) || Child <- Children]}}.

refuses(World, Slot) ->
    case ets:lookup(World#world.table, {refuse, Slot}) of
        [{Key, Left}] when Left > 0 ->
            ets:insert(World#world.table, {Key, Left - 1}),
            say(World, io_lib:format("~w.0", [Slot]), "refused"),
            %% Every other one crashes.
            [error(indisposed) || Left rem 2 =:= 0],
            {error, indisposed};
        _ -> false
    end.

%% Puppets: processes that run the commands that they receive.

%% "started-first": no signal comes before the process has started. Both have the highest priority until then, so that no
%% other process runs.
start_puppet(World, Slot, Manner, Options) ->
    {priority, Priority} = process_info(self(), priority),
    process_flag(priority, max),
    Parent = self(),
    Pid = spawn_opt(fun() ->
        Puppet = init_puppet(World, Slot, Manner, none),
        Parent ! {started, self()},
        process_flag(priority, normal),
        shuffle(World, Puppet#puppet.name),
        loop(Puppet)
    end, [{priority, max} | Options]),
    receive {started, Pid} -> ok end,
    process_flag(priority, Priority),
    Pid.

init_puppet(World, Slot, Manner, Supervisor) ->
    Name = next_name(World, Slot),
    ets:insert(World#world.table, {{room, self()}, ?MAILBOX, []}),
    started(World, Slot, Name, self(), Supervisor),
    process_flag(trap_exit, not lists:member(Manner, [plain, unlinks])),
    [unlink(Supervisor) || Manner =:= unlinks],
    #puppet{world = World, name = Name, parent = Supervisor, manner = Manner}.

loop(Puppet = #puppet{world = World, due = Due, parent = Parent, manner = Manner}) ->
    receive
        {do, Commands} ->
            give_room(World, self()),
            loop(run(Commands, Puppet));
        {word, From, Word} ->
            give_room(World, self()),
            say(Puppet, ["got ", atom_to_list(Word), " from ", From]),
            loop(Puppet);
        shuffle ->
            shuffle(World, Puppet#puppet.name),
            loop(Puppet);
        {'$gen_call', From, Request} ->
            give_room(World, self()),
            loop(called(Request, From, Puppet));
        {'EXIT', From, Given} ->
            Reason = true_reason(World, From, Given),
            say(Puppet, ["exit of ", name(World, From), " ", reason(Reason)]),
            case Manner of
                {obeys, same} when From =:= Parent -> exit(Reason);
                {obeys, Other} when From =:= Parent -> exit(Other);
                _ -> loop(Puppet)
            end;
        {'DOWN', _, process, Pid, Given} ->
            Reason = true_reason(World, Pid, Given),
            say(Puppet, ["down of ", name(World, Pid), " ", reason(Reason)]),
            loop(Puppet)
    after until(Due) ->
        say(Puppet, "timeout"),
        loop(Puppet#puppet{due = infinity})
    end.

%% "watch-at-once": a link or a monitor takes effect although an exit is on its way, and tells the reason.
watch(World, Pid) ->
    Watched = {watched, self(), Pid},
    case ets:member(World#world.table, {alive, Pid}) of
        true -> ets:insert(World#world.table, {Watched});
        false -> ets:delete(World#world.table, Watched)
    end.

true_reason(World, Pid, noproc) ->
    case {ets:lookup(World#world.table, {watched, self(), Pid}), ets:lookup(World#world.table, {reason, Pid})} of
        {[_], [{_, Reason}]} -> deviation(World, "watch-at-once"), Reason;
        _ -> noproc
    end;
true_reason(_, _, Reason) -> Reason.

now_() -> erlang:monotonic_time(millisecond).

until(infinity) -> infinity;
until(Due) -> max(0, Due - now_()).

%% The end, if a link has found no process.
exit_for_link(World) ->
    case {noproc(), process_info(self(), trap_exit)} of
        {[], _} -> ok;
        {_, {trap_exit, false}} -> shuffle(World, {noproc, name(World, self())}), exit(noproc);
        {Ended, {trap_exit, true}} -> [self() ! {'EXIT', Pid, noproc} || Pid <- lists:reverse(Ended)]
    end,
    erase(noproc).

%% The processes that links have not found in this handler.
noproc() ->
    case get(noproc) of undefined -> []; Ended -> Ended end.

called(answer, From, Puppet) ->
    gen_server:reply(From, ok),
    Puppet;
called(keep, From, Puppet) ->
    Puppet#puppet{kept = queue:in(From, Puppet#puppet.kept)};
called(drop, From, Puppet) ->
    %% "dropped-reply": the caller would wait.
    deviation(Puppet#puppet.world, "dropped-reply"),
    gen_server:reply(From, noprocess),
    Puppet;
called({'end', Reason}, _, _) ->
    exit(Reason).

say(Puppet, What) ->
    say(Puppet#puppet.world, Puppet#puppet.name, What).

run(Commands, Puppet) ->
    shuffle(Puppet#puppet.world, Puppet#puppet.name),
    send_unsent(lists:foldl(fun command/2, Puppet, Commands)).

%% What did not fit into mailboxes.
send_unsent(Puppet = #puppet{world = World, unsent = Unsent}) ->
    exit_for_link(World),
    [begin wait_for_room(World, Pid, infinity), Pid ! Message end || {Pid, Message} <- Unsent],
    Puppet#puppet{unsent = []}.

command({'end', Reason}, Puppet) ->
    [send_unsent(Puppet) || Puppet#puppet.unsent =/= []],
    exit(Reason);
command({after_, Wait}, Puppet) ->
    Puppet#puppet{due = now_() + Wait};
command(trap_exits, Puppet) ->
    process_flag(trap_exit, true),
    Puppet;
command(demonitor, Puppet = #puppet{monitors = []}) ->
    Puppet;
command(demonitor, Puppet = #puppet{monitors = [Monitor | Monitors]}) ->
    erlang:demonitor(Monitor, [flush]),
    Puppet#puppet{monitors = Monitors};
command(reply, Puppet) ->
    case queue:out(Puppet#puppet.kept) of
        {empty, _} -> Puppet;
        {{value, From}, Kept} -> gen_server:reply(From, ok), Puppet#puppet{kept = Kept}
    end;
command({register, Name}, Puppet) ->
    Done = try register(registered(Puppet, Name), self()) catch error:badarg -> false end,
    say(Puppet, ["registered ", atom_to_list(Done)]),
    Puppet;
command({send_to_name, Name, Word}, Puppet) ->
    case whereis(registered(Puppet, Name)) of
        undefined -> say(Puppet, "no such name"), Puppet;
        Pid -> command({send, Name, Word}, Pid, Puppet)
    end;
command({spawn, Options, Slot, Manner}, Puppet) ->
    start_puppet(Puppet#puppet.world, Slot, Manner, Options),
    Puppet;
command({start_root, _}, Puppet = #puppet{world = World}) ->
    [{_, Root}] = ets:lookup(World#world.table, root),
    supervisor:start_link(?MODULE, {World, none, Root}),
    Puppet;
command(Command, Puppet) ->
    case pid(Puppet#puppet.world, element(2, Command)) of
        [Pid] -> command(Command, Pid, Puppet);
        [] -> Puppet
    end.

%% Commands that concern another process.
command({link, _}, Pid, Puppet) ->
    %% "whole-handler": the exit comes after the handler, which the exception would end.
    watch(Puppet#puppet.world, Pid),
    try link(Pid) catch error:noproc -> put(noproc, [Pid | noproc()]) end,
    Puppet;
command({unlink, _}, Pid, Puppet) ->
    unlink(Pid),
    Puppet;
command({monitor, _}, Pid, Puppet) ->
    watch(Puppet#puppet.world, Pid),
    Puppet#puppet{monitors = [erlang:monitor(process, Pid) | Puppet#puppet.monitors]};
command({signal, _, Reason}, Pid, Puppet = #puppet{world = World, parent = Parent}) ->
    [ets:insert(World#world.table, {{feigned, Pid}}) || Pid =:= Parent],
    [exit_for_link(World) || Pid =:= self()],
    exit(Pid, Reason),
    Puppet;
command({send, _, Word}, Pid, Puppet = #puppet{world = World, unsent = Unsent}) ->
    Message = {word, Puppet#puppet.name, Word},
    case Unsent =:= [] andalso take_room(World, Pid) of
        true -> Pid ! Message, Puppet;
        false -> Puppet#puppet{unsent = Unsent ++ [{Pid, Message}]}
    end;
command({call, Slot, Timeout, Request}, Pid, Before) ->
    Puppet = send_unsent(Before),
    Due = now_() + Timeout,
    Answer = try
        true = wait_for_room(Puppet#puppet.world, Pid, Timeout),
        gen_server:call(Pid, Request, until(Due))
    catch
        error:{badmatch, false} -> timeout;
        exit:{timeout, _} -> timeout;
        exit:_ -> noprocess
    end,
    say(Puppet, io_lib:format("call of ~w ~w", [Slot, Answer])),
    Puppet;
command({start_child, Slot, Child}, Pid, Before) ->
    Puppet = #puppet{world = World} = send_unsent(Before),
    Answer = try supervisor:start_child(Pid, spec(World, Child)) of
        {ok, _} -> true;
        {error, _} -> false
    catch exit:_ -> noprocess
    end,
    say(Puppet, io_lib:format("start_child ~w ~w", [Slot, Answer])),
    Puppet;
command({ask, Slot, Ask, Child}, Pid, Before) ->
    Puppet = send_unsent(Before),
    Answer = try supervisor:Ask(Pid, Child) of
        {error, Error} when Error =:= not_found; Error =:= running; Error =:= restarting -> Error;
        {error, _} -> not_started;
        _ -> ok
    catch exit:_ -> noprocess
    end,
    say(Puppet, io_lib:format("~w ~w ~w ~w", [Ask, Slot, Child, Answer])),
    Puppet;
command({which_children, Slot}, Pid, Before) ->
    Puppet = #puppet{world = World} = send_unsent(Before),
    Answer = try supervisor:which_children(Pid) of
        Children ->
            [[" ", case is_pid(Child) of true -> name(World, Child); false -> integer_to_list(Id) end]
             || {Id, Child, _, _} <- lists:reverse(Children)]
    catch exit:_ -> " noprocess"
    end,
    say(Puppet, [io_lib:format("which_children ~w", [Slot]), Answer]),
    Puppet.

registered(#puppet{world = World}, Name) ->
    list_to_atom(lists:flatten(io_lib:format("laureate_~w_~w", [World#world.lane, Name]))).

%% "bounded-mailbox": a mailbox has room for some messages, and a sender waits, as on `actors`. A process takes room from a
%% mailbox before it sends there, and the receiver gives it back, to the first that waits, when it handles the message.

take_room(World, Pid) ->
    case ets:lookup(World#world.table, {room, Pid}) of
        [{Key, Room, []}] when Room > 0 -> ets:insert(World#world.table, {Key, Room - 1, []});
        [_] -> deviation(World, "bounded-mailbox"), false;
        [] -> true
    end.

wait_for_room(World, Pid, Timeout) ->
    take_room(World, Pid) orelse begin
        [{Key, Room, Waiting}] = ets:lookup(World#world.table, {room, Pid}),
        ets:insert(World#world.table, {Key, Room, Waiting ++ [self()]}),
        receive room -> ets:delete(World#world.table, {taken, self()})
        after Timeout -> leave_rooms(World, self()), false
        end
    end.

give_room(World, Pid) ->
    case ets:lookup(World#world.table, {room, Pid}) of
        [{Key, Room, []}] ->
            ets:insert(World#world.table, {Key, Room + 1, []});
        [{Key, Room, [First | Waiting]}] ->
            ets:insert(World#world.table, [{Key, Room, Waiting}, {{taken, First}, Pid}]),
            First ! room;
        [] -> ok
    end.

%% A process has ended, or no longer waits.
leave_rooms(World, Pid) ->
    [ets:insert(World#world.table, {{room, To}, Room, Waiting -- [Pid]})
     || [To, Room, Waiting] <- ets:match(World#world.table, {{room, '$1'}, '$2', '$3'}), lists:member(Pid, Waiting)],
    receive_room(Pid),
    [begin ets:delete(World#world.table, Key), give_room(World, Mailbox) end
     || {Key, Mailbox} <- ets:lookup(World#world.table, {taken, Pid})].

receive_room(Pid) when Pid =:= self() -> receive room -> ok after 0 -> ok end;
receive_room(_) -> ok.
