%%% Applications below a path or of a host: the type of the option `mounts`.
%%%
%%% Reads {Prefix, App}, {Prefix, App, Overrides} and the text "PREFIX=APP;key=value;key=value" that flags
%%% and environment variables use; a prefix may have a host before it (hornbeam_option_place). Called through hornbeam_option_types, and by
%%% hornbeam_reload; calls hornbeam_option_table for the options
%%% that a mount may override, and hornbeam_option_types for their values.
-module(hornbeam_option_mount).

-behaviour(hornbeam_option_types).

-export([check/1, with/2, anchor/2, format/1, describe/0, with_overrides/2]).
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
    case anchor_all(maps:to_list(Overrides), Base, #{}) of
        {ok, Anchored} -> {ok, {Prefix, App, Anchored}};
        {error, Text} -> {error, ["in the mount ", Prefix, ": ", Text]}
    end.

-spec format(mount()) -> hornbeam_option_toml:value().
format({Place, App, Overrides}) ->
    Where = case hornbeam_option_place:split(Place) of
        {any, Prefix} -> [{<<"prefix">>, Prefix}];
        {Host, Prefix} -> [{<<"host">>, Host} | [{<<"prefix">>, Prefix} || Prefix =/= <<>>]]
    end,
    Options = [{atom_to_binary(Key), hornbeam_option_types:format(Type, maps:get(Key, Overrides))}
               || #{key := Key, type := Type} <- hornbeam_option_table:specs(), is_map_key(Key, Overrides)],
    {table, Where ++ [{<<"app">>, App} | Options]}.

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
    case overrides(Pairs, #{}) of
        {ok, Overrides} -> {ok, {Prefix, App, Overrides}};
        {error, Text} -> {error, ["in the mount ", Prefix, ": ", Text]}
    end;
with_given(Prefix, _, error) ->
    {error, ["in the mount ", Prefix, ": its options must be a map or a property list"]}.

check_text(Text) ->
    [Mount | Options] = [string:trim(Part) || Part <- binary:split(Text, <<";">>, [global])],
    Pairs = [binary:split(Option, <<"=">>) || Option <- Options, Option =/= <<>>],
    case {binary:split(Mount, <<"=">>), lists:all(fun(Pair) -> length(Pair) =:= 2 end, Pairs)} of
        {[Prefix, App], true} -> check({Prefix, App, parsed(collect(Pairs, []))});
        _ -> wrong()
    end.

pairs(Given) when is_map(Given) -> {ok, maps:to_list(Given)};
pairs(Given) when length(Given) >= 0 ->
    case lists:all(fun(Item) -> is_tuple(Item) andalso tuple_size(Item) =:= 2 end, Given) of
        true -> {ok, maps:to_list(maps:from_list(Given))};
        false -> error
    end;
pairs(_) -> error.

%% [[K, "1"], [K, "2"]] -> [{K, ["1", "2"]}]: a key may be repeated where its option is a list.
collect([[Name, Value] | Rest], Done) ->
    Texts = proplists:get_value(Name, Done, []) ++ [unicode:characters_to_list(Value)],
    collect(Rest, lists:keystore(Name, 1, Done, {Name, Texts}));
collect([], Done) ->
    Done.

%% Names are compared with the table's: no atom is made of them. An unknown one stays text, which is refused.
parsed(Texts) ->
    Known = maps:from_list([{atom_to_binary(Key), Spec} || #{key := Key} = Spec <- hornbeam_option_table:specs()]),
    [case Known of
         #{Name := #{key := Key, type := Type}} -> {Key, hornbeam_option_types:parse(Type, Values)};
         #{} -> {Name, Values}
     end || {Name, Values} <- Texts].

overrides([{Key, Given} | Rest], Done) ->
    case hornbeam_option_table:find(Key) of
        {ok, #{scope := mount} = Spec} ->
            case hornbeam_option_types:value(Spec, Given) of
                {ok, Value} -> overrides(Rest, Done#{Key => Value});
                {error, {bad_option, _, Text}} -> {error, [atom_to_list(Key), " ", Text]}
            end;
        _ ->
            Allowed = [K || #{key := K, scope := mount} <- hornbeam_option_table:specs()],
            Names = hornbeam_option_text:names(Allowed),
            {error, [hornbeam_option_text:show(Key), " is not an option of a mount",
                     hornbeam_option_text:suggest(Key, Names), "; these are: ", lists:join(", ", Names)]}
    end;
overrides([], #{venv := Venv, python := _}) when Venv =/= <<>> ->
    {error, "venv and python cannot both be given"};
overrides([], Done) ->
    {ok, Done}.

anchor_all([{Key, Value} | Rest], Base, Done) ->
    {ok, #{type := Type}} = hornbeam_option_table:find(Key),
    case hornbeam_option_types:anchor(Type, Value, Base) of
        {ok, Anchored} -> anchor_all(Rest, Base, Done#{Key => Anchored});
        {error, Text} -> {error, [atom_to_list(Key), " ", Text]}
    end;
anchor_all([], _, Done) ->
    {ok, Done}.
