%%% Who may look at the dashboard, and whether a request is what its own pages send. Pure, but for reading the files of the options.
%%%
%%% Called by: hornbeam_dashboard_sup (read/1), hornbeam_dashboard_sessions (proves/2), hornbeam_dashboard_request. Calls: hornbeam_password,
%%% hornbeam_private_folder (whose files are ours).
%%%
%%% The rules, and against what:
%%%   is_host/2     the host that a browser was told is an address, localhost or one of dashboard_hosts: another site's name that leads
%%%                 here (DNS rebinding) is none of them
%%%   is_own/2      what changes something comes from a page of the same host, as the browser says itself (Origin, Sec-Fetch-Site)
%%%   guard()       open: whoever reaches the address; else the password or the token
-module(hornbeam_dashboard_access).

-export([read/1, is_open/1, proves/2, is_host/2, is_own/1, headers/0]).
-export_type([guard/0, proof/0]).

-include_lib("kernel/include/file.hrl").

%% The token itself is not kept: its hash is.
-type guard() :: open | #{password => binary(), token => binary()}.
-type proof() :: {password | token, binary()}.

-define(SHORTEST_TOKEN, 20).

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
            case secret(Kind, File) of
                {ok, Secret} -> read(Rest, Config, Guard#{Kind => Secret});
                {error, Text} -> {error, {bad_option, Option, unicode:characters_to_binary([File, ": ", Text])}}
            end
    end.

%% The owner's alone, or of a group that may read it: so does Kubernetes mount secrets.
secret(Kind, File) ->
    Own = hornbeam_private_folder:own_uid(),
    case {file:read_file_info(File), file:read_file(File)} of
        {{ok, #file_info{mode = Mode}}, {ok, _}} when Mode band 8#027 =/= 0 -> {error, "others may read or write it; chmod 600"};
        {{ok, #file_info{uid = Uid}}, {ok, _}} when Uid =/= Own, Uid =/= 0 -> {error, "it is neither yours nor root's"};
        {{ok, _}, {ok, Text}} -> checked(Kind, string:trim(Text));
        {_, {error, Reason}} -> {error, file:format_error(Reason)};
        {{error, Reason}, _} -> {error, file:format_error(Reason)}
    end.

checked(password, Text) ->
    case hornbeam_password:is_hash(Text) of
        true -> {ok, Text};
        false -> {error, "it does not hold what hornbeam password prints"}
    end;
checked(token, Text) when byte_size(Text) >= ?SHORTEST_TOKEN -> {ok, crypto:hash(sha256, Text)};
checked(token, _Text) -> {error, io_lib:format("a token has ~b characters or more", [?SHORTEST_TOKEN])}.

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
