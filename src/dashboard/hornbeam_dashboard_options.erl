%%% A page of the dashboard: every option as it holds, and where it comes from; secret ones without their values.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_servers, hornbeam_options (mask/1), hornbeam_option_report, hornbeam_dashboard_html.
-module(hornbeam_dashboard_options).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-spec title() -> string().
title() -> "Options".

-spec live() -> pos_integer().
live() -> 10000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name, query := Query}) ->
    {ok, Config} = hornbeam_servers:config(Name),
    Sources = sources(hornbeam_servers:sources(Name), Config),
    Rows = hornbeam_option_report:rows(hornbeam_options:mask(Config), Sources),
    Changed = maps:get(<<"all">>, Query, <<>>) =:= <<>>,
    [{fixed, ["<p class=\"switch\">", switch("/options", "Those that are set", Changed), " ", switch("/options?all=1", "All", not Changed), "</p>"]},
     {live, <<"options">>, hornbeam_dashboard_html:table({"Options", "All options have their defaults."}, ["Option", "Value", "From", "Group"],
        [[Key, {html, ["<code>", hornbeam_dashboard_html:escape(value(Setting)), "</code>"]}, unicode:characters_to_binary(Source), Group]
         || {Key, Group, Setting, Source} <- Rows, not Changed orelse Source =/= "default"])}].

switch(Path, Text, Current) ->
    ["<a href=\"", Path, "\"", [" aria-current=\"true\"" || Current], ">", Text, "</a>"].

value(Setting) ->
    [_, Value] = binary:split(Setting, <<" = ">>),
    Value.

%% What a command knows of its start; what differs from that was changed since. Started by somebody's own code, a server knows only what differs from the defaults.
sources({Started, Sources}, Config) ->
    Changed = [Key || {Key, Value} <- maps:to_list(Config), maps:get(Key, Started, Value) =/= Value],
    maps:merge(Sources, maps:from_keys(Changed, "changed since the start"));
sources(none, Config) ->
    {ok, Defaults} = hornbeam_options:validate(#{}),
    maps:from_keys([Key || {Key, Value} <- maps:to_list(Config), maps:get(Key, Defaults, none) =/= Value], "given by Erlang code").
