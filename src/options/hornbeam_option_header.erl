%%% A field that every response gets: the type of the option `headers'.
%%%
%%% Called through hornbeam_option_types. What frames a message, or belongs to the connection, is refused: the protocols say it themselves,
%%% as they do the date.
-module(hornbeam_option_header).

-behaviour(hornbeam_option_types).

-export([check/1, describe/0, format/1]).

-define(OWN, [<<"connection">>, <<"content-length">>, <<"date">>, <<"keep-alive">>, <<"proxy-connection">>, <<"te">>, <<"trailer">>,
              <<"transfer-encoding">>, <<"upgrade">>]).

%% The name in lower case, the value without the space around it.
-spec check(term()) -> {ok, {Name :: binary(), Value :: binary()}} | hornbeam_option_types:problem().
check({Name0, Value0} = Given) ->
    case {hornbeam_option_text:to_text(Name0), hornbeam_option_text:to_text(Value0)} of
        {{ok, Name}, {ok, Value}} -> field(string:lowercase(Name), string:trim(Value, both, " \t"), Given);
        _ -> wrong(Given)
    end;
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case binary:split(Text, <<":">>) of
                [Name, Value] -> check({Name, Value});
                [_] -> wrong(Given)
            end;
        error ->
            wrong(Given)
    end.

%% RFC 9110, 5.5 and 5.6.2.
field(Name, Value, Given) ->
    case {re:run(Name, "^[a-z0-9!#$%&'*+.^_`|~-]+$", [dollar_endonly]), re:run(Value, "[\\x00-\\x08\\x0a-\\x1f\\x7f]")} of
        {{match, _}, nomatch} ->
            case lists:member(Name, ?OWN) of
                false -> {ok, {Name, Value}};
                true -> {error, ["names a field that is the server's to say: ", Name]}
            end;
        _ ->
            wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec describe() -> iodata().
describe() -> "{Name, Value} or \"NAME:VALUE\"".

-spec format({binary(), binary()}) -> binary().
format({Name, Value}) -> <<Name/binary, ": ", Value/binary>>.
