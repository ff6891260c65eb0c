%%% A page that moves: server-sent events with what has changed of its live parts, and on the overview with the newest point of the charts.
%%%
%%%     event: parts    data: {"ID": "HTML", ...}
%%%     event: point    data: [the columns of hornbeam_series]
%%%     event: end      the session is over
%%%
%%% Called by: Cowboy, for hornbeam_dashboard_sup; one process for each page that somebody looks at. Calls: hornbeam_dashboard_request (at each look whether the
%%% visitor is still known), hornbeam_dashboard_page, hornbeam_series. The address is that of the page behind /events.
-module(hornbeam_dashboard_events).
-behaviour(cowboy_loop).

-export([init/2, info/3]).

-record(looks, {
    name :: atom(),
    page :: module(),
    path :: binary(),
    sent = #{} :: #{Id :: binary() => Hash :: binary()},
    point = 0 :: number()
}).

-spec init(cowboy_req:req(), Name :: atom()) -> {ok, cowboy_req:req(), atom()} | {cowboy_loop, cowboy_req:req(), #looks{}}.
init(#{path := <<"/events", Path/binary>>, method := <<"GET">>} = Req, Name) ->
    case {hornbeam_dashboard_request:enter(Req, Name), hornbeam_dashboard_page:find(Path)} of
        {{ok, _}, {ok, Page}} ->
            %% Nothing comes from a browser that listens.
            ok = cowboy_req:cast({set_options, #{idle_timeout => infinity}}, Req),
            Fields = (hornbeam_dashboard_access:headers())#{<<"content-type">> => <<"text/event-stream">>},
            self() ! look,
            {cowboy_loop, cowboy_req:stream_reply(200, Fields, Req), #looks{name = Name, page = Page, path = Path}};
        {{ok, _}, error} -> {ok, hornbeam_dashboard_request:reply(404, <<"text/plain">>, "there is no such page\n", Req), Name};
        {_, _} -> {ok, hornbeam_dashboard_request:reply(403, <<"text/plain">>, "sign in first\n", Req), Name}
    end;
init(Req, Name) ->
    {ok, hornbeam_dashboard_request:reply(405, <<"text/plain">>, "GET only\n", Req), Name}.

-spec info(term(), cowboy_req:req(), #looks{}) -> {ok, cowboy_req:req(), #looks{}} | {stop, cowboy_req:req(), #looks{}}.
info(look, Req, #looks{name = Name, page = Page, path = Path} = Looks) ->
    case hornbeam_dashboard_request:enter(Req, Name) of
        {ok, Visitor} ->
            _ = erlang:send_after(Page:live(), self(), look),
            Context = hornbeam_dashboard_request:context(Name, Path, Visitor, Req),
            {Events, New} = point(changed(hornbeam_dashboard_page:parts(Page, Context), Looks)),
            %% One at least: a browser that has gone is noticed by what cannot be sent to it.
            ok = cowboy_req:stream_events(Events ++ [#{comment => "."}], nofin, Req),
            {ok, Req, New};
        _ ->
            ok = cowboy_req:stream_events(#{event => "end", data => "signed out"}, fin, Req),
            {stop, Req, Looks}
    end;
info(_Message, Req, Looks) ->
    {ok, Req, Looks}.

changed(Parts, #looks{sent = Sent} = Looks) ->
    Now = maps:from_list([{Id, {crypto:hash(md5, Html), Html}} || {live, Id, Html} <- Parts]),
    New = maps:filter(fun(Id, {Hash, _}) -> maps:get(Id, Sent, none) =/= Hash end, Now),
    Hashes = maps:map(fun(_, {Hash, _}) -> Hash end, Now),
    Events = [#{event => "parts", data => hornbeam_json:encode(maps:map(fun(_, {_, Html}) -> iolist_to_binary(Html) end, New))} || map_size(New) > 0],
    {Events, Looks#looks{sent = Hashes}}.

point({Events, #looks{name = Name, page = hornbeam_dashboard_overview, point = Before} = Looks}) ->
    case hornbeam_series:last(Name) of
        {ok, [At | _] = Point} when At =/= Before ->
            {Events ++ [#{event => "point", data => hornbeam_json:encode([case Value of none -> null; _ -> Value end || Value <- Point])}],
             Looks#looks{point = At}};
        _ ->
            {Events, Looks}
    end;
point(Unchanged) ->
    Unchanged.
