%%% What `hornbeam config` prints: every option's value as a line of a configuration file, and where it comes from.
%%%
%%% Pure functions of a table and of what hornbeam_options has resolved and masked. Called by hornbeam_options and hornbeam_dashboard_options; calls
%%% hornbeam_option_table for the order, hornbeam_option_types, _sources and _toml.
-module(hornbeam_option_report).

-export([lines/3, rows/2]).
-export_type([sources/0]).

%% Where each option's value comes from; one that is not in it has its default.
-type sources() :: #{atom() => iodata()}.

%% Comments begin below each other where the values are short.
-define(COLUMN, 44).

%% In the order of the documentation. Which: all options, or only those whose value comes from somewhere.
-spec lines(hornbeam_options:options(), sources(), all | changed) -> unicode:chardata().
lines(Options, Sources, Which) ->
    [line(Setting, Source) || {_, _, Setting, Source} <- rows(Options, Sources), Which =:= all orelse Source =/= "default"].

%% @doc The same as rows: key, heading of its group, the line of a configuration file, where the value comes from.
-spec rows(hornbeam_options:options(), sources()) -> [{Key :: atom(), Group :: string(), Setting :: binary(), Source :: iodata()}].
rows(Options, Sources) ->
    [{Key, Heading, setting(Spec, maps:get(Key, Options)), source(Spec, maps:get(Key, Options), Sources)}
     || {Group, Heading} <- hornbeam_option_table:groups(), #{key := Key, group := G} = Spec <- hornbeam_option_table:specs(), G =:= Group].

setting(#{key := Key, type := Type}, Value) ->
    unicode:characters_to_binary(hornbeam_option_toml:line(Key, hornbeam_option_types:format(Type, Value))).

line(Setting, Source) ->
    [Setting, lists:duplicate(max(0, ?COLUMN - string:length(Setting)), $\s), "  # ", Source, "\n"].

source(#{key := Key} = Spec, Value, Sources) ->
    case {Sources, Spec} of
        {#{Key := Source}, _} -> Source;
        {_, #{implied_by := Others, default := Default}} when Value =/= Default ->
            ["implied by ", lists:join(", ", [atom_to_list(Other) || Other <- Others, is_map_key(Other, Sources)])];
        _ -> "default"
    end.
