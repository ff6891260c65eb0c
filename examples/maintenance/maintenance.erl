%%% A maintenance page that is switched on and off while the server runs: an HTTP hook. As long as the file is there that MAINTENANCE_PAGE names, it
%%% is what everybody gets, with status 503; the health check of a load balancer still reaches the application.
%%%
%%%     mkdir -p ebin
%%%     erlc -pa _build/default/lib/hornbeam/ebin -o ebin examples/maintenance/maintenance.erl
%%%     MAINTENANCE_PAGE=/tmp/maintenance.html bin/hornbeam run app:app --pythonpath examples/fastapi_app \
%%%         --venv .venv --erlang-path ebin --http-hooks maintenance
%%%
%%% `cp examples/maintenance/page.html /tmp/maintenance.html` switches it on, `rm /tmp/maintenance.html' off. And when no worker can answer
%%% (502, 503, 504), the server's own page is a friendlier one.
-module(maintenance).
-behaviour(hornbeam_http_hook).

-export([on_request/1, on_error/3]).

-define(HTML, {<<"content-type">>, <<"text/html; charset=utf-8">>}).
-define(RETRY, {<<"retry-after">>, <<"60">>}).

%% One look at the file for each request: some microseconds.
on_request(Request) ->
    Page = filename:absname(os:getenv("MAINTENANCE_PAGE", "maintenance.html")),
    case hornbeam_http_hook:path(Request) =/= <<"/healthz">> andalso filelib:is_regular(Page) of
        true -> {reply, 503, [?HTML, ?RETRY, {<<"cache-control">>, <<"no-store">>}], {file, Page}};
        false -> ok
    end.

on_error(#{status := Status}, _Request, _Context) when Status >= 502, Status =< 504 ->
    {reply, Status, [?HTML, ?RETRY], <<"<!doctype html><title>One moment</title><p>We are back in a minute.\n">>};
on_error(_Error, _Request, _Context) ->
    default.
