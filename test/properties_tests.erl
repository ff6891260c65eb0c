%%% Runs PropEr under EUnit: every prop_*/0 of every prop_* module in the test folder is one test. The properties stand in
%%% modules of their own because proper.hrl and eunit.hrl define the same macros.
-module(properties_tests).

-include_lib("eunit/include/eunit.hrl").

%% More than a machine needs that has much else to do.
-define(SECONDS, 900).

properties_test_() ->
    [{lists:concat([Module, ":", Property]), {timeout, ?SECONDS, fun() -> holds(Module, Property) end}}
     || Module <- modules(), Property <- properties(Module)].

holds(Module, Property) ->
    %% What PropEr prints, the shrunk counterexample included, EUnit shows when the test fails.
    ?assertEqual(true, proper:quickcheck(Module:Property(), [nocolors])).

modules() ->
    Beams = filelib:wildcard("prop_*.beam", filename:dirname(code:which(?MODULE))),
    [list_to_atom(filename:basename(Beam, ".beam")) || Beam <- Beams].

properties(Module) ->
    [Name || {Name, 0} <- Module:module_info(exports), lists:prefix("prop_", atom_to_list(Name))].
