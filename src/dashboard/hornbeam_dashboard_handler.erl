%%% Answers a browser that looks at the dashboard: its pages, signing in and out, what a button asks for, the points of its charts.
%%%
%%% Called by: Cowboy, for hornbeam_dashboard_sup. Calls: hornbeam_dashboard_request (who it is), hornbeam_dashboard_page and _layout, hornbeam_dashboard_actions,
%%% hornbeam_dashboard_sessions and _access (signing in), hornbeam_series.
%%%
%%% Whoever is not known is sent to the form, and a script gets 401. What changes something is a POST with the token of the session, and is logged.
-module(hornbeam_dashboard_handler).
-behaviour(cowboy_handler).

-export([init/2]).

-define(HTML, <<"text/html; charset=utf-8">>).

-spec init(cowboy_req:req(), Name :: atom()) -> {ok, cowboy_req:req(), atom()}.
init(#{method := Method, path := Path} = Req, Name) ->
    Answered = case {Method, Path, hornbeam_dashboard_request:enter(Req, Name)} of
        {_, _, wrong_host} -> problem(403, "This host name is not one of the dashboard's (option dashboard_hosts).", Req);
        {<<"POST">>, <<"/login">>, _} -> sign_in(Req, Name);
        {_, _, unknown} -> unknown(Method, Path, Req);
        {<<"POST">>, _, {ok, Visitor}} -> post(Path, Visitor, Req, Name);
        {Get, _, {ok, Visitor}} when Get =:= <<"GET">>; Get =:= <<"HEAD">> -> get(Path, Visitor, hornbeam_dashboard_request:remember(Visitor, Req), Name);
        _ -> problem(405, "The dashboard knows GET, HEAD and POST.", Req)
    end,
    {ok, Answered, Name}.

problem(Status, Text, Req) ->
    hornbeam_dashboard_request:reply(Status, ?HTML, hornbeam_dashboard_layout:problem(Status, Text), Req).

unknown(Method, <<"/login">>, Req) when Method =:= <<"GET">>; Method =:= <<"HEAD">> ->
    hornbeam_dashboard_request:reply(200, ?HTML, hornbeam_dashboard_layout:sign_in(none), Req);
unknown(<<"GET">>, _Path, #{headers := Headers} = Req) when not is_map_key(<<"authorization">>, Headers) ->
    hornbeam_dashboard_request:redirect("/login", Req);
unknown(_Method, _Path, Req) ->
    problem(401, "Sign in first, or send the token (Authorization: Bearer TOKEN).", Req).

get(<<"/series">>, Visitor, Req, Name) ->
    #{query := Query} = hornbeam_dashboard_request:context(Name, <<"/">>, Visitor, Req),
    Points = hornbeam_series:points(Name, hornbeam_dashboard_overview:span(Query)),
    Json = hornbeam_json:encode(#{columns => hornbeam_series:columns(), points => [[or_null(Value) || Value <- Point] || Point <- Points]}),
    hornbeam_dashboard_request:reply(200, <<"application/json">>, Json, Req);
get(<<"/login">>, _Visitor, Req, _Name) ->
    hornbeam_dashboard_request:redirect("/", Req);
get(Path, #{by := By} = Visitor, Req, Name) ->
    case hornbeam_dashboard_page:find(Path) of
        {ok, Page} ->
            Shell = #{signed_in => By =:= session andalso not is_map_key(new, Visitor) andalso is_guarded(Name), live => Page:live()},
            Html = hornbeam_dashboard_layout:page(Page, hornbeam_dashboard_request:context(Name, Path, Visitor, Req), Shell),
            hornbeam_dashboard_request:reply(200, ?HTML, Html, Req);
        error ->
            problem(404, "There is no such page.", Req)
    end.

or_null(none) -> null;
or_null(Value) -> Value.

is_guarded(Name) ->
    {ok, #{dashboard_password_file := Password, dashboard_token_file := Token}} = hornbeam_servers:config(Name),
    Password =/= <<>> orelse Token =/= <<>>.

post(Path, Visitor, Req0, Name) ->
    case hornbeam_dashboard_request:form(Req0, Visitor) of
        {ok, Form, Req} -> posted(Path, Form, Visitor, Req, Name);
        forged ->
            logger:warning("dashboard: a forged request of ~ts was refused", [from(Req0)]),
            problem(403, "This did not come from a page of the dashboard; load the page again.", Req0);
        {malformed, Status} ->
            problem(Status, "This is no form of the dashboard.", Req0)
    end.

posted(<<"/logout">>, _Form, #{id := Id}, Req, Name) ->
    ok = hornbeam_dashboard_sessions:close(Name, Id),
    logger:notice("dashboard: ~ts has signed out", [from(Req)]),
    hornbeam_dashboard_request:redirect("/login", hornbeam_dashboard_request:forget(Req));
posted(<<"/actions">>, Form, _Visitor, Req, Name) ->
    case hornbeam_dashboard_actions:run(Form, Name) of
        {done, Back, Text} ->
            logger:notice("dashboard: ~ts asks: ~ts", [from(Req), Text]),
            hornbeam_dashboard_request:redirect(Back, Req);
        {shown, Title, Html, Text} ->
            logger:notice("dashboard: ~ts asks for: ~ts", [from(Req), Text]),
            hornbeam_dashboard_request:reply(200, ?HTML, hornbeam_dashboard_layout:shown(Name, Title, Html), Req);
        unknown -> problem(400, "There is no such action.", Req)
    end;
posted(_Path, _Form, _Visitor, Req, _Name) ->
    problem(404, "There is no such page.", Req).

sign_in(Req0, Name) ->
    Client = hornbeam_dashboard_request:client(Req0),
    case hornbeam_dashboard_request:form(Req0, anonymous) of
        forged -> problem(403, "This did not come from a page of the dashboard.", Req0);
        {malformed, Status} -> problem(Status, "This is no form of the dashboard.", Req0);
        {ok, Form, Req} ->
            case hornbeam_dashboard_sessions:may_try(Name, Client) of
                {ok, Guard} -> tried(is_right(maps:get(<<"secret">>, Form, <<>>), Guard), Req, Name);
                {wait, Seconds} ->
                    Later = cowboy_req:set_resp_header(<<"retry-after">>, integer_to_binary(Seconds), Req),
                    again(429, io_lib:format("Too many tries: wait ~b seconds.", [Seconds]), Later)
            end
    end.

%% So that the requests of the application go before the half second that a password takes.
is_right(Given, Guard) ->
    Before = process_flag(priority, low),
    Right = hornbeam_dashboard_access:proves({token, Given}, Guard) orelse hornbeam_dashboard_access:proves({password, Given}, Guard),
    _ = process_flag(priority, Before),
    Right.

tried(true, Req, Name) ->
    logger:notice("dashboard: ~ts has signed in", [from(Req)]),
    hornbeam_dashboard_request:redirect("/", hornbeam_dashboard_request:remember(#{new => hornbeam_dashboard_sessions:open(Name)}, Req));
tried(false, Req, _Name) ->
    logger:warning("dashboard: ~ts has tried to sign in with a wrong password or token", [from(Req)]),
    again(403, "That is not right.", Req).

again(Status, Text, Req) ->
    hornbeam_dashboard_request:reply(Status, ?HTML, hornbeam_dashboard_layout:sign_in(lists:flatten(Text)), Req).

from(Req) ->
    case hornbeam_dashboard_request:client(Req) of
        local -> "a local client";
        Address -> inet:ntoa(Address)
    end.
