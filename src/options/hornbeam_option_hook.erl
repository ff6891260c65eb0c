%%% A hook: the type of the option `http_hooks'.
%%%
%%% Reads a module, a map of stages to funs or {Module, Function}, and the texts "MODULE" and "STAGE=MODULE:FUNCTION;..." that flags,
%%% environment variables and files use. Names in them become atoms: they are the operator's, and few. Whether the modules are there is looked at
%%% later (hornbeam_http_hook_modules). Called through hornbeam_option_types; calls hornbeam_option_text.
-module(hornbeam_option_hook).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).
-export_type([hook/0]).

-type stage() :: on_request | on_response | on_error.
-type hook() :: module() | #{stage() => fun() | {module(), Function :: atom()}}.

-define(STAGES, [{on_request, 1}, {on_response, 3}, {on_error, 3}]).

-spec check(term()) -> {ok, hook()} | hornbeam_option_types:problem().
check(Given) when is_map(Given), map_size(Given) > 0 -> check_stages(maps:to_list(Given));
check(Module) when is_atom(Module) -> {ok, Module};
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} -> check_text(Text);
        _ -> wrong(Given)
    end.

check_stages(Stages) ->
    case [Stage || Stage <- Stages, not is_stage(Stage)] of
        [] -> {ok, maps:from_list(Stages)};
        [{Stage, Fun} | _] when is_function(Fun) ->
            {error, ["must have functions on_request/1, on_response/3 and on_error/3; not so ", hornbeam_option_text:show(Stage)]};
        [Wrong | _] -> wrong(Wrong)
    end.

is_stage({Stage, Function}) ->
    case {lists:keyfind(Stage, 1, ?STAGES), Function} of
        {false, _} -> false;
        {_, {Module, Name}} -> is_atom(Module) andalso is_atom(Name);
        {{_, Arity}, Fun} -> is_function(Fun, Arity)
    end.

check_text(Text) ->
    Parts = [string:trim(Part) || Part <- binary:split(Text, <<";">>, [global])],
    case [binary:split(Part, [<<"=">>, <<":">>], [global]) || Part <- Parts] of
        [[Module]] -> check_names([Module], fun([Atom]) -> {ok, Atom} end, Text);
        Stages -> check_named(Stages, [], Text)
    end.

check_named([[Stage, Module, Function] | Rest], Done, Text) ->
    case [Known || {Known, _} <- ?STAGES, atom_to_binary(Known) =:= Stage] of
        [Known] ->
            check_names([Module, Function], fun([M, F]) -> check_named(Rest, [{Known, {M, F}} | Done], Text) end, Text);
        [] ->
            {error, ["has the stage ", Stage, ", which is none of on_request, on_response and on_error"]}
    end;
check_named([], Done, _Text) ->
    {ok, maps:from_list(Done)};
check_named(_, _Done, Text) ->
    wrong(Text).

check_names(Names, Then, Text) ->
    case lists:all(fun(Name) -> re:run(Name, "^[a-z][a-zA-Z0-9_@]{0,99}$", [dollar_endonly]) =/= nomatch end, Names) of
        true -> Then([binary_to_atom(Name) || Name <- Names]);
        false -> wrong(Text)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(hook()) -> binary().
format(Module) when is_atom(Module) -> atom_to_binary(Module);
format(Stages) ->
    iolist_to_binary(lists:join(";", [[atom_to_binary(Stage), "=", function(maps:get(Stage, Stages))]
                                      || {Stage, _} <- ?STAGES, is_map_key(Stage, Stages)])).

function({Module, Function}) -> [atom_to_binary(Module), ":", atom_to_binary(Function)];
function(_Fun) -> "(fun)".

-spec describe() -> iodata().
describe() -> "a module, \"MODULE\", \"STAGE=MODULE:FUNCTION[;...]\", or a map of on_request, on_response and on_error to funs or {Module, Function}".
