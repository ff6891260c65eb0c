%%% The type of the entries of the option `schedules': a Python function that is run at times.
%%%
%%% Reads {Name, Function, Options} and the text "NAME=MODULE:FUNCTION;every=5m;key=value". Called through hornbeam_option_types and
%%% hornbeam_option_toml; hornbeam_schedules runs what comes of it. Calls hornbeam_option_text. What a cron line means is looked at by a worker.
-module(hornbeam_option_schedule).

-behaviour(hornbeam_option_types).

-export([check/1, from_table/2, format/1, describe/0, duration/1]).
-export_type([schedule/0]).

%% Options: as hornbeam_schedule:new/2 has them, times in ms.
-type schedule() :: {Name :: binary(), Function :: binary(), Options :: #{binary() => term()}}.

-define(TIMES, [<<"every">>, <<"jitter">>, <<"timeout">>, <<"backoff">>]).
-define(TEXTS, [<<"cron">>, <<"tz">>, <<"missed">>, <<"queue">>]).
-define(NUMBERS, [<<"retries">>, <<"priority">>]).
-define(FLAGS, [<<"durable">>]).

-spec check(term()) -> {ok, schedule()} | hornbeam_option_types:problem().
check({Name, Function, Options} = Given) when is_map(Options); is_list(Options) ->
    case {hornbeam_option_text:to_text(Name), hornbeam_option_text:to_text(Function)} of
        {{ok, N}, {ok, F}} -> checked(N, F, pairs(Options), Given);
        _ -> wrong(Given)
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} ->
            case hornbeam_option_text:entry(Text) of
                {ok, Name, Function, Pairs} -> checked(Name, Function, Pairs, Given);
                error -> wrong(Given)
            end;
        _ ->
            wrong(Given)
    end.

-spec from_table(#{binary() => term()}, term()) -> {term(), term(), #{binary() => term()}}.
from_table(Table, _Read) ->
    {maps:get(<<"name">>, Table, <<>>), maps:get(<<"function">>, Table, <<>>), maps:without([<<"name">>, <<"function">>], Table)}.

pairs(Options) when is_map(Options) -> maps:to_list(Options);
pairs(Options) -> Options.

checked(Name, Function, Pairs, Given) ->
    Named = re:run(Name, "^[A-Za-z0-9_.-]{1,100}$", [dollar_endonly]) =/= nomatch,
    Found = re:run(Function, "^[^:\\s]+:[^:\\s]+$", [unicode, dollar_endonly]) =/= nomatch,
    case Named andalso Found andalso lists:foldl(fun option/2, #{}, Pairs) of
        #{<<"every">> := _, <<"cron">> := _} -> {error, "has both every and cron", Given};
        #{<<"cron">> := Line} = Options -> cron(length(string:lexemes(Line, " \t")), Name, Function, Options, Given);
        #{<<"tz">> := _} -> {error, "has tz without cron", Given};
        #{<<"every">> := Every} = Options when Every >= 1000 -> {ok, {Name, Function, Options}};
        #{<<"every">> := _} -> {error, "must be a second apart at least", Given};
        #{} -> {error, "needs every or cron", Given};
        {unknown, Key} -> {error, ["has an option that cannot be: ", hornbeam_option_text:show(Key)], Given};
        false -> wrong(Given)
    end.

cron(Fields, Name, Function, Options, _Given) when Fields =:= 5; Fields =:= 6 -> {ok, {Name, Function, Options}};
cron(_, _, _, _, Given) -> {error, "has a cron line that is not five fields (or six, with seconds first)", Given}.

option({Given, Value}, Done) when is_map(Done) ->
    {ok, Key} = hornbeam_option_text:to_text(Given),
    case value(Key, Value) of
        {ok, Read} -> Done#{Key => Read};
        error -> {unknown, Key}
    end;
option({Given}, Done) when is_map(Done) -> {unknown, Given};
option(_, Wrong) -> Wrong.

value(Key, Value) ->
    case [Kind || {Kind, Keys} <- [{time, ?TIMES}, {text, ?TEXTS}, {number, ?NUMBERS}, {flag, ?FLAGS}], lists:member(Key, Keys)] of
        [time] -> duration(Value);
        [text] -> text(Key, hornbeam_option_text:to_text(Value));
        [number] -> number(Value);
        [flag] -> flag(Value);
        [] -> error
    end.

text(<<"missed">>, {ok, Policy}) when Policy =/= <<"skip">>, Policy =/= <<"once">>, Policy =/= <<"all">> -> error;
text(_, Text) -> Text.

number(N) when is_integer(N) -> {ok, N};
number(Text) when is_binary(Text) ->
    try {ok, binary_to_integer(Text)}
    catch error:badarg -> error
    end;
number(_) -> error.

flag(Flag) when is_boolean(Flag) -> {ok, Flag};
flag(<<"true">>) -> {ok, true};
flag(<<"false">>) -> {ok, false};
flag(_) -> error.

%% @doc "90s", "5m", "1h30m", "2d", "250ms"; a number is milliseconds.
-spec duration(term()) -> {ok, non_neg_integer()} | error.
duration(Ms) when is_integer(Ms), Ms >= 0 -> {ok, Ms};
duration(Given) when is_binary(Given); is_list(Given) ->
    case re:run(Given, "^(?:(\\d{1,6})d)?(?:(\\d{1,6})h)?(?:(\\d{1,6})m)?(?:(\\d{1,9})s)?(?:(\\d{1,12})ms)?$",
                [dollar_endonly, {capture, all_but_first, list}]) of
        {match, [_ | _] = Parts} ->
            Units = lists:sublist([86400000, 3600000, 60000, 1000, 1], length(Parts)),
            {ok, lists:sum([list_to_integer(Part) * Unit || {Part, Unit} <- lists:zip(Parts, Units), Part =/= ""])};
        _ -> error
    end;
duration(_) -> error.

wrong(Given) -> {error, ["must be ", describe()], Given}.

-spec format(schedule()) -> hornbeam_option_toml:value().
format({Name, Function, Options}) ->
    {table, [{<<"name">>, Name}, {<<"function">>, Function} | lists:sort(maps:to_list(Options))]}.

-spec describe() -> iodata().
describe() -> "{Name, Function, Options} or \"NAME=MODULE:FUNCTION;every=5m\", with cron=, tz=, jitter=, missed= and options of a task".
