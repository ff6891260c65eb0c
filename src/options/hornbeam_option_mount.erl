%%% Applications below a path or of a host: the type of the option `mounts`.
%%%
%%% Reads {Prefix, App}, {Prefix, App, Overrides} and the text "PREFIX=APP;key=value;key=value" that flags
%%% and environment variables use; a prefix may have a host before it (hornbeam_option_place). Called through hornbeam_option_types, and by
%%% hornbeam_reload, by hornbeam_option_service for the options that a service has like a mount; calls hornbeam_option_table for the options
%%% that a mount may override, and hornbeam_option_types for their values.
-module(hornbeam_option_mount).

-behaviour(hornbeam_option_types).

-export([check/1, with/2, from_table/2, anchor/2, format/1, describe/0, with_overrides/2]).
-export([pairs/1, overrides/4, split/2, anchor_all/2, formatted/1]).
-export_type([mount/0]).

%% A place begins with a host or "/", does not end with "/" and is not "/" itself. Overrides holds only what was given for this
%% mount, normalised: with_overrides/2 lays it over the server's options.
-type mount() :: {hornbeam_option_place:place(), App :: binary(), Overrides :: #{atom() => term()}}.

-spec check(term()) -> {ok, mount()} | hornbeam_option_types:problem().
check({Prefix, App}) ->
    check({Prefix, App, #{}});
check({Prefix, App, Given}) ->
    case {hornbeam_option_place:parse(Prefix), hornbeam_option_types:check(app, App)} of
        {{ok, P}, {ok, A}} -> with_given(P, A, pairs(Given));
        {{error, _, _} = Problem, _} -> Problem;
        {_, {error, Text, Culprit}} -> {error, ["has an application that ", Text], Culprit}
    end;
check(Given) ->
    case hornbeam_option_text:is_text(Given) andalso hornbeam_option_text:to_text(Given) of
        {ok, Text} -> check_text(Text);
        _ -> wrong()
    end.

-spec from_table(#{binary() => term()}, Read) -> {Place, term(), [{atom() | binary(), term()}]}
    when Read :: fun((binary(), term()) -> {atom() | binary(), term()}), Place :: term().
from_table(Table, Read) ->
    Prefix = maps:get(<<"prefix">>, Table, <<>>),
    Place = case Table of
        #{<<"host">> := Host} -> {Host, Prefix};
        #{} -> Prefix
    end,
    Options = maps:without([<<"host">>, <<"prefix">>, <<"app">>], Table),
    {Place, maps:get(<<"app">>, Table, <<>>), [Read(Key, Value) || {Key, Value} <- maps:to_list(Options)]}.

%% @doc A mount and further options for it, which are stronger than its own.
-spec with(term(), #{atom() => term()} | [{atom(), term()}]) -> {ok, mount()} | hornbeam_option_types:problem().
with(Given, More) ->
    case {check(Given), pairs(More)} of
        {{ok, {Place, App, Overrides}}, {ok, Pairs}} -> with_given(Place, App, {ok, maps:to_list(maps:merge(Overrides, maps:from_list(Pairs)))});
        {{ok, {Place, App, _}}, error} -> with_given(Place, App, error);
        {Problem, _} -> Problem
    end.

-spec anchor(mount(), binary()) -> {ok, mount()} | hornbeam_option_types:problem().
anchor({Prefix, App, Overrides}, Base) ->
    case anchor_all(Overrides, Base) of
        {ok, Anchored} -> {ok, {Prefix, App, Anchored}};
        {error, Text} -> {error, ["in the mount ", Prefix, ": ", Text]}
    end.

-spec format(mount()) -> hornbeam_option_toml:value().
format({Place, App, Overrides}) ->
    Where = case hornbeam_option_place:split(Place) of
        {any, Prefix} -> [{<<"prefix">>, Prefix}];
        {Host, Prefix} -> [{<<"host">>, Host} | [{<<"prefix">>, Prefix} || Prefix =/= <<>>]]
    end,
    {table, Where ++ [{<<"app">>, App} | [{atom_to_binary(Key), Value} || {Key, Value} <- formatted(Overrides)]]}.

%% @doc Normalised options as a configuration file would have them, in the order of the table.
-spec formatted(#{atom() => term()}) -> [{atom(), hornbeam_option_toml:value()}].
formatted(Options) ->
    [{Key, hornbeam_option_types:format(Type, maps:get(Key, Options))}
     || #{key := Key, type := Type} <- hornbeam_option_table:specs(), is_map_key(Key, Options)].

-spec describe() -> iodata().
describe() -> "{Prefix, App}, {Prefix, App, Options} or \"PREFIX=APP[;OPTION=VALUE]...\"".

%% The options that a mount's workers run with. Its own interpreter replaces the server's, however that was given.
-spec with_overrides(map(), #{atom() => term()}) -> map().
with_overrides(Options, Overrides) ->
    Interpreter = case Overrides of
        #{venv := Venv} when Venv =/= <<>> -> #{python => default(python)};
        #{python := _} -> #{venv => default(venv)};
        #{} -> #{}
    end,
    maps:merge(maps:merge(Options, Interpreter), Overrides).

default(Key) ->
    {ok, #{default := Given} = Spec} = hornbeam_option_table:find(Key),
    {ok, Default} = hornbeam_option_types:value(Spec, Given),
    Default.

%% The value is not quoted: it may hold an `env` with secrets in it.
wrong() -> {error, ["must be ", describe()]}.

with_given(Prefix, App, {ok, Pairs}) ->
    Keys = [Key || #{key := Key, scope := mount} <- hornbeam_option_table:specs()],
    case overrides(Pairs, Keys, Keys, #{}) of
        {ok, Overrides} -> {ok, {Prefix, App, Overrides}};
        {error, Text} -> {error, ["in the mount ", Prefix, ": ", Text]}
    end;
with_given(Prefix, _, error) ->
    {error, ["in the mount ", Prefix, ": its options must be a map or a property list"]}.

check_text(Text) ->
    case split(Text, []) of
        {ok, Prefix, App, Pairs} -> check({Prefix, App, Pairs});
        error -> wrong()
    end.

%% @doc "NAME=APP;key=value;key=value": the parts, with the values of known keys read. Names: other names of options.
-spec split(binary(), [{binary(), atom()}]) -> {ok, binary(), binary(), [{atom() | binary(), term()}]} | error.
split(Text, Names) ->
    case hornbeam_option_text:entry(Text) of
        {ok, Name, App, Options} ->
            case [Pair || {_, _} = Pair <- Options] of
                Options -> {ok, Name, App, parsed(collect(Options, []), Names)};
                _ -> error
            end;
        error ->
            error
    end.

%% @doc A map or a property list as pairs, each key once.
-spec pairs(term()) -> {ok, [{term(), term()}]} | error.
pairs(Given) when is_map(Given) -> {ok, maps:to_list(Given)};
pairs(Given) when length(Given) >= 0 ->
    case lists:all(fun(Item) -> is_tuple(Item) andalso tuple_size(Item) =:= 2 end, Given) of
        true -> {ok, maps:to_list(maps:from_list(Given))};
        false -> error
    end;
pairs(_) -> error.

%% [{K, "1"}, {K, "2"}] -> [{K, ["1", "2"]}]: a key may be repeated where its option is a list.
collect([{Name, Value} | Rest], Done) ->
    Texts = proplists:get_value(Name, Done, []) ++ [unicode:characters_to_list(Value)],
    collect(Rest, lists:keystore(Name, 1, Done, {Name, Texts}));
collect([], Done) ->
    Done.

%% Names are compared with the table's: no atom is made of them. An unknown one stays text, which is refused.
parsed(Texts, Others) ->
    Specs = [{atom_to_binary(Key), Spec} || #{key := Key} = Spec <- hornbeam_option_table:specs()],
    Known = maps:from_list(Specs ++ [{Name, proplists:get_value(atom_to_binary(Key), Specs)} || {Name, Key} <- Others]),
    [case Known of
         #{Name := #{key := Key, type := Type}} -> {Key, hornbeam_option_types:parse(Type, Values)};
         #{} -> {Name, Values}
     end || {Name, Values} <- Texts].

%% @doc The options of one mount or service, normalised. Allowed: which it may have, Shown: as they are named in an error.
-spec overrides([{term(), term()}], Shown :: [atom()], Allowed :: [atom()], Done) -> {ok, Done} | {error, iodata()}
    when Done :: #{atom() => term()}.
overrides([{Key, Given} | Rest], Shown, Allowed, Done) ->
    case lists:member(Key, Allowed) andalso hornbeam_option_table:find(Key) of
        {ok, Spec} ->
            case hornbeam_option_types:value(Spec, Given) of
                {ok, Value} -> overrides(Rest, Shown, Allowed, Done#{Key => Value});
                {error, {bad_option, _, Text}} -> {error, [atom_to_list(Key), " ", Text]}
            end;
        false ->
            Names = hornbeam_option_text:names(Shown),
            What = case Shown of Allowed -> "mount"; _ -> "service" end,
            {error, [hornbeam_option_text:show(Key), " is not an option of a ", What,
                     hornbeam_option_text:suggest(Key, Names), "; these are: ", lists:join(", ", Names)]}
    end;
overrides([], _, _, #{venv := Venv, python := _}) when Venv =/= <<>> ->
    {error, "venv and python cannot both be given"};
overrides([], _, _, Done) ->
    {ok, Done}.

%% @doc Their relative paths as absolute ones.
-spec anchor_all(#{atom() => term()}, binary()) -> {ok, #{atom() => term()}} | {error, iodata()}.
anchor_all(Options, Base) ->
    anchor_all(maps:to_list(Options), Base, #{}).

anchor_all([{Key, Value} | Rest], Base, Done) ->
    {ok, #{type := Type}} = hornbeam_option_table:find(Key),
    case hornbeam_option_types:anchor(Type, Value, Base) of
        {ok, Anchored} -> anchor_all(Rest, Base, Done#{Key => Anchored});
        {error, Text} -> {error, [atom_to_list(Key), " ", Text]}
    end;
anchor_all([], _, Done) ->
    {ok, Done}.
