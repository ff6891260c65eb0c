%%% Answers on metrics_bind: /metrics, /healthz (the VM runs), /readyz (requests are being answered).
%%%
%%% Called by: Cowboy, for hornbeam_metrics_listener. Calls: hornbeam_metrics_text, hornbeam_metrics_format (which format a client wants), hornbeam_pool, hornbeam_listener, hornbeam_cluster_report
%%% (where a cluster is to be ready).
-module(hornbeam_metrics_handler).
-behaviour(cowboy_handler).

-export([init/2]).

-include("hornbeam.hrl").

-spec init(cowboy_req:req(), {metrics | healthz | readyz, atom()}) -> {ok, cowboy_req:req(), term()}.
init(#{method := Method} = Req, {What, Name} = State) when Method =:= <<"GET">>; Method =:= <<"HEAD">> ->
    {Status, Type, Body} = answer(What, Name, Req),
    {ok, cowboy_req:reply(Status, #{<<"content-type">> => Type}, Body, Req), State};
init(Req, State) ->
    {ok, cowboy_req:reply(405, #{<<"allow">> => <<"GET, HEAD">>}, Req), State}.

answer(metrics, Name, #{headers := Headers}) ->
    Format = hornbeam_metrics_format:choose(maps:to_list(Headers)),
    {200, hornbeam_metrics_format:content_type(Format), hornbeam_metrics_text:render(Name, Format)};
answer(healthz, _Name, _Req) ->
    {200, <<"text/plain">>, <<"ok\n">>};
answer(readyz, Name, _Req) ->
    case is_ready(Name) of
        true -> {200, <<"text/plain">>, <<"ready\n">>};
        false -> {503, <<"text/plain">>, <<"not ready\n">>}
    end.

%% Every application and every service has a worker that answers, and the server is neither starting nor stopping; with cluster_ready, a majority of
%% the cluster is there.
is_ready(Name) ->
    hornbeam_listener:is_open(Name) andalso is_cluster_ready(hornbeam_servers:config(Name))
        andalso lists:all(fun(#mount{pool = Pool}) -> maps:get(ready, hornbeam_pool:stats(Pool)) > 0 end,
                          hornbeam_mounts:all(Name) ++ hornbeam_service_pools:all(Name)).

is_cluster_ready({ok, #{cluster_ready := true} = Config}) -> hornbeam_cluster_report:is_ready(Config);
is_cluster_ready(_) -> true.
