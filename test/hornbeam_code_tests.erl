%%% hornbeam_code: the modules that a start is known to need. What is loaded later, and that it is all: hornbeam_layers_tests.
-module(hornbeam_code_tests).

-include_lib("eunit/include/eunit.hrl").

the_modules_are_there_test() ->
    Modules = hornbeam_code:start_modules(),
    ?assertEqual([], Modules -- lists:usort(Modules)),
    ok = load(hornbeam),
    {ok, Own} = application:get_key(hornbeam, modules),
    ?assertEqual([], [Module || Module <- Modules, "hornbeam" ++ _ <- [atom_to_list(Module)], not lists:member(Module, Own)]).

%% In a VM of its own, where there is no Ra: reading options and starting the applications load no module of ours that is not expected.
%% Which of OTP's do, differs between its versions.
a_start_needs_no_others_test_() ->
    {timeout, 60, fun() ->
        Steps = "Loaded = fun() -> [M || {M, _} <- code:all_loaded()] end, Before = Loaded(), "
                "{ok, _} = hornbeam_options:resolve(#{app => \"a:b\"}), {ok, _} = application:ensure_all_started(hornbeam), "
                "io:format(\"~0p.\", [{code:which(ra), (Loaded() -- Before) -- hornbeam_code:start_modules()}]), halt().",
        Ebins = [[" -pa ", filename:join(code:lib_dir(Application), "ebin")] || Application <- [hornbeam, cowboy, cowlib, ranch]],
        Said = os:cmd(lists:flatten(["ERL_LIBS= erl -noshell", Ebins, " -eval '", Steps, "'"])),
        {ok, Tokens, _} = erl_scan:string(Said),
        {ok, {non_existing, Others}} = erl_parse:parse_term(Tokens),
        ?assertEqual([], [Module || Module <- Others, "hornbeam" ++ _ <- [atom_to_list(Module)]])
    end}.

load(Application) ->
    case application:load(Application) of
        ok -> ok;
        {error, {already_loaded, Application}} -> ok
    end.
