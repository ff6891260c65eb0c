%%% The files that the dashboard's pages need: priv/dashboard, as they are, each with the hash of its content as its ETag.
%%%
%%% Called by: Cowboy, for hornbeam_dashboard_sup. Calls: hornbeam_dashboard_request, hornbeam_dashboard_access. No session is asked for, since the form to sign in needs them.
-module(hornbeam_dashboard_assets).
-behaviour(cowboy_handler).

-export([init/2]).

-define(FILES, #{<<"/assets/dashboard.css">> => <<"text/css; charset=utf-8">>,
                 <<"/assets/dashboard.js">> => <<"text/javascript; charset=utf-8">>,
                 <<"/assets/icon.svg">> => <<"image/svg+xml">>,
                 <<"/assets/uplot/uPlot.iife.min.js">> => <<"text/javascript; charset=utf-8">>,
                 <<"/assets/uplot/uPlot.min.css">> => <<"text/css; charset=utf-8">>}).

-spec init(cowboy_req:req(), Name :: atom()) -> {ok, cowboy_req:req(), atom()}.
init(#{path := Path, method := Method} = Req, Name) ->
    Answered = case {hornbeam_dashboard_request:host(Req, Name), ?FILES} of
        {true, #{Path := Type}} when Method =:= <<"GET">>; Method =:= <<"HEAD">> -> file(Path, Type, Req);
        _ -> hornbeam_dashboard_request:reply(404, <<"text/plain">>, "there is no such file\n", Req)
    end,
    {ok, Answered, Name}.

file(<<"/assets/", File/binary>>, Type, #{headers := Headers} = Req) ->
    {ok, Content} = file:read_file(filename:join([code:priv_dir(hornbeam), "dashboard", File])),
    Tag = <<$", (binary:encode_hex(binary:part(crypto:hash(sha256, Content), 0, 16)))/binary, $">>,
    Fields = (hornbeam_dashboard_access:headers())#{<<"etag">> => Tag, <<"cache-control">> => <<"no-cache">>, <<"content-type">> => Type},
    case Headers of
        #{<<"if-none-match">> := Tag} -> cowboy_req:reply(304, Fields, Req);
        #{} -> cowboy_req:reply(200, Fields, Content, Req)
    end.
