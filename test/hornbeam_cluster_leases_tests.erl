%%% hornbeam_cluster_leases: who holds what. Its properties: prop_hornbeam_cluster_leases.
-module(hornbeam_cluster_leases_tests).

-include_lib("eunit/include/eunit.hrl").

-import(hornbeam_cluster_leases, [new/0, apply/3, expire/2, waits/1, query/3, is_name/1, size/1, weight/1]).

-compile({no_auto_import, [apply/3, size/1]}).

-define(A, {a@a, 1, 1}).
-define(B, {b@b, 1, 1}).
-define(C, {b@b, 1, 2}).
-define(X, {lock, <<"x">>}).

at(Index) -> at(Index, 0).
at(Index, Now) -> #{index => Index, now => Now}.

ask(Name, Owner) -> {acquire, Name, Owner, 1, 1000, wait}.

the_next_one_has_a_larger_token_test() ->
    {{held, 5}, [], A} = apply(ask(?X, ?A), at(5), new()),
    {waiting, [], B} = apply(ask(?X, ?B), at(6), A),
    {waiting, [], C} = apply(ask(?X, ?C), at(7), B),
    {busy, [], C} = apply({acquire, ?X, {a@a, 1, 2}, 1, 1000, no_wait}, at(8), C),
    {[?A], [{granted, ?B, 9}], D} = apply({release, [?A]}, at(9), C),
    ?assertEqual(#{holders => [{9, b@b}], waiting => 1}, query({who, ?X}, 0, D)),
    %% Both of the node's go at once, so that none of them is next.
    {2, [], E} = apply({abandon, b@b, 2}, at(10), D),
    ?assertEqual(#{names => 0, held => 0, waiting => 0}, query(counts, 0, E)),
    ?assertNot(waits(E)).

%% Several are granted by one command; the command after it does not go behind the last of them.
tokens_of_one_command_differ_test() ->
    Name = {semaphore, <<"s">>},
    Ask = fun(Number, Limit) -> {acquire, Name, {a@a, Number, Number}, Limit, 1000, wait} end,
    {{held, 3}, [], A} = apply(Ask(1, 1), at(3), new()),
    {waiting, [], B} = apply(Ask(2, 1), at(4), A),
    {waiting, [], C} = apply(Ask(3, 3), at(5), B),
    {waiting, [], D} = apply(Ask(4, 3), at(6), C),
    {[_], [{granted, {a@a, 2, 2}, 7}, {granted, {a@a, 3, 3}, 8}, {granted, {a@a, 4, 4}, 9}], E} =
        apply({release, [{a@a, 1, 1}]}, at(7), D),
    {{held, 10}, [], _} = apply(ask(?X, ?A), at(8), E).

a_lease_lasts_and_ends_test() ->
    {{held, 1}, [], A} = apply(ask(?X, ?A), at(1, 1000), new()),
    {waiting, [], B} = apply(ask(?X, ?B), at(2, 1500), A),
    {[], B} = expire(at(3, 2000), B),
    {{[{1, 1}], []}, [], C} = apply({renew, a@a, 1, [1, 7]}, at(4, 2000), B),
    {{[], []}, [], C} = apply({renew, a@a, 2, [1]}, at(5, 2000), C),
    %% Who waits has a lease as well: b is gone, and does not block.
    {[{gone, ?B}], D} = expire(at(6, 2750), C),
    {[], D} = expire(at(7, 3249), D),
    {[{gone, ?A}], E} = expire(at(8, 3250), D),
    ?assertNot(waits(E)).

the_lease_of_who_is_granted_begins_anew_test() ->
    {{held, 1}, [], A} = apply(ask(?X, ?A), at(1, 0), new()),
    {waiting, [], B} = apply(ask(?X, ?B), at(2, 0), A),
    {[?A], [{granted, ?B, 3}], C} = apply({release, [?A, ?A]}, at(3, 1000), B),
    {[], C} = expire(at(4, 2000), C),
    ?assertMatch({[{gone, ?B}], _}, expire(at(5, 2250), C)).

claims_are_bounded_test_() ->
    {timeout, 60, fun() ->
        Full = lists:foldl(fun(Number, State) ->
            {{held, _}, [], More} = apply({acquire, {lock, integer_to_binary(Number)}, {a@a, 1, Number}, 1, 60000, wait}, at(Number), State),
            More
        end, new(), lists:seq(1, 200000)),
        ?assertEqual({200000, 80000000}, size(Full)),
        {{refused, too_many}, [], Full} = apply(ask(?X, ?B), at(200001), Full),
        %% Who is known already is answered.
        {{held, 7}, [], Full} = apply({acquire, {lock, <<"7">>}, {a@a, 1, 7}, 1, 60000, wait}, at(200002), Full)
    end}.

names_are_bounded_test() ->
    ?assert(is_name({leader, binary:copy(<<"x">>, 512)})),
    [?assertNot(is_name(Name)) || Name <- [{leader, binary:copy(<<"x">>, 513)}, {lock, <<>>}, {lock, x}, {other, <<"x">>}, <<"x">>]].

every_command_has_a_weight_test() ->
    [?assert(weight(Op) > 0) || Op <- [ask(?X, ?A), {renew, a@a, 1, [1]}, {release, [?A]}, {abandon, a@a, none}]].
