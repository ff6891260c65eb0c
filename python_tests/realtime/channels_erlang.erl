%%% Channels that Erlang handles, for test_erlang.py: each event is one behaviour. And what the tests ask of the VM.
-module(channels_erlang).

-behaviour(hornbeam_channel).

-export([start/0, join/3, handle_in/3, intercepts/0, handle_out/3, terminate/2]).

%% Functions that services_app calls by name.
start() ->
    _ = spawn(fun() -> registered(100) end),
    ok.

registered(Left) ->
    try ok = hornbeam:register_function(<<"channels">>, fun left/1)
    catch _:_ when Left > 0 -> timer:sleep(50), registered(Left - 1)
    end.

%% Processes of calls, subscriptions, WebSockets that are open.
left([]) ->
    [hornbeam_pubsub:subscriptions(), length(supervisor:which_children(hornbeam_call_sup))].

join(<<"erl:forbidden">>, _Params, _Socket) -> {error, #{reason => <<"forbidden">>}};
join(<<"erl:crash">>, _Params, _Socket) -> error(the_secret_of_join);
join(<<"erl:wrong">>, _Params, _Socket) -> wrong;
join(Topic, Params, Socket) -> {ok, #{topic => Topic, params => Params}, Socket#{assigns := #{n => 0}}}.

handle_in(<<"echo">>, Payload, Socket) -> {reply, ok, payload(Payload), Socket};
handle_in(<<"refuse">>, _Payload, Socket) -> {reply, error, #{reason => no}, Socket};
handle_in(<<"count">>, _Payload, #{assigns := #{n := N}} = Socket) -> {reply, ok, #{n => N + 1}, Socket#{assigns := #{n => N + 1}}};
handle_in(<<"say">>, Payload, #{topic := Topic} = Socket) ->
    ok = hornbeam_channel:broadcast(Topic, <<"said">>, payload(Payload)),
    {noreply, Socket};
handle_in(<<"say_others">>, Payload, #{topic := Topic, token := Token} = Socket) ->
    ok = hornbeam_channel:broadcast_from(Token, Topic, <<"said">>, payload(Payload)),
    {noreply, Socket};
handle_in(<<"say_filtered">>, Payload, #{topic := Topic} = Socket) ->
    ok = hornbeam_channel:broadcast(Topic, <<"filtered">>, payload(Payload)),
    {noreply, Socket#{assigns := #{n => maps:get(<<"n">>, Payload)}}};
handle_in(<<"push">>, _Payload, Socket) ->
    ok = hornbeam_channel:push(Socket, <<"pushed">>, #{a => 1}),
    {noreply, Socket};
handle_in(<<"later">>, _Payload, Socket) ->
    _ = spawn(fun() -> ok = hornbeam_channel:reply(Socket, ok, #{late => true}) end),
    {noreply, Socket};
handle_in(<<"stop">>, _Payload, Socket) -> {stop, normal, Socket};
handle_in(<<"crash">>, _Payload, _Socket) -> error(the_secret_of_crash);
handle_in(<<"wrong">>, _Payload, _Socket) -> wrong;
handle_in(<<"not_json">>, _Payload, Socket) -> {reply, ok, #{pid => self()}, Socket}.

intercepts() -> [<<"filtered">>].

handle_out(<<"filtered">>, #{<<"n">> := N} = Payload, #{assigns := #{n := Own}} = Socket) ->
    case Own of
        N -> {push, Payload#{own => true}, Socket};
        _ -> {noreply, Socket}
    end.

terminate(Reason, #{topic := Topic}) ->
    io:format("terminated ~ts ~0tp~n", [Topic, Reason]).

payload({bytes, _} = Bytes) -> Bytes;
payload(Map) when is_map(Map) -> Map;
payload(Value) -> #{value => Value}.
