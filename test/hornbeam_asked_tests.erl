%%% Questions to another process: answered, with its end for an answer, bounded.
-module(hornbeam_asked_tests).
-behaviour(gen_server).

-include_lib("eunit/include/eunit.hrl").

-export([init/1, handle_call/3, handle_cast/2]).

init([]) -> {ok, []}.
handle_call(stop, _From, State) -> {stop, normal, State};
handle_call(hold, From, Held) -> {noreply, [From | Held]};
handle_call({echo, Value}, _From, State) -> {reply, Value, State}.
handle_cast(_, State) -> {noreply, State}.

started() ->
    {ok, Pid} = gen_server:start(?MODULE, [], []),
    Pid.

meaning({ok, Value}) -> {ok, Value};
meaning(gone) -> {error, connection_error, <<"gone">>}.

asked(Id, Pid, Request, Asked) ->
    {ok, Now} = hornbeam_asked:ask(Id, {Pid, Request, fun meaning/1}, Asked),
    Now.

next(Asked) ->
    receive Message -> hornbeam_asked:answered(Message, Asked) after 5000 -> none end.

each_answer_goes_to_its_question_test() ->
    Pid = started(),
    Asked = asked(2, Pid, {echo, b}, asked(1, Pid, {echo, a}, hornbeam_asked:new())),
    {Id, First, Left} = next(Asked),
    {Other, Second, None} = next(Left),
    ?assertEqual([{1, {ok, a}}, {2, {ok, b}}], lists:sort([{Id, First}, {Other, Second}])),
    ?assertEqual(ignore, hornbeam_asked:answered({'DOWN', make_ref(), process, Pid, normal}, None)),
    gen_server:stop(Pid).

who_ends_before_the_answer_is_gone_test() ->
    Pid = started(),
    Asked = asked(7, Pid, hold, hornbeam_asked:new()),
    exit(Pid, kill),
    ?assertMatch({7, {error, connection_error, <<"gone">>}, _}, next(Asked)).

who_has_ended_is_gone_test() ->
    Pid = started(),
    gen_server:stop(Pid),
    ?assertMatch({7, {error, connection_error, <<"gone">>}, _}, next(asked(7, Pid, hold, hornbeam_asked:new()))).

other_messages_are_not_answers_test() ->
    Asked = asked(1, started(), hold, hornbeam_asked:new()),
    [?assertEqual(ignore, hornbeam_asked:answered(Message, Asked))
     || Message <- [hello, {make_ref(), x}, {[alias | make_ref()], x}, {'DOWN', make_ref(), process, self(), normal}, {timeout, make_ref(), x}]].

questions_are_bounded_test() ->
    Pid = started(),
    Full = lists:foldl(fun(Id, Asked) -> asked(Id, Pid, hold, Asked) end, hornbeam_asked:new(), lists:seq(1, 10000)),
    ?assertEqual({error, too_many_calls}, hornbeam_asked:ask(10001, {Pid, hold, fun meaning/1}, Full)),
    exit(Pid, kill),
    {_, _, Left} = next(Full),
    ?assertMatch({ok, _}, hornbeam_asked:ask(10001, {Pid, hold, fun meaning/1}, Left)),
    receive_all().

receive_all() ->
    receive _ -> receive_all() after 100 -> ok end.
