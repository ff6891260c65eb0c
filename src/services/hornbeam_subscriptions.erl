%%% The subscriptions of this node's processes.
%%%
%%% Called by: hornbeam_pubsub, in the process that subscribes. Read by hornbeam_subscribers. Calls:
%%% hornbeam_topic, hornbeam_pubsub_peers (told of each topic whose number of subscriptions has changed).
%%%
%%% The only writer of three tables (hornbeam_tables owns them), which hornbeam_subscribers reads:
%%%
%%%   hornbeam_topics          {Topic, Subscriptions}          set; and {lengths, hornbeam_topic:lengths()}
%%%   hornbeam_subscribers     {{Topic, Pid}, Subscriptions}   ordered_set: the subscribers of a topic stand together
%%%   hornbeam_subscriptions   {{Pid, Topic}}                  ordered_set: and so do the topics of a process
%%%
%%% So each change costs the same however many topics a process has and however many processes a topic has. (pg keeps
%%% a list for each: it took a process 15 s to leave 40,000 topics.) What takes back many at once, unsubscribe_all
%%% and the end of a process, goes on in slices of ?SLICE, between which others are served.
%%%
%%% Failure: restarted, it finds the subscriptions in the tables and monitors their processes again.
-module(hornbeam_subscriptions).
-behaviour(gen_server).

-export([add/1, remove/1, remove_all/0]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(TOPICS, hornbeam_topics).
-define(SUBSCRIBERS, hornbeam_subscribers).
-define(SUBSCRIPTIONS, hornbeam_subscriptions).
-define(SLICE, 500).

%% The processes that are monitored: those that have subscribed.
-type watched() :: #{pid() => []}.

%%% In the calling process

%% @doc One subscription more of the calling process.
-spec add(hornbeam_topic:topic()) -> ok.
add(Topic) ->
    gen_server:call(?MODULE, {add, Topic}, infinity).

%% @doc One less.
-spec remove(hornbeam_topic:topic()) -> ok | not_joined.
remove(Topic) ->
    gen_server:call(?MODULE, {remove, Topic}, infinity).

%% @doc None any more.
-spec remove_all() -> ok.
remove_all() ->
    case gen_server:call(?MODULE, remove_some, infinity) of
        more -> remove_all();
        done -> ok
    end.

%%% The process

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, watched()}.
init([]) ->
    {ok, ets:foldl(fun({{Pid, _Topic}}, Watched) -> watch(Pid, Watched) end, #{}, ?SUBSCRIPTIONS)}.

watch(Pid, Watched) when is_map_key(Pid, Watched) ->
    Watched;
watch(Pid, Watched) ->
    _ = monitor(process, Pid),
    Watched#{Pid => []}.

-spec handle_call(term(), gen_server:from(), watched()) -> {reply, term(), watched()}.
handle_call({add, Topic}, {Pid, _}, Watched) ->
    add(Topic, Pid),
    {reply, ok, watch(Pid, Watched)};
handle_call({remove, Topic}, {Pid, _}, Watched) ->
    {reply, remove(Topic, Pid), Watched};
handle_call(remove_some, {Pid, _}, Watched) ->
    {reply, remove_some(Pid), Watched}.

-spec handle_cast(term(), watched()) -> {noreply, watched()}.
handle_cast(_Request, Watched) ->
    {noreply, Watched}.

-spec handle_info(term(), watched()) -> {noreply, watched()}.
handle_info({'DOWN', _, process, Pid, _}, Watched) ->
    ended(Pid),
    {noreply, maps:remove(Pid, Watched)};
handle_info({ended, Pid}, Watched) ->
    ended(Pid),
    {noreply, Watched};
handle_info(_Message, Watched) ->
    {noreply, Watched}.

ended(Pid) ->
    case remove_some(Pid) of
        more -> self() ! {ended, Pid}, ok;
        done -> ok
    end.

%%% The tables

add(Topic0, Pid) ->
    %% Copied, so that it does not keep the whole read that it came in.
    Topic = binary:copy(Topic0),
    Key = {Topic, Pid},
    case ets:update_counter(?SUBSCRIBERS, Key, 1, {Key, 0}) of
        1 -> true = ets:insert(?SUBSCRIPTIONS, {{Pid, Topic}});
        _ -> true
    end,
    change(Topic, 1).

remove(Topic, Pid) ->
    Key = {Topic, Pid},
    case ets:lookup(?SUBSCRIBERS, Key) of
        [] -> not_joined;
        [{_, 1}] -> drop(Key, 1);
        [_] -> _ = ets:update_counter(?SUBSCRIBERS, Key, -1), change(Topic, -1)
    end.

remove_some(Pid) ->
    case ets:select(?SUBSCRIPTIONS, [{{{Pid, '$1'}}, [], ['$1']}], ?SLICE) of
        {Topics, _} ->
            lists:foreach(fun(Topic) ->
                Key = {Topic, Pid},
                drop(Key, ets:lookup_element(?SUBSCRIBERS, Key, 2))
            end, Topics),
            more_after(length(Topics));
        '$end_of_table' ->
            done
    end.

more_after(?SLICE) -> more;
more_after(_) -> done.

drop({Topic, Pid} = Key, Count) ->
    true = ets:delete(?SUBSCRIBERS, Key),
    true = ets:delete(?SUBSCRIPTIONS, {Pid, Topic}),
    change(Topic, -Count).

change(Topic, By) ->
    case ets:update_counter(?TOPICS, Topic, By, {Topic, 0}) of
        0 ->
            true = ets:delete(?TOPICS, Topic),
            hornbeam_topic:removed_in(?TOPICS, Topic);
        By ->
            hornbeam_topic:added_in(?TOPICS, Topic);
        _ ->
            ok
    end,
    hornbeam_pubsub_peers:changed(Topic).
