%%% One channel of a connection: a topic that its client has joined, or is joining, and what waits to be handled there, one after the other.
%%%
%%% Called by: hornbeam_channel_connection, in the connection's process. Calls: hornbeam_channel_python (handlers in Python), modules of the behaviour
%%% hornbeam_channel (handlers in Erlang), hornbeam_channel_codec (frames for the client), hornbeam_history (what the client has missed), hornbeam_presence
%%% (whose entries end with the channel).
%%%
%%%     joining ──ok──▶ joined ──leave, stop, a handler that fails, the end of the connection──▶ over
%%%        └──error, timeout──▶ over
%%%
%%% A handler in Python is an invocation: while one runs the rest waits. Its worker ends: over, and the client is told `phx_error', after which it joins again.
%%% Without one that runs nothing happens: the next event goes to another worker, and is told so (`moved').
%%%
%%% Every function answers with what is to be done, in order: effects of hornbeam_websocket, and
%%%   {called, Ref}, {ended, Ref}   an invocation whose messages are for this channel
%%%   continue                      continue/1 is next, as soon as the client has taken what there is for it
%%%   over                          the channel is no more
%%%
%%% Limits: events that wait count for the window of the connection, which stops reading; intercepted broadcasts, ?MAX_WAITING: more are dropped.
-module(hornbeam_channel_joined).

-export([join/4, event/4, continue/1, told/3, intercept/3, leave/3, close/2, is_of/2, pushed/3, replied/4, presence_state/1]).
-export_type([channel/0, effect/0, context/0]).

-define(MAX_WAITING, 1000).

%% What is the same for all channels of a connection.
-type context() :: #{pool := hornbeam_pool:id(), belongs := hornbeam_pool_affinity:belongs(), token := hornbeam_channel:token(), timeout := timeout()}.
-type effect() :: hornbeam_websocket:effect() | {called | ended, reference()} | continue | over.
-type payload() :: hornbeam_channel_codec:payload().
%% count: of the client's message (hornbeam_credit), consumed when it is handled.
-type work() :: {event, Event :: binary(), payload(), Ref :: binary() | null, Count :: pos_integer()} | {intercept, Event :: binary(), payload()}.

-record(channel, {
    topic :: binary(),
    join_ref :: binary() | null,
    flavour :: hornbeam_channel_codec:flavour(),
    handler :: python | module(),
    assigns :: term(),
    context :: context(),
    joining :: none | {Ref :: binary() | null, Count :: pos_integer()},
    leaves = false :: boolean(),                                % Python wants to know of its end
    intercepts = [] :: [binary()],
    running = none :: none | due | {join | work(), hornbeam_invocation:invocation()},
    waiting = queue:new() :: queue:queue(work()),
    intercepted = 0 :: non_neg_integer(),                       % of those that wait
    worker = none :: none | hornbeam_invocation:worker()        % the last one that handled something
}).
-opaque channel() :: #channel{}.

