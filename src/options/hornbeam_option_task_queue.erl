%%% The type of the entries of the option `task_queues': how many tasks of a queue may run at once, as {Name, Number} or the text "NAME=NUMBER".
%%%
%%% Called through hornbeam_option_types; calls hornbeam_option_text.
-module(hornbeam_option_task_queue).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).
-export_type([limit/0]).

-type limit() :: {Queue :: binary(), AtOnce :: pos_integer()}.

-spec check(term()) -> {ok, limit()} | hornbeam_option_types:problem().
check({Name, Number} = Given) when is_integer(Number), Number > 0 ->
    case hornbeam_option_text:to_text(Name) of
        {ok, <<_, _/binary>> = Text} when byte_size(Text) =< 255 -> {ok, {Text, Number}};
        _ -> wrong(Given)
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case re:run(Text, "^([^=]{1,255})=([1-9]\\d{0,5})$", [dollar_endonly, {capture, all_but_first, binary}]) of
                {match, [Name, Number]} -> {ok, {Name, binary_to_integer(Number)}};
                nomatch -> wrong(Given)
            end;
        _ -> wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(limit()) -> binary().
format({Name, Number}) -> <<Name/binary, "=", (integer_to_binary(Number))/binary>>.

-spec describe() -> iodata().
describe() -> "{Queue, Number} or \"QUEUE=NUMBER\"".
