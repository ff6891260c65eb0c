%%% Who watches keys of the replicated state on this node, and is told of their changes.
%%%
%%% Called by: hornbeam_cluster_sup; this node's member of the cluster, which sends {hornbeam_cluster, kv, Index, Events} in the order of the log
%%% (hornbeam_cluster_machine). Calls: hornbeam_subscribers: a watcher subscribes to a topic of this node, ?KEYS and the key, and gets its messages as those of
%%% any topic, with their limits.
%%%
%%%     [put, Key, Value, Revision]   [delete, Key, none, Revision]   to the topic of the key, and to patterns that match it
%%%     [missed]                      to ?MISSED: changes may have been missed; whoever watches looks again
%%%
%%% Only keys that are texts of at most ?MAX_KEY bytes have topics. `missed' is told when the member says so (resync), and when this process starts.
-module(hornbeam_cluster_watch).
-behaviour(gen_server).

-export([start_link/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

%% Their mirror is hornbeam_erlang/_cluster_changes.py.
-define(KEYS, "hornbeam:cluster:key:").
-define(MAX_KEY, 1024).
-define(MISSED, <<"hornbeam:cluster:missed">>).

-spec start_link(map()) -> {ok, pid()} | {error, term()}.
start_link(_Options) ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, none, {continue, missed}}.
init([]) -> {ok, none, {continue, missed}}.

-spec handle_continue(missed, none) -> {noreply, none}.
handle_continue(missed, State) ->
    _ = hornbeam_subscribers:deliver(?MISSED, [<<"missed">>]),
    {noreply, State}.

-spec handle_call(term(), gen_server:from(), none) -> {reply, {error, not_supported}, none}.
handle_call(_Request, _From, State) -> {reply, {error, not_supported}, State}.

-spec handle_cast(term(), none) -> {noreply, none}.
handle_cast(_Request, State) -> {noreply, State}.

-spec handle_info(term(), none) -> {noreply, none} | {noreply, none, {continue, missed}}.
handle_info({hornbeam_cluster, kv, _Index, resync}, State) ->
    {noreply, State, {continue, missed}};
handle_info({hornbeam_cluster, kv, _Index, Events}, State) ->
    lists:foreach(fun tell/1, Events),
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.

tell({put, Key, Value, Revision}) when is_binary(Key), byte_size(Key) =< ?MAX_KEY ->
    tell(Key, fun() -> [<<"put">>, Key, hornbeam_cluster_state:decoded(Value), Revision] end);
tell({delete, Key, Revision}) when is_binary(Key), byte_size(Key) =< ?MAX_KEY ->
    tell(Key, fun() -> [<<"delete">>, Key, none, Revision] end);
tell(_Event) ->
    ok.

%% Nothing is decoded for nobody.
tell(Key, Message) ->
    Topic = <<?KEYS, Key/binary>>,
    case hornbeam_subscribers:is_wanted(Topic) of
        true -> _ = hornbeam_subscribers:deliver(Topic, Message()), ok;
        false -> ok
    end.
