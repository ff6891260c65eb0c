%%% Python's operations on presence: arguments and answers as hornbeam_erlang/presence.py has them.
%%%
%%% Called by: hornbeam_services, which knows its name only, in a worker's process. Calls: hornbeam_presence, hornbeam_channel (tokens).
%%%
%%% What is tracked without a connection (no token) is the worker's, and ends with its Python process.
-module(hornbeam_service_presence).
-behaviour(hornbeam_services).

-export([handle/3, left/1]).

-define(WALK, 30000).

-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(presence_track, [Topic, Key, Meta, Token], _) when is_binary(Topic), is_binary(Key), is_binary(Meta) ->
    with(Token, fun(Pid) -> changed(hornbeam_presence:track(Topic, Pid, Key, Meta)) end);
handle(presence_update, [Topic, Key, Meta, Token], _) when is_binary(Topic), is_binary(Key), is_binary(Meta) ->
    with(Token, fun(Pid) -> changed(hornbeam_presence:update(Topic, Pid, Key, Meta)) end);
handle(presence_untrack, [Topic, Key, Token], _) when is_binary(Topic), is_binary(Key) ->
    with(Token, fun(Pid) -> {ok, hornbeam_presence:untrack(Topic, Pid, Key)} end);
handle(presence_list, [Topic], _) when is_binary(Topic) ->
    {walk, ?WALK, fun() -> {ok, iolist_to_binary(hornbeam_presence:list(Topic))} end};
handle(presence_get, [Topic, Key], _) when is_binary(Topic), is_binary(Key) ->
    case hornbeam_presence:get(Topic, Key) of
        {ok, Metas} -> {ok, iolist_to_binary(Metas)};
        error -> absent
    end;
handle(presence_push, [{bytes, Token}, Topic, JoinRef], _) when is_binary(Topic) ->
    {ok, hornbeam_channel:push_presence(#{token => Token, topic => Topic, join_ref => case JoinRef of none -> null; _ -> JoinRef end}) =:= ok};
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

%% @doc The worker's Python process has ended.
-spec left(Worker :: pid()) -> ok.
left(Worker) -> hornbeam_presence:untrack(Worker).

%% The writing process may be busy: not in the worker's own.
with(none, Fun) ->
    Worker = self(),
    {run, ?WALK, fun() -> Fun(Worker) end};
with({bytes, Token}, Fun) ->
    {run, ?WALK, fun() ->
        case hornbeam_channel:with_token(Token, fun(Pid, _) -> Pid end) of
            not_found -> absent;
            Pid -> Fun(Pid)
        end
    end};
with(_, _Fun) ->
    {error, type_error, <<"a token is bytes">>}.

changed({ok, Ref}) -> {ok, Ref};
changed({error, not_tracked}) -> {error, value_error, <<"this is not tracked">>};
changed({error, too_many}) -> {error, value_error, <<"too many entries of presence: a connection may have 1000, a topic of a node 100000, a node 1000000">>};
changed({error, bad_topic}) -> {error, value_error, <<"a topic has 1 to 255 bytes">>};
changed({error, bad_key}) -> {error, value_error, <<"a key of presence has 1 to 255 bytes">>};
changed({error, _}) -> {error, value_error, <<"a meta of presence is a JSON object of 16 KiB at most">>}.
