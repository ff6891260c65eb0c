%%% Publish and subscribe, on `pg', so it spans connected nodes.
%%%
%%%     ok = hornbeam_pubsub:subscribe(<<"chat:1">>),
%%%     1 = hornbeam_pubsub:publish(<<"chat:1">>, <<"hello">>),
%%%     receive {hornbeam_pubsub, <<"chat:1">>, <<"hello">>} -> ok end.
%%%
%%% Called by: hornbeam_service_pubsub (Python), hornbeam_websocket, and any OTP application. Calls: pg.
%%%
%%% A topic is a binary. One that ends with "*" is a pattern: "user:*" gets what is published to every topic
%%% that begins with "user:". A subscriber gets `{hornbeam_pubsub, Topic, Message}' with the topic that was
%%% published to. A process may subscribe several times, also to the same topic, and unsubscribes as often: each
%%% counts as a subscription, but a message comes to a process once, however many of them it matches. So a
%%% worker gets once what many in it have subscribed to. A process that ends is unsubscribed.
%%%
%%% Delivery is at most once. Messages of one publisher to one subscriber keep their order. To another
%%% node a message is sent only if that needs no waiting: when the connection is congested the
%%% subscriber is passed over and not counted.
%%%
%%% The two scopes are two pg processes: topics by their names, and patterns by what stands before the
%%% "*", so that finding the patterns of a topic is one lookup for each of its first ?MAX_PREFIX bytes.
-module(hornbeam_pubsub).
-behaviour(supervisor).

-export([start_link/0, init/1, subscribe/1, unsubscribe/1, unsubscribe_all/0, publish/2]).
-export([subscriptions/0]).
-export_type([topic/0]).

-define(TOPICS, hornbeam_pubsub).
-define(PATTERNS, hornbeam_pubsub_patterns).
-define(MAX_PREFIX, 128).

-type topic() :: binary().

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link(?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_all, intensity => 0, period => 1},
          [#{id => Scope, start => {pg, start_link, [Scope]}} || Scope <- [?TOPICS, ?PATTERNS]]}}.

%% @doc The calling process gets what is published to the topic, or matches the pattern, from now on.
%% error(badarg) for a pattern of more than 128 bytes before the "*".
-spec subscribe(topic()) -> ok.
subscribe(Topic) when is_binary(Topic) ->
    {Scope, Group} = group(Topic),
    pg:join(Scope, Group, self()).

%% @doc Takes back one subscription.
-spec unsubscribe(topic()) -> ok | not_joined.
unsubscribe(Topic) when is_binary(Topic) ->
    {Scope, Group} = group(Topic),
    pg:leave(Scope, Group, self()).

%% @doc Takes back every subscription of the calling process. Walks all groups of this node.
-spec unsubscribe_all() -> ok.
unsubscribe_all() ->
    _ = [pg:leave(Scope, Group, Mine)
         || Scope <- [?TOPICS, ?PATTERNS],
            Group <- pg:which_local_groups(Scope),
            Mine <- [[Pid || Pid <- pg:get_local_members(Scope, Group), Pid =:= self()]],
            Mine =/= []],
    ok.

%% @doc Sends a message to every subscriber, on this node and on those connected; how many subscriptions
%% that reached. error(badarg) for a topic that is a pattern.
-spec publish(topic(), term()) -> non_neg_integer().
publish(Topic, Message) when is_binary(Topic) ->
    _ = is_pattern(Topic) andalso error(badarg),
    Members = pg:get_members(?TOPICS, Topic) ++ pattern_members(Topic),
    send(Members, {hornbeam_pubsub, Topic, Message}).

send([], _Message) ->
    0;
send([Pid], Message) ->
    deliver(Pid, Message);
send(Members, Message) ->
    %% Equal processes are neighbours once sorted: the first is sent to, and all of them count.
    send_sorted(lists:sort(Members), none, 0, Message, 0).

send_sorted([Pid | Rest], Pid, Reached, Message, Count) ->
    send_sorted(Rest, Pid, Reached, Message, Count + Reached);
send_sorted([Pid | Rest], _Last, _Reached, Message, Count) ->
    Reached = deliver(Pid, Message),
    send_sorted(Rest, Pid, Reached, Message, Count + Reached);
send_sorted([], _Last, _Reached, _Message, Count) ->
    Count.

deliver(Pid, Message) ->
    case erlang:send(Pid, Message, [noconnect, nosuspend]) of
        ok -> 1;
        _ -> 0
    end.

pattern_members(Topic) ->
    pattern_members(Topic, min(byte_size(Topic), ?MAX_PREFIX), []).

pattern_members(Topic, Size, Found0) ->
    Found = case pg:get_members(?PATTERNS, binary:part(Topic, 0, Size)) of
        [] -> Found0;
        Members -> Members ++ Found0
    end,
    case Size of
        0 -> Found;
        _ -> pattern_members(Topic, Size - 1, Found)
    end.

%% @doc The subscriptions of this node's processes, topics and patterns alike, for a person and for tests.
-spec subscriptions() -> non_neg_integer().
subscriptions() ->
    lists:sum([length(pg:get_local_members(Scope, Group))
               || Scope <- [?TOPICS, ?PATTERNS], Group <- pg:which_local_groups(Scope)]).

group(Topic) ->
    case is_pattern(Topic) of
        false ->
            {?TOPICS, Topic};
        true when byte_size(Topic) - 1 =< ?MAX_PREFIX ->
            {?PATTERNS, binary:part(Topic, 0, byte_size(Topic) - 1)};
        true ->
            error(badarg)
    end.

is_pattern(<<>>) -> false;
is_pattern(Topic) -> binary:last(Topic) =:= $*.
