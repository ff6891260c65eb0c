%%% Publish and subscribe, on `pg', so it spans connected nodes.
%%%
%%% Called by: hornbeam_services, hornbeam_websocket, and any OTP application. A subscriber gets
%%% `{hornbeam_pubsub, Topic, Message}'.
-module(hornbeam_pubsub).

-export([start_link/0, subscribe/1, unsubscribe/1, publish/2]).

-define(SCOPE, hornbeam_pubsub).

-type topic() :: binary().
-export_type([topic/0]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    pg:start_link(?SCOPE).

%% @doc The calling process gets what is published to the topic from now on.
-spec subscribe(topic()) -> ok.
subscribe(Topic) ->
    pg:join(?SCOPE, Topic, self()).

-spec unsubscribe(topic()) -> ok | not_joined.
unsubscribe(Topic) ->
    pg:leave(?SCOPE, Topic, self()).

%% @doc Sends a message to every subscriber of the topic; how many that were.
-spec publish(topic(), term()) -> non_neg_integer().
publish(Topic, Message) ->
    Members = pg:get_members(?SCOPE, Topic),
    lists:foreach(fun(Pid) -> Pid ! {hornbeam_pubsub, Topic, Message} end, Members),
    length(Members).
