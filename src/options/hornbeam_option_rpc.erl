%%% The type of the entries of the option `rpc_allow`: {Module, Function}, `all`, or the texts "module:function"
%%% and "all". Names in it become atoms: they are the operator's, and few.
%%%
%%% Called through hornbeam_option_types; calls hornbeam_option_text.
-module(hornbeam_option_rpc).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).
-export_type([entry/0]).

-type entry() :: all | {module(), atom()}.

-spec check(term()) -> {ok, entry()} | hornbeam_option_types:problem().
check(all) ->
    {ok, all};
check({Module, Function}) when is_atom(Module), is_atom(Function) ->
    {ok, {Module, Function}};
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, <<"all">>} -> {ok, all};
        {ok, Text} -> names(binary:split(Text, <<":">>, [global]), Given);
        _ -> wrong(Given)
    end.

names([Module, Function], _Given) when Module =/= <<>>, byte_size(Module) =< 255,
                                       Function =/= <<>>, byte_size(Function) =< 255 ->
    {ok, {binary_to_atom(Module), binary_to_atom(Function)}};
names(_, Given) ->
    wrong(Given).

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(entry()) -> binary().
format(all) -> <<"all">>;
format({Module, Function}) -> <<(atom_to_binary(Module))/binary, ":", (atom_to_binary(Function))/binary>>.

-spec describe() -> iodata().
describe() -> "{Module, Function}, \"MODULE:FUNCTION\" or all".
