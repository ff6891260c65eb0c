%%% A helper that is kept: its first start, its ends, and the end of its keeper.
-module(hornbeam_keeper_tests).

-include_lib("eunit/include/eunit.hrl").

-export([start_helper/1]).

%% What the start function does each time, from a list; the last stays.
start_helper(Answers) ->
    case ets:lookup(Answers, next) of
        [{next, [Last]}] -> answer(Last);
        [{next, [Next | Rest]}] -> ets:insert(Answers, {next, Rest}), answer(Next)
    end.

answer(run) -> {ok, spawn_link(fun() -> receive stop -> ok end end)};
answer(Other) -> Other.

keep(Answers) ->
    process_flag(trap_exit, true),
    Table = ets:new(answers, [public]),
    ets:insert(Table, {next, Answers}),
    hornbeam_keeper:start_link(helper, {?MODULE, start_helper, [Table]}).

child(Keeper) ->
    case hornbeam_keeper:child(Keeper) of
        undefined -> timer:sleep(5), child(Keeper);
        Child -> Child
    end.

stop(Keeper) ->
    exit(Keeper, shutdown),
    receive {'EXIT', Keeper, Reason} -> Reason end.

the_first_start_is_the_callers_test() ->
    ?assertEqual({error, {shutdown, full}}, keep([{error, {shutdown, full}}])),
    ?assertEqual(ignore, keep([ignore])).

a_helper_that_ends_is_started_again_test_() ->
    {timeout, 60, fun a_helper_that_ends_is_started_again/0}.

a_helper_that_ends_is_started_again() ->
    {ok, Keeper} = keep([run, run, {error, full}, run]),
    First = child(Keeper),
    exit(First, kill),
    Second = child_after(First, Keeper),
    exit(Second, kill),     % the next start fails, the one after it does not
    Third = child_after(Second, Keeper),
    ?assert(is_process_alive(Third)),
    ?assertEqual(shutdown, stop(Keeper)),
    ?assertNot(is_process_alive(Third)).

child_after(Old, Keeper) ->
    case child(Keeper) of
        Old -> timer:sleep(5), child_after(Old, Keeper);
        New -> New
    end.

a_keeper_without_its_helper_ends_test() ->
    {ok, Keeper} = keep([run, {error, full}]),
    exit(child(Keeper), kill),
    ?assertEqual(shutdown, stop(Keeper)).

%% The helper of a keeper that was killed may still be ending.
it_waits_for_the_end_of_an_earlier_one_test() ->
    Ending = spawn(fun() -> receive stop -> ok end end),
    Self = self(),
    spawn_link(fun() ->
        {ok, Keeper} = keep([{error, {already_started, Ending}}, run]),
        Self ! {started, child(Keeper)},
        receive stop -> ok end
    end),
    receive {started, _} -> ?assert(false) after 50 -> Ending ! stop end,
    ?assert(receive {started, Child} -> is_process_alive(Child) after 5000 -> false end).
