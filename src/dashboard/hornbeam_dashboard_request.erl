%%% The gate of the dashboard: what every request meets first, and how it is answered.
%%%
%%% Called by: hornbeam_dashboard_handler, _events, _assets. Calls: hornbeam_dashboard_access (the rules), hornbeam_dashboard_sessions, hornbeam_servers, hornbeam_headers, Cowboy.
%%%
%%% What a stranger sends that is malformed is as if it were not there, or is refused; it is no crash, whose record would fill the log.
-module(hornbeam_dashboard_request).

-export([host/2, enter/2, form/2, reply/4, redirect/2, remember/2, forget/1, client/1, context/4]).
-export_type([visitor/0]).

%% by: how it was let in. A script shows the token with each request; of a session forms send the csrf back.
-type visitor() :: #{by := token | session, csrf := binary(), id => binary(), new => binary()}.

-define(MAX_FORM, 65536).

%% @doc Whether the request was meant for this place.
-spec host(cowboy_req:req(), Name :: atom()) -> boolean().
host(#{host := Host}, Name) ->
    {ok, #{dashboard_hosts := Names}} = hornbeam_servers:config(Name),
    hornbeam_dashboard_access:is_host(Host, Names).

%% @doc Who it is.
-spec enter(cowboy_req:req(), Name :: atom()) -> {ok, visitor()} | wrong_host | unknown.
enter(Req, Name) ->
    case host(Req, Name) of
        true -> known(Req, Name);
        false -> wrong_host
    end.

known(#{headers := #{<<"authorization">> := <<Scheme:7/binary, Token/binary>>}}, Name) when Scheme =:= <<"Bearer ">>; Scheme =:= <<"bearer ">> ->
    case hornbeam_dashboard_sessions:bearer(Name, hornbeam_headers:trim(Token)) of
        true -> {ok, #{by => token, csrf => <<>>}};
        false -> unknown
    end;
known(Req, Name) ->
    Id = case lists:keyfind(cookie(Req), 1, read(fun() -> cowboy_req:parse_cookies(Req) end)) of
        {_, Value} -> Value;
        false -> none
    end,
    case hornbeam_dashboard_sessions:find(Name, Id) of
        {ok, Session} -> {ok, Session#{by => session}};
        none -> unknown
    end.

%% What is malformed says nothing: no error of ours that a stranger could fill the log with.
read(Parse) ->
    try Parse()
    catch exit:{request_error, _, _} -> []
    end.

%% Browsers keep one set of cookies for all ports of a host.
cookie(#{port := Port}) -> <<"hornbeam_dashboard_", (integer_to_binary(Port))/binary>>.

%% @doc The fields of a form that this page's own visitor has sent; or with what status it is refused.
-spec form(cowboy_req:req(), visitor() | anonymous) -> {ok, #{binary() => binary()}, cowboy_req:req()} | forged | {malformed, 400 | 408 | 413}.
form(#{headers := Headers} = Req0, Visitor) ->
    try cowboy_req:read_urlencoded_body(Req0, #{length => ?MAX_FORM, period => 5000}) of
        {ok, Fields, Req} ->
            Form = texts(Fields),
            case hornbeam_dashboard_access:is_own(Headers) andalso is_sent_back(Form, Visitor) of
                true -> {ok, Form, Req};
                false -> forged
            end
    catch
        exit:{request_error, payload_too_large, _} -> {malformed, 413};
        exit:{request_error, timeout, _} -> {malformed, 408};
        exit:{request_error, _, _} -> {malformed, 400}
    end.

%% Those that are text: all that is shown or looked for is.
texts(Fields) ->
    maps:from_list([{Key, Value} || {Key, Value} <- Fields, is_text(Key), is_text(Value)]).

is_text(Value) -> is_binary(Value) andalso unicode:characters_to_binary(Value) =:= Value.

is_sent_back(_Form, anonymous) -> true;
is_sent_back(_Form, #{by := token}) -> true;
is_sent_back(#{<<"csrf">> := Sent}, #{csrf := Csrf}) -> byte_size(Sent) =:= byte_size(Csrf) andalso crypto:hash_equals(Sent, Csrf);
is_sent_back(_, _) -> false.

-spec reply(Status :: pos_integer(), Type :: binary(), iodata(), cowboy_req:req()) -> cowboy_req:req().
reply(Status, Type, Body, Req) ->
    cowboy_req:reply(Status, (hornbeam_dashboard_access:headers())#{<<"content-type">> => Type}, Body, Req).

%% @doc Path: of the dashboard. Its page is asked for with GET.
-spec redirect(Path :: iodata(), cowboy_req:req()) -> cowboy_req:req().
redirect(Path, Req) ->
    cowboy_req:reply(303, (hornbeam_dashboard_access:headers())#{<<"location">> => iolist_to_binary(Path)}, <<>>, Req).

%% @doc The response brings the session's cookie along.
-spec remember(visitor() | #{new => binary()}, cowboy_req:req()) -> cowboy_req:req().
remember(#{new := Id}, Req) -> set_cookie(Id, #{}, Req);
remember(_, Req) -> Req.

-spec forget(cowboy_req:req()) -> cowboy_req:req().
forget(Req) -> set_cookie(<<>>, #{max_age => 0}, Req).

set_cookie(Value, Options, #{headers := Headers, scheme := Scheme} = Req) ->
    Secure = Scheme =:= <<"https">> orelse maps:get(<<"x-forwarded-proto">>, Headers, <<>>) =:= <<"https">>,
    cowboy_req:set_resp_cookie(cookie(Req), Value, Req, Options#{http_only => true, same_site => strict, path => <<"/">>, secure => Secure}).

%% @doc The client's address: for the log, and for how often it may try.
-spec client(cowboy_req:req()) -> inet:ip_address() | local.
client(#{peer := {Address, _}}) when is_tuple(Address) -> Address;
client(_) -> local.

%% @doc For a page.
-spec context(Name :: atom(), Path :: binary(), visitor(), cowboy_req:req()) -> hornbeam_dashboard_page:context().
context(Name, Path, #{csrf := Csrf}, Req) ->
    #{name => Name, path => Path, csrf => Csrf, query => texts(read(fun() -> cowboy_req:parse_qs(Req) end))}.
