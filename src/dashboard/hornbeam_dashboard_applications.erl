%%% A page of the dashboard: the applications with their places, folders of files, hooks.
%%%
%%% Called by: hornbeam_dashboard_page. Calls: hornbeam_server (info/1), hornbeam_servers, hornbeam_mounts (hooks/1), hornbeam_http_hooks (where there are hooks), hornbeam_dashboard_html.
-module(hornbeam_dashboard_applications).
-behaviour(hornbeam_dashboard_page).

-export([title/0, live/0, parts/1]).

-import(hornbeam_dashboard_html, [table/3, anchor/2]).

-spec title() -> string().
title() -> "Applications".

-spec live() -> pos_integer().
live() -> 2000.

-spec parts(hornbeam_dashboard_page:context()) -> [hornbeam_dashboard_page:part()].
parts(#{name := Name}) ->
    {ok, #{static := Static}} = hornbeam_servers:config(Name),
    case hornbeam_server:info(Name) of
        #{applications := Applications, services := Services} ->
            [{live, <<"applications">>, pools({"Applications and their mounts", "No application: files alone."}, "Place", Applications)},
             {live, <<"services">>, [pools({"Service pools", ""}, "Service", Services) || Services =/= []]},
             {live, <<"static">>, [folders(Static) || Static =/= []]},
             {live, <<"hooks">>, hooks(hornbeam_mounts:hooks(Name))}];
        {error, not_found} -> []
    end.

pools(Caption, Kind, Pools) ->
    table(Caption, [Kind, "Application", "Interface" | [{number, Heading} || Heading <- ["Workers ready", "Workers", "In flight", "Waiting", "Refused", "Restarts", "Replaced"]]],
          [[anchor("/workers", Place), App, interface(Workers), Ready, length(Workers), InFlight, Waiting, Refused, Restarts, Retired]
           || #{place := Place, app := App, workers := Workers, ready := Ready, in_flight := InFlight, waiting := Waiting, refused := Refused,
                restarts := Restarts, retired := Retired} <- Pools]).

interface(Workers) ->
    case [Interface || #{interface := Interface} <- Workers] of
        [Interface | _] -> string:uppercase(atom_to_list(Interface));
        [] -> none
    end.

folders(Static) ->
    table({"Folders of files", ""}, ["Prefix", "Folder"], [[Prefix, Folder] || {Prefix, Folder, _} <- Static]).

hooks(none) -> [];
hooks({_, Settings}) ->
    {Stages, Replies} = hornbeam_http_hooks:figures(Settings),
    [table({"HTTP hooks", ""}, ["Stage", {number, "Calls"}, {number, "Seconds"}, {number, "Failures"}], [[Stage, Calls, Seconds, Failures] || {Stage, Calls, Seconds, Failures} <- Stages]),
     hornbeam_dashboard_html:facts([{"Requests that hooks answered", Replies}])].
