%%% Handlers of channels in Python: what their dispatcher (hornbeam_worker/channels.py) is asked, and what it answers. Pure but for the calls.
%%%
%%% Called by: hornbeam_channel_joined, in the connection's process, hornbeam_channel_events. Calls: hornbeam_invocation, hornbeam_call_stream (leave/3), hornbeam_msgpack.
%%%
%%%     join       topic, join_ref, params, assigns, token         ok, response, assigns, flags | error, response
%%%     event      topic, join_ref, event, payload, assigns, token, ref, moved
%%%                                                                noreply, assigns | reply, status, response, assigns | stop, reason, assigns, response
%%%     intercept  topic, join_ref, event, payload, assigns, token   push, event, payload, assigns | noreply, assigns
%%%     authorize  topic, request                                  ok, flags | refused, response | unmatched
%%%     leave      topic, join_ref, reason, assigns, token         nothing
%%%
%%% A payload or response is a str of JSON, or bytes. Assigns are bytes that only Python looks into. Flags: a map, whose `intercepts' are names of events,
%%% `leave' whether to tell it of the end, `presence' whether its client is told who is there. moved: the worker is another than the one before.
-module(hornbeam_channel_python).

-export([call/5, answer/1, leave/3, sent/1, reason/1, log/3]).
-export_type([answer/0]).

-define(IS_PAYLOAD(P), (is_binary(P) orelse is_tuple(P) andalso element(1, P) =:= bytes)).
-define(IS_NAME(N), (is_binary(N) andalso byte_size(N) > 0 andalso byte_size(N) =< 255)).
-define(DISPATCH, <<"hornbeam_worker.channels:dispatch">>).
-type payload() :: {json | bytes, binary()}.
-type answer() :: {ok, payload(), Assigns :: binary(), Flags :: #{binary() => term()}} | {error, payload()}
                | {noreply, Assigns :: binary()} | {reply, Status :: binary(), payload(), Assigns :: binary()}
                | {stop, Reason :: binary(), Assigns :: binary(), none | payload()}
                | {push, Event :: binary(), payload(), Assigns :: binary()}.

%% @doc Asks the worker that the connection belongs to. Arguments: of the worker that it is.
-spec call(hornbeam_pool:id(), hornbeam_pool_affinity:belongs(), Kind :: atom(), fun((hornbeam_invocation:worker()) -> [term()]), timeout()) ->
    hornbeam_invocation:invocation().
call(Pool, Belongs, Kind, Arguments, Timeout) ->
    hornbeam_invocation:start(Pool, Belongs, fun(Worker) -> packed(Kind, Arguments(Worker)) end, Timeout).

packed(Kind, Arguments) -> hornbeam_msgpack:encode([?DISPATCH, [Kind | Arguments], #{}]).

%% @doc Tells it of an end. The calling process does not wait, and may end.
-spec leave(hornbeam_pool:id(), [term()], timeout()) -> ok.
leave(Pool, Arguments, Timeout) ->
    Packed = packed(leave, Arguments),
    {ok, _} = hornbeam_call_sup:start_call(fun() ->
        Stream = hornbeam_call_stream:start(#{pool => Pool, kind => value, timeout => Timeout, window => 1, caller => none,
                                              open => fun(Id, _Left) -> hornbeam_frame:encode(invoke, Id, Packed) end}),
        case hornbeam_call_stream:await(Stream) of
            {done, _} -> ok;
            {error, Reason} -> logger:warning("a channel's on_leave was not run: ~0tp", [Reason])
        end
    end),
    ok.

%% @doc What an answer is; error: it is none.
-spec answer(Packed :: binary()) -> answer() | error.
answer(Packed) ->
    case hornbeam_msgpack:decode(Packed) of
        {ok, [<<"ok">>, Response, {bytes, Assigns}, Flags]} when ?IS_PAYLOAD(Response), is_map(Flags) -> {ok, payload(Response), kept(Assigns), Flags};
        {ok, [<<"error">>, Response]} when ?IS_PAYLOAD(Response) -> {error, payload(Response)};
        {ok, [<<"noreply">>, {bytes, Assigns}]} -> {noreply, kept(Assigns)};
        {ok, [<<"reply">>, Status, Response, {bytes, Assigns}]} when ?IS_NAME(Status), ?IS_PAYLOAD(Response) -> {reply, Status, payload(Response), kept(Assigns)};
        {ok, [<<"stop">>, Reason, {bytes, Assigns}, none]} when is_binary(Reason) -> {stop, Reason, kept(Assigns), none};
        {ok, [<<"stop">>, Reason, {bytes, Assigns}, Response]} when is_binary(Reason), ?IS_PAYLOAD(Response) -> {stop, Reason, kept(Assigns), payload(Response)};
        {ok, [<<"push">>, Event, Payload, {bytes, Assigns}]} when ?IS_NAME(Event), ?IS_PAYLOAD(Payload) -> {push, Event, payload(Payload), kept(Assigns)};
        _ -> error
    end.

%% What stays must not keep all that came in the same read.
kept(Assigns) -> binary:copy(Assigns).

payload({bytes, Bytes}) -> {bytes, Bytes};
payload(Text) -> {json, Text}.

-spec sent(hornbeam_channel_codec:payload()) -> binary() | {bytes, binary()}.
sent({bytes, Bytes}) -> {bytes, Bytes};
sent({json, Text}) -> iolist_to_binary(Text).

%%% What has failed

%% @doc The reason as a client is told it: nothing of an exception.
-spec reason(term()) -> binary().
reason(Reason) when Reason =:= timeout; Reason =:= overloaded -> atom_to_binary(Reason);
reason(Reason) when Reason =:= no_pool; Reason =:= worker_died; Reason =:= worker_drained -> <<"unavailable">>;
reason(bad_payload) -> <<"the payload is no JSON">>;
reason(_) -> <<"failed">>.

%% @doc And for the log. What: of which handler.
-spec log(term(), What :: atom(), Topic :: binary()) -> ok.
log(bad_payload, _What, _Topic) ->
    ok;
log({python, Class, Message, Traceback}, What, Topic) ->
    logger:error("~ts of channel ~ts: ~ts: ~ts~n~ts", [What, quoted(Topic), Class, Message, Traceback]);
log(Reason, What, Topic) when is_atom(Reason) ->
    logger:warning("~ts of channel ~ts: ~ts", [What, quoted(Topic), Reason]);
log(Reason, What, Topic) ->
    logger:error("~ts of channel ~ts: ~0tp", [What, quoted(Topic), Reason]).

%% A client has chosen it: it must not make lines of its own.
quoted(Topic) -> hornbeam_json:encode(Topic).