%% @doc A client wants to join.
-spec join(hornbeam_channel_codec:message(), Count :: pos_integer(), {python | module(), Assigns :: term()}, context()) -> {[effect()], channel()}.
join(#{join_ref := JoinRef, ref := Ref, topic := Topic, event := {control, Flavour, join}, payload := Params}, Count, {Handler, Assigns}, Context) ->
    Channel = #channel{topic = Topic, join_ref = JoinRef, flavour = Flavour, handler = Handler, assigns = Assigns, context = Context, joining = {Ref, Count}},
    case Handler of
        python -> call(join, fun(#{token := Token}, _) -> [Topic, JoinRef, hornbeam_channel_python:sent(Params), {bytes, Assigns}, {bytes, Token}] end, Channel);
        _ -> joined(of_module(Handler, in_erlang(fun(Value) -> Handler:join(Topic, Value, socket(Ref, Channel)) end, Params)), Channel)
    end.

%% @doc The client has sent an event.
-spec event(Event :: binary(), payload(), {Ref :: binary() | null, Count :: pos_integer()}, channel()) -> {[effect()], channel()}.
event(Event, Payload, {Ref, Count}, Channel) ->
    work({event, Event, Payload, Ref, Count}, Channel).

%% @doc A broadcast has come of an event that the channel wants to see first.
-spec intercept(Event :: binary(), payload(), channel()) -> {[effect()], channel()}.
intercept(_Event, _Payload, #channel{intercepted = Waiting} = Channel) when Waiting >= ?MAX_WAITING -> {[], Channel};
intercept(Event, Payload, #channel{intercepted = Waiting} = Channel) -> work({intercept, Event, Payload}, Channel#channel{intercepted = Waiting + 1}).

work(Work, #channel{waiting = Waiting} = Channel) ->
    next(Channel#channel{waiting = queue:in(Work, Waiting)}, []).

%% @doc Whether a message is for this joining of the topic, and not for one before.
-spec is_of(JoinRef :: binary() | null, channel()) -> boolean().
is_of(JoinRef, #channel{join_ref = JoinRef}) -> true;
is_of(null, _Channel) -> true;
is_of(_, _) -> false.

%%% Running

%% What waits is due when nothing runs.
next(#channel{running = none, joining = none, waiting = Waiting} = Channel, Effects) ->
    case queue:is_empty(Waiting) of
        true -> {Effects, Channel};
        false -> {Effects ++ [continue], Channel#channel{running = due}}
    end;
next(Channel, Effects) ->
    {Effects, Channel}.

%% @doc Begins what is due: the client has taken the answers before.
-spec continue(channel()) -> {[effect()], channel()}.
continue(#channel{running = due, waiting = Waiting} = Channel) ->
    {{value, Work}, Rest} = queue:out(Waiting),
    run(Work, Channel#channel{running = none, waiting = Rest});
continue(Channel) ->
    {[], Channel}.

run({intercept, _, _} = Work, #channel{intercepted = Waiting} = Channel) -> begun(Work, Channel#channel{intercepted = Waiting - 1});
run(Work, Channel) -> begun(Work, Channel).

begun({event, Event, Payload, Ref, _Count} = Work, #channel{handler = python, worker = Before} = Channel) ->
    call(Work, fun(Context, Worker) -> message(Event, Payload, Context, Channel) ++ [Ref, Before =/= Worker] end, Channel);
begun({intercept, Event, Payload} = Work, #channel{handler = python} = Channel) ->
    call(Work, fun(Context, _Worker) -> message(Event, Payload, Context, Channel) end, Channel);
begun({event, Event, Payload, Ref, _} = Work, #channel{handler = Module} = Channel) ->
    handled(in_erlang(fun(Value) -> Module:handle_in(Event, Value, socket(Ref, Channel)) end, Payload), Work, Channel);
begun({intercept, Event, Payload} = Work, #channel{handler = Module} = Channel) ->
    handled(in_erlang(fun(Value) -> Module:handle_out(Event, Value, socket(null, Channel)) end, Payload), Work, Channel).

message(Event, Payload, #{token := Token}, #channel{topic = Topic, join_ref = JoinRef, assigns = Assigns}) ->
    [Topic, JoinRef, Event, hornbeam_channel_python:sent(Payload), {bytes, Assigns}, {bytes, Token}].

call(What, Arguments, #channel{context = #{pool := Pool, belongs := Belongs, timeout := Timeout} = Context} = Channel) ->
    Kind = case What of join -> join; _ -> element(1, What) end,
    Invocation = hornbeam_channel_python:call(Pool, Belongs, Kind, fun(Worker) -> Arguments(Context, Worker) end, Timeout),
    {[{called, hornbeam_invocation:ref(Invocation)}], Channel#channel{running = {What, Invocation}}}.

%% @doc A message of its invocation.
-spec told({{pid(), reference()}, term()}, reference(), channel()) -> {[effect()], channel()}.
told(Message, Ref, #channel{running = {What, Invocation}} = Channel) ->
    case hornbeam_invocation:event(Message, Invocation) of
        {going, Going} ->
            {[], Channel#channel{running = {What, Going}}};
        {ended, Result} ->
            {Effects, Next} = ended(Result, What, Channel#channel{running = none, worker = hornbeam_invocation:worker(Invocation)}),
            {[{ended, Ref} | Effects], Next}
    end.

ended({ok, Packed}, What, Channel) -> answered(hornbeam_channel_python:answer(Packed), What, Channel);
ended({error, Reason}, What, Channel) -> failed(Reason, What, Channel).

answered(error, What, Channel) -> failed(bad_answer, What, Channel);
answered(Answer, join, Channel) -> joined(Answer, Channel);
answered(Answer, Work, Channel) -> handled(Answer, Work, Channel).

%%% What came of it

joined({ok, Response, Assigns, Flags}, #channel{joining = {Ref, Count}, topic = Topic} = Channel0) ->
    Channel = Channel0#channel{joining = none, assigns = Assigns, leaves = maps:get(<<"leave">>, Flags, false), intercepts = [binary:copy(Event) || Event <- maps:get(<<"intercepts">>, Flags, [])]},
    Then = fun(Position) ->
        [reply(Ref, <<"ok">>, Response, Channel), {consumed, Count}] ++ missed(maps:get(<<"last_id">>, Flags, none), Position, Channel)
        ++ [presence(Channel) || maps:get(<<"presence">>, Flags, false)]
    end,
    next(Channel, [{subscribe, hornbeam_channels:topic(Topic), Channel#channel.intercepts, hornbeam_history:keeper(maps:get(<<"history">>, Flags, none)), Then}]);
joined({error, Response}, Channel) ->
    not_joined(Response, Channel);
joined(Failed, Channel) ->
    failed(Failed, join, Channel).

%% What a client that comes back has not seen, before what comes from now on; what the channel intercepts, by its handler. One that comes for the first
%% time is told where it begins: a client of Phoenix's does not come back with it.
missed(_LastId, none, _Channel) -> [];
missed(none, Position, #channel{topic = Topic, flavour = hb}) ->
    [{reply, hornbeam_channel_codec:broadcast(Topic, <<"hb_position">>, {json, <<"{}">>}, hornbeam_history:id_of(Position))}];
missed(none, _Position, _Channel) -> [];
missed(LastId, Position, #channel{topic = Topic, intercepts = Intercepts}) ->
    [again(Topic, Message, Id =/= none andalso lists:member(Event, Intercepts)) || {Id, Event, _} = Message <- hornbeam_history:missed(Topic, LastId, Position)].

again(Topic, {Id, Event, Payload}, false) -> {reply, hornbeam_channel_codec:broadcast(Topic, Event, Payload, Id)};
again(Topic, {Id, Event, Payload}, true) -> {back, {websocket_published, hornbeam_channels:topic(Topic), {Event, Payload, Id}}}.

%% @doc Tells the client who is there. Read where it is written, so that no diff that this knows nothing of is before it.
-spec presence_state(channel()) -> {[effect()], channel()}.
presence_state(Channel) -> {[presence(Channel)], Channel}.

presence(#channel{join_ref = JoinRef, topic = Topic}) ->
    {push, fun() -> hornbeam_channel_codec:push(JoinRef, Topic, <<"presence_state">>, {json, hornbeam_presence:list(Topic)}) end}.

handled({noreply, Assigns}, Work, Channel) ->
    next(Channel#channel{assigns = Assigns}, consumed(Work));
handled({reply, Status, Response, Assigns}, {event, _, _, Ref, _} = Work, Channel) ->
    next(Channel#channel{assigns = Assigns}, answer(Ref, Status, Response, Channel) ++ consumed(Work));
handled({push, same, Payload, Assigns}, {intercept, Event, _} = Work, Channel) ->
    handled({push, Event, Payload, Assigns}, Work, Channel);
handled({push, Event, Payload, Assigns}, {intercept, _, _}, #channel{join_ref = JoinRef, topic = Topic} = Channel) ->
    next(Channel#channel{assigns = Assigns}, [{push, hornbeam_channel_codec:push(JoinRef, Topic, Event, Payload)}]);
handled({stop, Reason, Assigns, Response}, {event, _, _, Ref, _} = Work, Channel) ->
    Answer = case Response of none -> []; _ -> answer(Ref, <<"ok">>, Response, Channel) end,
    {Answer ++ consumed(Work) ++ over(close, Reason, Channel#channel{assigns = Assigns}), Channel};
handled(Failed, Work, Channel) ->
    failed(Failed, Work, Channel).

answer(null, _Status, _Response, _Channel) -> [];
answer(Ref, Status, Response, Channel) -> [reply(Ref, Status, Response, Channel)].

consumed({event, _, _, _, Count}) -> [{consumed, Count}];
consumed(_Intercepted) -> [].

%% A handler that took too long has failed for this message only; where a join has, there is no channel.
failed(Reason, join, Channel) ->
    ok = hornbeam_channel_python:log(Reason, join, Channel#channel.topic),
    not_joined(reason(Reason), Channel);
failed(Reason, {event, _, _, Ref, _} = Work, Channel) when Reason =:= timeout; Reason =:= overloaded; Reason =:= no_pool; Reason =:= bad_payload ->
    next(Channel, answer(Ref, <<"error">>, reason(Reason), Channel) ++ consumed(Work));
failed(Reason, Work, Channel) ->
    ok = hornbeam_channel_python:log(Reason, element(1, Work), Channel#channel.topic),
    {consumed(Work) ++ over(error, hornbeam_channel_python:reason(Reason), Channel), Channel}.

%% What its client has sent meanwhile is for no channel.
not_joined(Response, #channel{joining = {JoinRef, Count}, topic = Topic, waiting = Waiting} = Channel) ->
    ok = hornbeam_presence:untrack(Topic, self()),
    Refused = [answer(Ref, <<"error">>, hornbeam_channel_codec:reason(<<"unmatched topic">>), Channel) ++ consumed(Work) || {event, _, _, Ref, _} = Work <- queue:to_list(Waiting)],
    {[reply(JoinRef, <<"error">>, Response, Channel), {consumed, Count}] ++ lists:append(Refused) ++ [over], Channel}.

%% Its client learns nothing of an exception.
reason(Reason) -> hornbeam_channel_codec:reason(hornbeam_channel_python:reason(Reason)).

reply(Ref, Status, Response, #channel{flavour = Flavour, join_ref = JoinRef, topic = Topic}) ->
    {reply, hornbeam_channel_codec:reply(Flavour, JoinRef, Ref, Topic, Status, Response)}.

%%% From elsewhere, for this client alone

%% @doc A message that its application pushes.
-spec pushed(Event :: binary(), payload(), channel()) -> {[effect()], channel()}.
pushed(Event, Payload, #channel{join_ref = JoinRef, topic = Topic} = Channel) ->
    {[{push, hornbeam_channel_codec:push(JoinRef, Topic, Event, Payload)}], Channel}.

%% @doc An answer that comes later.
-spec replied(Ref :: binary() | null, Status :: binary(), payload(), channel()) -> {[effect()], channel()}.
replied(Ref, Status, Response, Channel) ->
    {answer(Ref, Status, Response, Channel), Channel}.

%%% The end

%% @doc The client leaves.
-spec leave(Ref :: binary() | null, Count :: pos_integer(), channel()) -> [effect()].
leave(Ref, Count, Channel) ->
    [reply(Ref, <<"ok">>, {json, <<"{}">>}, Channel), {consumed, Count} | over(close, <<"leave">>, Channel)].

%% @doc The channel ends with its connection, or another joining takes its place.
-spec close(replaced | closed, channel()) -> [effect()].
close(closed, Channel) -> [Effect || {ended, _} = Effect <- over(close, <<"closed">>, Channel)];
close(replaced, Channel) -> over(close, <<"replaced">>, Channel).

%% What waits is consumed, since it is handled no more.
over(How, Reason, #channel{topic = Topic, join_ref = JoinRef, flavour = Flavour, joining = Joining, running = Running, waiting = Waiting} = Channel) ->
    Payload = {json, <<"{}">>},
    ok = leaves(Reason, Channel),
    ok = hornbeam_presence:untrack(Topic, self()),
    [{ended, hornbeam_invocation:ref(Invocation)} || {_, Invocation} <- [Running], ok =:= hornbeam_invocation:stop(Invocation)]
    ++ [{consumed, Count} || {_, Count} <- [Joining]]
    ++ lists:append([consumed(Work) || {Work, _} <- [Running], is_tuple(Work)])
    ++ lists:append([consumed(Work) || Work <- queue:to_list(Waiting)])
    ++ [{unsubscribe, hornbeam_channels:topic(Topic)},
        {reply, hornbeam_channel_codec:push(JoinRef, Topic, hornbeam_channel_codec:control(Flavour, How), Payload)}, over].

leaves(_Reason, #channel{joining = Joining}) when Joining =/= none ->
    ok;
leaves(Reason, #channel{handler = python, leaves = true, topic = Topic, join_ref = JoinRef, assigns = Assigns,
                        context = #{pool := Pool, token := Token, timeout := Timeout}}) ->
    hornbeam_channel_python:leave(Pool, [Topic, JoinRef, Reason, {bytes, Assigns}, {bytes, Token}], Timeout);
leaves(Reason, #channel{handler = Module} = Channel) when Module =/= python ->
    _ = erlang:function_exported(Module, terminate, 2) andalso guarded(fun() -> Module:terminate(Reason, socket(null, Channel)) end),
    ok;
leaves(_Reason, _Channel) ->
    ok.

%%% Handlers in Erlang

socket(Ref, #channel{topic = Topic, join_ref = JoinRef, assigns = Assigns, context = #{token := Token}}) ->
    #{topic => Topic, join_ref => JoinRef, ref => Ref, assigns => Assigns, token => Token}.

in_erlang(Fun, {bytes, _} = Payload) -> guarded(fun() -> of_erlang(Fun(Payload)) end);
in_erlang(Fun, {json, Text}) ->
    case hornbeam_json:decode(iolist_to_binary(Text)) of
        {ok, Value} -> guarded(fun() -> of_erlang(Fun(Value)) end);
        error -> bad_payload
    end.

of_module(Module, {ok, Response, Assigns, Flags}) ->
    {ok, Response, Assigns, case erlang:function_exported(Module, intercepts, 0) of true -> Flags#{<<"intercepts">> => Module:intercepts()}; false -> Flags end};
of_module(_Module, Answer) ->
    Answer.

%% What a handler returns, as Python's answers are.
of_erlang({ok, #{assigns := Assigns}}) -> {ok, {json, <<"{}">>}, Assigns, #{}};
of_erlang({ok, Response, #{assigns := Assigns}}) -> {ok, payload(Response), Assigns, #{}};
of_erlang({error, Response}) -> {error, payload(Response)};
of_erlang({noreply, #{assigns := Assigns}}) -> {noreply, Assigns};
of_erlang({reply, Status, Response, #{assigns := Assigns}}) -> {reply, atom_to_binary(Status), payload(Response), Assigns};
of_erlang({push, Payload, #{assigns := Assigns}}) -> {push, same, payload(Payload), Assigns};
of_erlang({stop, Reason, #{assigns := Assigns}}) -> {stop, Reason, Assigns, none};
of_erlang(Other) -> {bad_return, Other}.

payload(Payload) -> hornbeam_channel:encoded(Payload).

guarded(Fun) ->
    try Fun()
    catch Class:Reason:Stack -> {Class, Reason, Stack}
    end.
