%%% Lets a request in or says why not: protocol version, what a proxy says of the client, the mount.
%%%
%%% Called by: hornbeam_exchange, for each request; its head has been checked by the protocol that read it. Calls: hornbeam_memory,
%%% hornbeam_forwarded, hornbeam_hygiene, hornbeam_mounts. Pure but for the lookup and the flag.
%%%
%%% What few servers ask for stands behind one check (`plain').
-module(hornbeam_gate).

-export([settings/1, admit/3, route/3, is_proxy/2]).
-export_type([settings/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-type settings() :: #{memory := hornbeam_memory:flag(), plain := boolean(), trusted := [hornbeam_option_proxy:trusted()],
                      drop := boolean(), versions := [atom()]}.

%% @doc What admit/3 needs of a server's options; they do not change while it runs.
-spec settings(Config :: map()) -> settings().
settings(#{forwarded_allow_ips := Trusted, drop_underscore_headers := Drop, http_version := Versions}) ->
    #{memory => hornbeam_memory:flag(), plain => Trusted =:= [] andalso not Drop andalso length(lists:usort(Versions)) =:= 2,
      trusted => Trusted, drop => Drop, versions => Versions}.

%% @doc The request as the application is to see it, and its mount (`none': no application has this path); where there are hooks they come before the mount (route/3).
-spec admit(#head{}, Server :: atom(), settings()) ->
    {ok, #head{}, hornbeam_mounts:mount() | none} | {hooks, hornbeam_hooked:hooks(), #head{}, Prefix :: binary()} | {refuse, hornbeam_error:reason()}.
admit(Head, Server, #{memory := Memory} = Settings) ->
    case hornbeam_memory:is_low(Memory) of
        false -> check(Head, Server, Settings);
        true -> {refuse, overloaded}
    end.

check(Head, Server, #{plain := true}) ->
    find(Server, Head, <<>>);
check(#head{version = Version} = Head0, Server, #{trusted := Trusted, drop := Drop, versions := Versions}) ->
    case lists:member(Version, Versions) orelse Version =:= 'HTTP/1.0' andalso lists:member('HTTP/1.1', Versions) of
        true ->
            Head1 = case Drop of
                true -> hornbeam_hygiene:without_underscores(Head0);
                false -> Head0
            end,
            {Head, Prefix} = hornbeam_forwarded:apply(Head1, Trusted),
            find(Server, Head, Prefix);
        false ->
            {refuse, http_version}
    end.

%% @doc Whether an address is that of a proxy that is believed.
-spec is_proxy(hornbeam_scope:address(), settings()) -> boolean().
is_proxy(_Peer, #{plain := true}) -> false;
is_proxy(Peer, #{trusted := Trusted}) -> hornbeam_forwarded:is_proxy(Peer, Trusted).

find(Server, #head{host = Host, path = Path, method = Method} = Head, Prefix) ->
    case hornbeam_mounts:find(Server, Host, Path) of
        {ok, Mount} -> with_method(upper(Method), Head, below(Prefix, Mount));
        {hooks, Hooks} -> with_hooks(upper(Method), Head, Prefix, Hooks);
        error -> with_method(upper(Method), Head, none)
    end.

with_hooks(refuse, _Head, _Prefix, _Hooks) -> {refuse, not_implemented};
with_hooks(Method, Head, Prefix, Hooks) -> {hooks, Hooks, Head#head{method = Method}, Prefix}.

%% @doc The mount of a request that hooks have seen. Prefix: what admit/3 has said.
-spec route(#head{}, Server :: atom(), Prefix :: binary()) -> hornbeam_mounts:mount() | none.
route(#head{host = Host, path = Path}, Server, Prefix) ->
    case hornbeam_mounts:find_behind_hooks(Server, Host, Path) of
        {ok, Mount} -> below(Prefix, Mount);
        error -> none
    end.

with_method(refuse, _Head, _Mount) -> {refuse, not_implemented};
with_method(Method, #head{method = Method} = Head, Mount) -> {ok, Head, Mount};
with_method(Method, Head, Mount) -> {ok, Head#head{method = Method}, Mount}.

%% A proxy that has taken a prefix off the path publishes the application below it.
below(<<>>, Mount) ->
    Mount;
below(Prefix, #mount{root_path = Root, path_prefix = PathPrefix} = Mount) ->
    Mount#mount{root_path = <<Prefix/binary, Root/binary>>,
                path_prefix = <<Prefix/binary, PathPrefix/binary>>}.

%% ASGI: the method is upper-case. To HTTP it is not (RFC 9110, 9.1): a method that is not HEAD, of which the application would be told
%% that it is, would get a response with the length of a body that never comes.
upper(<<"GET">> = Method) -> Method;
upper(<<"POST">> = Method) -> Method;
upper(Method) ->
    case << <<(upper_case(C))>> || <<C>> <= Method >> of
        Method -> Method;
        Upper when Upper =:= <<"HEAD">>; Upper =:= <<"CONNECT">>; Upper =:= <<"TRACE">> -> refuse;
        Upper -> Upper
    end.

upper_case(C) when C >= $a, C =< $z -> C - 32;
upper_case(C) -> C.
