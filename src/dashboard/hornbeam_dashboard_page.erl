%%% The behaviour of a page of the dashboard, and which pages there are.
%%%
%%% Called by: hornbeam_dashboard_handler (a whole page), hornbeam_dashboard_events (what has changed of it), hornbeam_dashboard_layout (the menu). Calls: the pages.
%%%
%%% A page is a list of parts. One that is live has an id, and is sent again every live/0 ms to those who look, if it is another then; one that is
%%% fixed is sent with the page alone; a function makes it then, and not each time that the live ones are made. Every page is complete without JavaScript.
-module(hornbeam_dashboard_page).

-export([all/0, find/1, parts/2]).
-export_type([context/0, part/0]).

%% csrf: what a form sends back.
-type context() :: #{name := atom(), csrf := binary(), query := #{binary() => binary()}, path := binary()}.
-type part() :: {live, Id :: binary(), hornbeam_dashboard_html:html()} | {fixed, hornbeam_dashboard_html:html() | fun(() -> hornbeam_dashboard_html:html())}.

-callback title() -> string().
-callback parts(context()) -> [part()].
%% How often the live parts are made anew, in ms.
-callback live() -> pos_integer().

%% @doc In the order of the menu.
-spec all() -> [{Path :: binary(), module()}].
all() ->
    [{<<"/">>, hornbeam_dashboard_overview},
     {<<"/applications">>, hornbeam_dashboard_applications},
     {<<"/workers">>, hornbeam_dashboard_workers},
     {<<"/routes">>, hornbeam_dashboard_routes},
     {<<"/requests">>, hornbeam_dashboard_requests},
     {<<"/background">>, hornbeam_dashboard_background},
     {<<"/topics">>, hornbeam_dashboard_topics},
     {<<"/state">>, hornbeam_dashboard_state},
     {<<"/log">>, hornbeam_dashboard_log},
     {<<"/options">>, hornbeam_dashboard_options},
     {<<"/vm">>, hornbeam_dashboard_vm},
     {<<"/cluster">>, hornbeam_dashboard_cluster}].

-spec find(Path :: binary()) -> {ok, module()} | error.
find(Path) ->
    case lists:keyfind(Path, 1, all()) of
        {_, Page} -> {ok, Page};
        false -> error
    end.

%% @doc A part that asks a process which is restarting or stopping just now makes the page say so, and the next look shows it again.
-spec parts(module(), context()) -> [part()].
parts(Page, Context) ->
    try Page:parts(Context)
    catch exit:{_, {gen_server, call, _}} -> [{live, <<"problem">>, <<"<p>A part of the server is starting or stopping; look again.</p>">>}]
    end.
