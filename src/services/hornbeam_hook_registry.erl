%%% Who handles each hook: a function of Erlang's, or the workers of one pool whose Python processes have registered it.
%%%
%%% Owns the table hornbeam_hooks (hornbeam_tables owns the table itself). Called by: hornbeam_hooks (Erlang registers), hornbeam_hook_calls
%%% (a Python process registers; in its worker's process), hornbeam_services (forget/1, when a Python process has ended), hornbeam_pool (close/1),
%%% hornbeam_hook_run (find/1, for each call). Calls: nobody.
%%%
%%%     {{Name, owner}, {erlang, Callable} | {python, Pool, Window, MaxLoad}}
%%%     {{Name, Worker}, Slot}             a worker of that pool, whose process has registered it; Slot is hornbeam_pool's
%%%
%%% A name has one owner. Erlang may replace Erlang's, and the workers of a pool join those of the same pool; anybody else gets `taken', so
%%% that a restart of a worker never decides who handles a hook. What no living worker has registered any more is free.
%%%
%%% The row of the owner outlives the workers, until the pool ends: a call waits for their successors, which register when they import the
%%% application.
%%% A worker's process that is killed leaves its rows: find/1 leaves them out and deletes them, and so does join/3.
%%%
%%% Limits: ?MAX_HOOKS names on a node, each of ?MAX_NAME bytes. Each worker has a row for each name at most.
-module(hornbeam_hook_registry).

-export([offer/2, join/3, leave/2, withdraw/1, forget/1, close/1, find/1, handlers/1, all/0, text/1]).
-export_type([callable/0, owner/0, refusal/0]).

-include("hornbeam.hrl").

-define(TABLE, hornbeam_hooks).
-define(MAX_HOOKS, 1000).
-define(MAX_NAME, 512).

-type callable() :: fun((Action :: binary(), Arguments :: [term()], Keywords :: map()) -> term()) | {module(), atom()}.
-type python() :: {python, Pool :: term(), Window :: pos_integer(), MaxLoad :: pos_integer()}.
-type owner() :: {erlang, callable()} | python().
-type refusal() :: taken | too_many_hooks | bad_name.

%% @doc Erlang handles it.
-spec offer(binary(), callable()) -> ok | {error, refusal()}.
offer(Name, Callable) ->
    own(Name, {erlang, Callable}).

%% @doc A worker handles it as well. The calling process is the worker's.
-spec join(binary(), python(), #slot{}) -> ok | {error, refusal()}.
join(Name, Owner, #slot{worker = Worker} = Slot) ->
    case own(Name, Owner) of
        ok ->
            true = ets:insert(?TABLE, {{Name, Worker}, Slot}),
            _ = workers(Name),
            ok;
        Error -> Error
    end.

own(Name, Owner) ->
    case is_name(Name) andalso ets:lookup(?TABLE, {Name, owner}) of
        false -> {error, bad_name};
        [] -> first(Name, Owner);
        [{_, Before}] -> next(Name, Before, Owner)
    end.

is_name(Name) ->
    is_binary(Name) andalso Name =/= <<>> andalso byte_size(Name) =< ?MAX_NAME andalso binary:match(Name, <<0>>) =:= nomatch
        andalso unicode:characters_to_binary(Name) =:= Name.

first(Name, Owner) ->
    Count = ets:select_count(?TABLE, [{{{'_', owner}, '_'}, [], [true]}]),
    case Count < ?MAX_HOOKS orelse swept(Count) of
        true ->
            case ets:insert_new(?TABLE, {{Name, owner}, Owner}) of
                true -> ok;
                false -> own(Name, Owner)       % somebody was first
            end;
        false ->
            {error, too_many_hooks}
    end.

%% Whether there is room without those that nobody handles any more.
swept(Count) ->
    Left = [Name || {{Name, owner}, {python, _, _, _}} <- ets:tab2list(?TABLE), workers(Name) =:= []],
    lists:foreach(fun withdraw/1, Left),
    Count - length(Left) < ?MAX_HOOKS.

next(Name, Before, Owner) ->
    case may_follow(Before, Owner) orelse (element(1, Before) =:= python andalso workers(Name) =:= []) of
        true -> true = ets:insert(?TABLE, {{Name, owner}, Owner}), ok;
        false -> {error, taken}
    end.

may_follow({erlang, _}, {erlang, _}) -> true;
may_follow({python, Pool, _, _}, {python, Pool, _, _}) -> true;
may_follow(_, _) -> false.

%% @doc A worker's process handles it no longer; whether it did. With the last one nobody does.
-spec leave(binary(), Worker :: pid()) -> boolean().
leave(Name, Worker) ->
    case ets:take(?TABLE, {Name, Worker}) of
        [] ->
            false;
        [_] ->
            _ = workers(Name) =:= [] andalso ets:delete(?TABLE, {Name, owner}),
            true
    end.

%% @doc Nobody handles it any more.
-spec withdraw(binary()) -> ok.
withdraw(Name) ->
    true = ets:match_delete(?TABLE, {{Name, '_'}, '_'}),
    ok.

%% @doc The Python process of a worker has ended.
-spec forget(Worker :: pid()) -> ok.
forget(Worker) ->
    true = ets:match_delete(?TABLE, {{'_', Worker}, '_'}),
    ok.

%% @doc A pool has ended, and nobody will come who handles its hooks.
-spec close(Pool :: term()) -> ok.
close(Pool) ->
    lists:foreach(fun withdraw/1, ets:select(?TABLE, [{{{'$1', owner}, {python, '$2', '_', '_'}}, [{'=:=', '$2', {const, Pool}}], ['$1']}])).

%% @doc Who handles it: for Python with the workers that do.
-spec find(binary()) -> {erlang, callable()} | {python(), [#slot{}]} | error.
find(Name) ->
    case ets:lookup(?TABLE, {Name, owner}) of
        [{_, {erlang, _} = Owner}] -> Owner;
        [{_, {python, _, _, _} = Owner}] -> {Owner, workers(Name)};
        [] -> error
    end.

%% @doc As find/1, for who wants to know.
-spec handlers(binary()) -> {ok, {erlang, callable()} | {python, Pool :: term(), Workers :: [pid()]}} | not_found.
handlers(Name) ->
    case find(Name) of
        {erlang, _} = Owner -> {ok, Owner};
        {{python, Pool, _, _}, Slots} -> {ok, {python, Pool, [Worker || #slot{worker = Worker} <- Slots]}};
        error -> not_found
    end.

%% In an ordered_set the beginning of the key leads there.
workers(Name) ->
    Slots = ets:select(?TABLE, [{{{Name, '$1'}, '$2'}, [{is_pid, '$1'}], ['$2']}]),
    {Living, Dead} = lists:partition(fun(#slot{worker = Worker}) -> is_process_alive(Worker) end, Slots),
    lists:foreach(fun(#slot{worker = Worker}) -> forget(Worker) end, Dead),
    Living.

%% @doc The names, sorted.
-spec all() -> [binary()].
all() ->
    ets:select(?TABLE, [{{{'$1', owner}, '_'}, [], ['$1']}]).

%% @doc A name or an action as text.
-spec text(binary() | string() | atom()) -> binary().
text(Name) when is_binary(Name) -> Name;
text(Name) when is_atom(Name) -> atom_to_binary(Name);
text(Name) -> <<_/binary>> = unicode:characters_to_binary(Name).
