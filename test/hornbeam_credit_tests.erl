%%% hornbeam_credit: what both sides of the wire must agree on. That the rule cannot stop: prop_hornbeam_credit.
-module(hornbeam_credit_tests).

-include_lib("eunit/include/eunit.hrl").

vectors_test_() ->
    Vectors = wire_vectors:read(<<"credit">>),
    [{lists:flatten(io_lib:format("~s ~w", [Name, Vector])), ?_assertEqual(Expected, apply_rule(Name, Arguments))}
     || {Name, Rows} <- maps:to_list(Vectors), Vector <- Rows,
        {Arguments, [Expected]} <- [lists:split(length(Vector) - 1, Vector)]].

apply_rule(Name, Arguments) ->
    apply(hornbeam_credit, binary_to_atom(Name), Arguments).

wide_test() ->
    Mib = 1048576,
    ?assertEqual([0, 4, 4096, Mib - 4, Mib, Mib, Mib, Mib + 1],
                 [hornbeam_credit:wide(Window) || Window <- [0, 1, 1024, Mib div 4 - 1, Mib div 4, Mib div 4 + 1, Mib, Mib + 1]]).

room_test() ->
    ?assertEqual([10, 1, 0, 0], [hornbeam_credit:room(Uncredited, 10) || Uncredited <- [0, 9, 10, 11]]).
