%%% The type of the entries of the option `channel_modules': topics that a module of Erlang's handles, as {Pattern, Module} or the text
%%% "PATTERN=MODULE". A pattern is a topic, or a beginning and "*".
%%%
%%% Called through hornbeam_option_types; calls hornbeam_option_text.
-module(hornbeam_option_channel).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).
-export_type([channel/0]).

-type channel() :: {Pattern :: binary(), module()}.

-spec check(term()) -> {ok, channel()} | hornbeam_option_types:problem().
check({Pattern, Module} = Given) when is_atom(Module) ->
    case hornbeam_option_text:to_text(Pattern) of
        {ok, Text} -> pattern(Text, Module, Given);
        _ -> wrong(Given)
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case re:run(Text, "^(.+)=([a-z][a-zA-Z0-9_@]{0,200})$", [dollar_endonly, {capture, all_but_first, binary}]) of
                {match, [Pattern, Module]} -> pattern(Pattern, binary_to_atom(Module), Given);
                nomatch -> wrong(Given)
            end;
        _ -> wrong(Given)
    end.

pattern(Text, Module, Given) ->
    case Text =/= <<>> andalso byte_size(Text) =< 255 andalso binary:match(binary:part(Text, 0, byte_size(Text) - 1), <<"*">>) of
        nomatch -> {ok, {Text, Module}};
        _ -> wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(channel()) -> binary().
format({Pattern, Module}) -> <<Pattern/binary, "=", (atom_to_binary(Module))/binary>>.

-spec describe() -> iodata().
describe() -> "{Pattern, Module} or \"PATTERN=MODULE\", the pattern a topic or a beginning and \"*\"".
