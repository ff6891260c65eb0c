%%% Who may look at the dashboard, and whether a request is what its own pages send. Pure, but for read/1.
%%%
%%% Called by: hornbeam_dashboard_sup (read/1), hornbeam_dashboard_sessions (proves/2), hornbeam_dashboard_request. Calls: hornbeam_password,
%%% hornbeam_dashboard_secret.
%%%
%%% The rules, and against what:
%%%   is_host/2     the host that a browser was told is an address, localhost or one of dashboard_hosts: another site's name that leads
%%%                 here (DNS rebinding) is none of them
%%%   is_own/2      what changes something comes from a page of the same host, as the browser says itself (Origin, Sec-Fetch-Site)
%%%   guard()       open: whoever reaches the address; else the password or the token
-module(hornbeam_dashboard_access).

-export([read/1, is_open/1, proves/2, is_host/2, is_own/1, headers/0]).
-export_type([guard/0, proof/0]).

%% The token itself is not kept: its hash is.
-type guard() :: open | #{password => binary(), token => binary()}.
-type proof() :: {password | token, binary()}.

%% @doc What the options ask for.
-spec read(Config :: map()) -> {ok, guard()} | {error, {bad_option, atom(), binary()}}.
read(#{dashboard_password_file := <<>>, dashboard_token_file := <<>>}) ->
    {ok, open};
read(Config) ->
    read([{password, dashboard_password_file}, {token, dashboard_token_file}], Config, #{}).

read([], _Config, Guard) ->
    {ok, Guard};
read([{Kind, Option} | Rest], Config, Guard) ->
    case Config of
        #{Option := <<>>} -> read(Rest, Config, Guard);
        #{Option := File} ->
            case hornbeam_dashboard_secret:read(Kind, File) of
                {ok, Secret} -> read(Rest, Config, Guard#{Kind => Secret});
                {error, Problem} -> {error, {bad_option, Option, unicode:characters_to_binary([File, ": ", hornbeam_dashboard_secret:text(Problem)])}}
            end
    end.

-spec is_open(guard()) -> boolean().
is_open(Guard) -> Guard =:= open.

%% @doc Whether somebody has shown what the guard asks for. Of a password that takes half a second of a core.
-spec proves(proof(), guard()) -> boolean().
proves({password, Given}, #{password := Hash}) -> hornbeam_password:verify(Given, Hash);
proves({token, Given}, #{token := Hash}) -> crypto:hash_equals(crypto:hash(sha256, Given), Hash);
proves(_, _) -> false.

%% @doc Host: in lower case, without the port. Names: the option dashboard_hosts.
-spec is_host(Host :: binary(), Names :: [binary()]) -> boolean().
is_host(<<"localhost">>, _Names) ->
    true;
is_host(Host, Names) ->
    case inet:parse_strict_address(string:trim(binary_to_list(Host), both, "[]")) of
        {ok, _} -> true;
        {error, _} -> lists:member(Host, [string:lowercase(Name) || Name <- Names])
    end.

%% @doc Whether a request that changes something comes from a page of this host. A client that says neither is no browser.
-spec is_own(Headers :: #{binary() => binary()}) -> boolean().
is_own(#{<<"origin">> := Origin, <<"host">> := Host}) ->
    case binary:split(Origin, <<"://">>) of
        [Scheme, Authority] when Scheme =:= <<"http">>; Scheme =:= <<"https">> -> string:lowercase(Authority) =:= string:lowercase(Host);
        _ -> false
    end;
is_own(#{<<"origin">> := _}) -> false;
is_own(#{<<"sec-fetch-site">> := Site}) -> Site =:= <<"same-origin">>;
is_own(_) -> true.

%% @doc Of every response.
-spec headers() -> #{binary() => binary()}.
headers() ->
    #{<<"content-security-policy">> => <<"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'">>,
      <<"x-frame-options">> => <<"DENY">>,
      <<"x-content-type-options">> => <<"nosniff">>,
      %% With no-referrer browsers do not say either where a form comes from (Origin: null).
      <<"referrer-policy">> => <<"same-origin">>,
      <<"cross-origin-opener-policy">> => <<"same-origin">>,
      <<"cross-origin-resource-policy">> => <<"same-origin">>,
      <<"cache-control">> => <<"no-store">>}.
