%%% hornbeam_clients: a count for each client address, given back whatever ends a request.
-module(hornbeam_clients_tests).

-include_lib("eunit/include/eunit.hrl").

-define(ME, {127, 0, 0, 1}).

clients_test_() ->
    {foreach, fun() -> {ok, Tables} = hornbeam_tables:start_link(), ok = hornbeam_clients:new(?MODULE), Tables end,
     fun(Tables) -> ok = hornbeam_clients:forget(?MODULE), ok = gen_server:stop(Tables) end,
     [fun(_) -> [{Name, fun() -> in_a_connection(Test) end}] end || {Name, Test} <- [
         {"as many as allowed and no more", fun as_many_as_allowed/0},
         {"one that leaves makes room", fun room/0},
         {"networks of IPv6", fun networks/0},
         {"whatever the numbers, and in whatever order they end", fun numbers/0},
         {"a connection that ends gives all back", fun ends/0}]]}.

enter(Number, Ip, Max) -> hornbeam_clients:enter(?MODULE, Number, Ip, Max).

as_many_as_allowed() ->
    ?assertEqual([ok, ok, ok, full, full], [enter(Number, ?ME, 3) || Number <- lists:seq(1, 5)]),
    ?assertEqual(ok, enter(6, {127, 0, 0, 2}, 3)).

room() ->
    [ok, ok] = [enter(Number, ?ME, 2) || Number <- [1, 2]],
    full = enter(3, ?ME, 2),
    %% What was refused has nothing to give back, nor has one that was never there, nor twice.
    [ok = hornbeam_clients:leave(Number) || Number <- [3, 4, 1, 1]],
    ?assertEqual([ok, full], [enter(Number, ?ME, 2) || Number <- [5, 6]]).

networks() ->
    ok = enter(1, {16#2001, 16#db8, 0, 0, 0, 0, 0, 1}, 1),
    ?assertEqual(full, enter(2, {16#2001, 16#db8, 0, 0, 16#ffff, 2, 3, 4}, 1)),
    ?assertEqual(ok, enter(2, {16#2001, 16#db8, 0, 1, 0, 0, 0, 1}, 1)),
    %% IPv4 behind an IPv6 socket is the same client, and no network.
    ok = enter(3, {192, 0, 2, 1}, 1),
    ?assertEqual(full, enter(4, {0, 0, 0, 0, 0, 16#ffff, 16#c000, 16#0201}, 1)),
    ?assertEqual(ok, enter(4, {0, 0, 0, 0, 0, 16#ffff, 16#c000, 16#0202}, 1)).

numbers() ->
    lists:foldl(
        fun(Seed, Open) ->
            Numbers = [N || {_, N} <- lists:sort([{erlang:phash2({Seed, N}), N} || N <- lists:seq(Seed, 600, 1 + Seed rem 3)])],
            {Stay, Go} = lists:split(Seed, Numbers -- Open),
            [ok = enter(Number, ?ME, 1000) || Number <- Stay ++ Go],
            [ok = hornbeam_clients:leave(Number) || Number <- lists:reverse(Go)],
            Stay ++ Open
        end, [], lists:seq(1, 20)),
    %% 210 have stayed.
    ?assertEqual({790, 210}, {length([ok || N <- lists:seq(1001, 2000), enter(N, ?ME, 1000) =:= ok]), lists:sum(lists:seq(1, 20))}).

%% Whatever it had in progress at its end, and however many there had been at once.
ends() ->
    Three = fun(Number) -> enter(Number, ?ME, 3) end,
    in_a_connection(fun() ->
        [ok, ok] = [Three(Number) || Number <- [1, 2]],
        ok = hornbeam_clients:leave(1),
        [ok, ok, full] = [Three(Number) || Number <- [3, 4, 5]]
    end),
    ?assertEqual([ok, ok, ok, full], [Three(Number) || Number <- [1, 2, 3, 4]]),
    ?assertEqual([self()], hornbeam_clients:connections()).

%% Runs it in a process of its own, whose end is noticed.
in_a_connection(Test) ->
    {Pid, Monitor} = spawn_monitor(Test),
    receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
    ok = hornbeam_clients:ended(Pid),
    ok = hornbeam_clients:ended(Pid).
