%% The library server (S8): poems by name. Beside actors/src/library_server.rs and cli/src/poem_directory.rs.
%%
%% One process, registered as `library_server`, owns the poems and reads the directory. The connections do not ask it, since
%% all of them would wait for one process: they read a persistent term, which is replaced as a whole.
-module(library_server).
-behaviour(request_server).
-behaviour(gen_server).
-export([start_link/1, reload/0, answer/2]).
-export([init/1, handle_call/3, handle_cast/2]).

-define(NAME_BYTES_MAX, 255).
-define(POEM_BYTES_MAX, 67_108_864).

%% Answers one request, in the process of its connection.
answer(Name, _Config) ->
    case persistent_term:get(?MODULE) of
        #{Name := {_File, Poem}} -> {ok, Poem};
        _ -> {refused, case is_name(Name) of true -> unknown_poem; false -> bad_poem_name end}
    end.

start_link(Config) -> gen_server:start_link({local, ?MODULE}, ?MODULE, Config, []).

%% Reads the directory again. Poems under way stay whole: their binaries live as long as somebody refers to them.
reload() -> gen_server:call(?MODULE, reload, infinity).

init(#{directory := Directory, frame_bytes_max := Max}) ->
    persistent_term:put(?MODULE, #{}),
    case read(Directory, Max) of
        ok -> {ok, {Directory, Max}};
        {error, Reason} -> {stop, {cannot_read, Reason}}
    end.

handle_call(reload, _From, State = {Directory, Max}) ->
    case read(Directory, Max) of
        ok -> logger:notice("read ~ts again: ~b poems", [Directory, map_size(persistent_term:get(?MODULE))]);
        {error, Reason} ->
            logger:warning("cannot read ~ts again: ~s; its poems are still served", [Directory, file:format_error(Reason)])
    end,
    {reply, ok, State}.

handle_cast(_, State) -> {noreply, State}.

%% Files that hold poems already come first: they keep their names, whatever the name of a new file.
read(Directory, Max) ->
    case file:list_dir(Directory) of
        {ok, Files} ->
            Old = persistent_term:get(?MODULE),
            Visible = lists:sort([File || File <- Files, hd(File) =/= $.]),
            {Held, New} = lists:partition(fun(File) -> holds(File, Old) end, Visible),
            Read = fun(File, Poems) -> read_file(Directory, File, Max, Old, Poems) end,
            persistent_term:put(?MODULE, lists:foldl(Read, #{}, Held ++ New)),
            ok;
        {error, Reason} -> {error, Reason}
    end.

read_file(Directory, File, Max, Old, Poems) ->
    Path = filename:join(Directory, File),
    case filelib:is_dir(Path) of
        true -> Poems;
        false -> take(name(File), File, read_poem(Path, Max), Old, Poems)
    end.

%% Adds the poem of a file. A file that cannot be served is reported; if it held a poem before, that one stays.
take(_Name, _File, gone, _Old, Poems) -> Poems;
take(Name, File, Read, Old, Poems) ->
    case {is_name(Name), Poems, Read, Old} of
        {false, _, _, _} -> skip(File, "its name is not that of a poem; rename it", Poems);
        {_, #{Name := _}, _, _} -> skip(File, "another file has this name; rename one of them", Poems);
        {_, _, {ok, Poem}, _} -> Poems#{Name => {File, Poem}};
        {_, _, {error, Why}, #{Name := Held = {File, _}}} ->
            skip(File, [Why, "; its earlier poem is still served"], Poems#{Name => Held});
        {_, _, {error, Why}, _} -> skip(File, Why, Poems)
    end.

skip(File, Why, Poems) ->
    logger:warning("skipped ~ts: ~ts", [File, Why]),
    Poems.

read_poem(Path, Max) ->
    case file:read_file(Path) of
        {ok, Poem} when byte_size(Poem) > Max; byte_size(Poem) > ?POEM_BYTES_MAX -> {error, "longer than a frame may be"};
        {ok, Poem} -> case unicode:characters_to_binary(Poem) of
            Poem -> {ok, Poem};
            _ -> {error, "not UTF-8; save it as UTF-8"}
        end;
        {error, enoent} -> gone;
        {error, Reason} -> {error, file:format_error(Reason)}
    end.

holds(File, Old) ->
    Name = name(File),
    case Old of #{Name := {File, _}} -> true; _ -> false end.

name(File) -> unicode:characters_to_binary(filename:rootname(File)).

%% Whether a text can be the name of a poem, so never a path.
is_name(Name) when is_binary(Name), Name =/= <<>>, byte_size(Name) =< ?NAME_BYTES_MAX ->
    case unicode:characters_to_list(Name) of
        Characters when is_list(Characters) -> not lists:any(fun is_forbidden/1, Characters);
        _ -> false
    end;
is_name(_) -> false.

is_forbidden(Character) ->
    lists:member(Character, "./\\") orelse Character < 32 orelse (Character >= 127 andalso Character =< 159).
