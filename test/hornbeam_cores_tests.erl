%%% hornbeam_cores: the number of schedulers while many WebSockets are open, in VMs of their own.
-module(hornbeam_cores_tests).

-include_lib("eunit/include/eunit.hrl").

-define(STEPS, "begin hornbeam_cores:serving(), "
               "[begin hornbeam_cores:websockets(N), erlang:system_info(schedulers_online) end || N <- [255, 256, 257, 128, 127]] end").

online(Flags) ->
    Ebin = filename:dirname(code:which(hornbeam_cores)),
    Command = ["erl -noshell ", Flags, " -pa ", Ebin, " -eval 'io:format(\"~w\", [", ?STEPS, "]), halt().'"],
    os:cmd(lists:flatten(Command)).

all_cores_while_many_are_open_test_() ->
    {timeout, 60, ?_assertEqual("[2,4,4,4,2]", online("+S 4:4 -half_of_the_cores"))}.

a_number_that_somebody_chose_stays_test_() ->
    [{timeout, 60, ?_assertEqual("[3,3,3,3,3]", online("+S 4:3"))},
     {timeout, 60, ?_assertEqual("[4,4,4,4,4]", online("+S 4:4"))}].
