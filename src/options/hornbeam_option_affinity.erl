%%% What tells which worker a request belongs to: the type of the option `affinity'.
%%%
%%% Reads cookie, client, {cookie, Name}, {header, Name}, {query, Name}, {path, Number} and the text "KIND" or "KIND:NAME". Called through
%%% hornbeam_option_types. Calls hornbeam_option_text.
-module(hornbeam_option_affinity).

-behaviour(hornbeam_option_types).

-export([check/1, format/1, describe/0]).
-export_type([source/0]).

%% cookie: the server's own. Names of header fields are lower-case. off: nothing (a mount's, where the server has something).
-type source() :: cookie | client | off | {cookie | header | query, Name :: binary()} | {path, Segment :: 1..100}.

-spec check(term()) -> {ok, source()} | hornbeam_option_types:problem().
check(Alone) when Alone =:= cookie; Alone =:= client; Alone =:= off -> {ok, Alone};
check({path, Number}) when is_integer(Number), Number >= 1, Number =< 100 -> {ok, {path, Number}};
check({Kind, Name} = Given) when Kind =:= cookie; Kind =:= header; Kind =:= query ->
    case hornbeam_option_text:to_text(Name) of
        {ok, Text} -> named(Kind, Text, Given);
        error -> wrong(Given)
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} -> text(binary:split(string:trim(Text), <<":">>), Given);
        _ -> wrong(Given)
    end.

text([<<"cookie">>], _Given) -> {ok, cookie};
text([<<"client">>], _Given) -> {ok, client};
text([<<"off">>], _Given) -> {ok, off};
text([<<"cookie">>, Name], Given) -> named(cookie, Name, Given);
text([<<"header">>, Name], Given) -> named(header, Name, Given);
text([<<"query">>, Name], Given) -> named(query, Name, Given);
text([<<"path">>, Number], Given) ->
    case re:run(Number, "^([1-9][0-9]?|100)$", [dollar_endonly]) of
        {match, _} -> {ok, {path, binary_to_integer(Number)}};
        nomatch -> wrong(Given)
    end;
text(_, Given) -> wrong(Given).

%% RFC 9110, 5.1; RFC 6265, 4.1.1. A parameter's name is compared as it is sent.
named(query, Name, Given) ->
    matching(query, Name, "^[^&=#?\\s[:cntrl:]]+$", Given);
named(header, Name, Given) ->
    matching(header, string:lowercase(Name), "^[a-z0-9!#$%&'*+.^_`|~-]+$", Given);
named(cookie, Name, Given) ->
    matching(cookie, Name, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", Given).

matching(Kind, Name, Pattern, Given) ->
    case re:run(Name, Pattern, [dollar_endonly]) of
        {match, _} -> {ok, {Kind, Name}};
        nomatch -> wrong(Given)
    end.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(source()) -> binary().
format({path, Number}) -> <<"path:", (integer_to_binary(Number))/binary>>;
format({Kind, Name}) -> <<(atom_to_binary(Kind))/binary, $:, Name/binary>>;
format(Alone) -> atom_to_binary(Alone).

-spec describe() -> iodata().
describe() -> "cookie, cookie:NAME, header:NAME, query:NAME, path:NUMBER, client or off".
