%%% The cookie of a release that HORNBEAM_NODE has given a name: `-epmd_module hornbeam_node_epmd' with `-nocookie' (config/release.sh). Otherwise it would have
%%% to be on the VM's command line, which every user of the machine can read.
%%%
%%% Called by net_kernel and the carrier of Erlang's distribution, by this name (ERTS User's Guide, "How to Implement an Alternative Node Discovery"). Calls erl_epmd, OTP's
%%% own, which does all the rest. The cookie is HORNBEAM_COOKIE, taken out of the environment: it is set before the node, which has none until then, lets a connection in or asks
%%% for one.
-module(hornbeam_node_epmd).

-export([start_link/0, register_node/2, register_node/3, port_please/2, port_please/3, listen_port_please/2, address_please/3, names/1]).

-define(VARIABLE, "HORNBEAM_COOKIE").

-spec start_link() -> {ok, pid()} | ignore | {error, term()}.
start_link() -> erl_epmd:start_link().

-spec register_node(string(), inet:port_number()) -> {ok, integer()} | {error, already_registered} | term().
register_node(Name, Port) ->
    ok = take_cookie(),
    erl_epmd:register_node(Name, Port).

-spec register_node(string(), inet:port_number(), inet_tcp | inet6_tcp | inet | inet6) -> {ok, integer()} | {error, already_registered} | term().
register_node(Name, Port, Family) ->
    ok = take_cookie(),
    erl_epmd:register_node(Name, Port, Family).

-spec port_please(string(), inet:ip_address()) -> {port, inet:port_number(), non_neg_integer()} | noport | closed | {error, term()}.
port_please(Name, Host) -> erl_epmd:port_please(Name, Host).

-spec port_please(string(), inet:ip_address(), timeout()) -> {port, inet:port_number(), non_neg_integer()} | noport | closed | {error, term()}.
port_please(Name, Host, Timeout) -> erl_epmd:port_please(Name, Host, Timeout).

-spec listen_port_please(string(), string()) -> {ok, inet:port_number()}.
listen_port_please(Name, Host) -> erl_epmd:listen_port_please(Name, Host).

%% The first that a console asks, which listens nowhere.
-spec address_please(string(), string(), inet | inet6) -> {ok, inet:ip_address()} | {error, term()}.
address_please(_Name, Host, Family) ->
    ok = take_cookie(),
    inet:getaddr(Host, Family).

-spec names(inet:ip_address() | string()) -> {ok, [{string(), inet:port_number()}]} | {error, term()}.
names(Host) -> erl_epmd:names(Host).

take_cookie() ->
    case os:getenv(?VARIABLE, "") of
        "" -> ok;
        Cookie ->
            true = os:unsetenv(?VARIABLE),
            true = erlang:set_cookie(list_to_atom(Cookie)),
            ok
    end.
