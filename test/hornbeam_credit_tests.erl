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

room_test() ->
    ?assertEqual([10, 1, 0, 0], [hornbeam_credit:room(Uncredited, 10) || Uncredited <- [0, 9, 10, 11]]).
