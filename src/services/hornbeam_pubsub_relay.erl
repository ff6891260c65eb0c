%%% Brings what other nodes publish to the subscribers of this one.
%%%
%%% Called by: hornbeam_pubsub_peers, in the process that publishes on another node (send/3). Calls: hornbeam_subscribers (deliver/2), hornbeam_unsent.
%%%
%%% ?RELAYS processes on each node; all messages of one publisher go through the same one, which keeps their order.
-module(hornbeam_pubsub_relay).
-behaviour(gen_server).

-export([send/3, child_specs/0]).
-export([start_link/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% All nodes must agree on it.
-define(RELAYS, 4).

%% @doc Whether the message is on its way: not when that would mean to wait for a congested connection. What is not is counted.
-spec send(node(), hornbeam_topic:topic(), term()) -> boolean().
send(Node, Topic, Message) ->
    Relay = name(erlang:phash2(self(), ?RELAYS)),
    case erlang:send({Relay, Node}, {publish, Topic, Message}, [noconnect, nosuspend]) of
        ok -> true;
        _ -> ok = hornbeam_unsent:count(Node), false
    end.

name(0) -> hornbeam_pubsub_relay_0;
name(1) -> hornbeam_pubsub_relay_1;
name(2) -> hornbeam_pubsub_relay_2;
name(3) -> hornbeam_pubsub_relay_3.

%% @doc For hornbeam_pubsub.
-spec child_specs() -> [supervisor:child_spec()].
child_specs() ->
    [#{id => Name, start => {?MODULE, start_link, [Name]}} || Name <- [name(N) || N <- lists:seq(0, ?RELAYS - 1)]].

-spec start_link(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Name) ->
    case gen_server:start_link({local, Name}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    end.

-spec init([]) -> {ok, []}.
init([]) ->
    process_flag(message_queue_data, off_heap),
    {ok, []}.

-spec handle_call(term(), gen_server:from(), []) -> {reply, {error, not_supported}, []}.
handle_call(_Request, _From, State) ->
    {reply, {error, not_supported}, State}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), []) -> {noreply, []}.
handle_info({publish, Topic, Message}, State) when is_binary(Topic) ->
    _ = hornbeam_subscribers:deliver(Topic, Message),
    {noreply, State};
handle_info(_Message, State) ->
    {noreply, State}.
