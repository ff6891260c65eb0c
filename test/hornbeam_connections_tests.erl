%%% Places for connections: the limit, and each way in which a place is given back.
-module(hornbeam_connections_tests).

-include_lib("eunit/include/eunit.hrl").

-define(REF, {hornbeam, tests, 1}).

with_counter_test_() ->
    {foreach,
     fun() ->
         {ok, Tables} = hornbeam_tables:start_link(),
         {ok, Counter} = hornbeam_connections:start_link(fun() -> [] end),
         [Counter, Tables]
     end,
     fun(Started) -> [ok = gen_server:stop(Pid) || Pid <- Started] end,
     [{timeout, 60, Test} || Test <- [fun limit/0, fun addresses_count_alone/0, fun every_end_gives_the_place_back/0]]}.

%% A connection that stays until it is told to end.
connection(Ref, Max) ->
    Self = self(),
    Pid = spawn(fun() ->
        Self ! {self(), hornbeam_connections:enter(Ref, Max)},
        loop()
    end),
    receive {Pid, Answer} -> {Answer, Pid} end.

loop() ->
    receive
        {leave, From} -> ok = hornbeam_connections:leave(), From ! left, loop();
        {finish, Reason} -> exit(Reason)
    end.

count() ->
    hornbeam_connections:count(tests).

limit() ->
    Open = [Pid || _ <- lists:seq(1, 3), {ok, Pid} <- [connection(?REF, 3)]],
    ?assertEqual(3, length(Open)),
    ?assertMatch({full, _}, connection(?REF, 3)),
    ?assertEqual(3, count()),
    ?assertMatch({ok, _}, connection(?REF, 4)),
    ?assertMatch({ok, _}, connection(?REF, infinity)).

addresses_count_alone() ->
    {ok, _} = connection(?REF, 1),
    {ok, _} = connection({hornbeam, tests, 2}, 1),
    {ok, _} = connection({hornbeam, others, 1}, 1),
    ?assertEqual(2, count()).

every_end_gives_the_place_back() ->
    Ends = [fun(Pid) -> Pid ! {finish, normal} end, fun(Pid) -> Pid ! {finish, crash} end, fun(Pid) -> exit(Pid, kill) end,
            fun(Pid) -> Pid ! {leave, self()}, receive left -> ok end end],
    _ = [begin
        {ok, Pid} = connection(?REF, 1),
        End(Pid),
        await:until(fun() -> count() =:= 0 end)
    end || End <- Ends],
    %% Left, and then ended: once.
    {ok, Pid} = connection(?REF, 1),
    Pid ! {leave, self()},
    receive left -> ok end,
    {ok, _} = connection(?REF, 1),
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ?assertEqual(1, count()) end.
