%%% A page of the dashboard: who subscribes to what on this node, WebSockets, functions and hooks that are registered.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_subscribers, hornbeam_websockets, hornbeam_callbacks, hornbeam_hook_registry, hornbeam_dashboard_html.
-module(hornbeam_dashboard_topics).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, facts/1, section/2]).

%% How many topics are looked at, and how many of them are shown.
-define(LOOKED_AT, 5000).
-define(SHOWN, 100).

-spec title() -> string().
title() -> "Topics and channels".

-spec live() -> pos_integer().
live() -> 2000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name}) ->
    {Topics, Some} = hornbeam_subscribers:counts(?LOOKED_AT),
    {Channels, Others} = lists:partition(fun({Topic, _}) -> is_channel(Topic) end, Some),
    #{open := Open, opened := Opened, refused := Refused, slow_dropped := Dropped, slow_closed := Closed} = hornbeam_websockets:stats(Name),
    [{live, <<"websockets">>, section("WebSockets", facts([{"Open", Open}, {"Opened", Opened}, {"Refused", Refused},
                                                           {"Messages dropped", Dropped}, {"Closed as too slow", Closed}]))},
     {live, <<"channels">>, table({"Channels: topics with clients on this node", "No client has joined a channel."}, ["Topic", {number, "Clients"}],
                                  [[channel(Topic), Count] || {Topic, Count} <- most(Channels)])},
     {live, <<"topics">>, [table({"Topics with subscribers on this node", "Nobody subscribes to a topic."}, ["Topic or pattern", {number, "Subscriptions"}],
                                 [[Topic, Count] || {Topic, Count} <- most(Others)]),
                           [io_lib:format("<p>~b of ~b topics were looked at.</p>", [?LOOKED_AT, Topics]) || Topics > ?LOOKED_AT]]},
     {live, <<"functions">>, names("Functions of Erlang that Python may call", hornbeam_callbacks:names())},
     {live, <<"hooks">>, names("Hooks that somebody handles", hornbeam_hook_registry:all())}].

is_channel(<<"channel:", _/binary>>) -> true;
is_channel(_) -> false.

channel(<<"channel:", Topic/binary>>) -> Topic.

most(Counts) ->
    lists:sublist(lists:sort(fun({A, N}, {B, M}) -> {-N, A} =< {-M, B} end, Counts), ?SHOWN).

names(_Heading, []) -> [];
names(Heading, Names) ->
    [section(Heading, ["<ul>", [["<li>", hornbeam_dashboard_html:escape(text(Name)), "</li>"] || Name <- lists:sublist(Names, ?SHOWN)], "</ul>"])].

text(Name) when is_binary(Name); is_atom(Name) -> Name;
text(Name) -> io_lib:format("~0tp", [Name]).
