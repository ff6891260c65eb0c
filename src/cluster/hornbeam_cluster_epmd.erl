%%% In place of epmd: `-epmd_module hornbeam_cluster_epmd'. All nodes of a cluster listen at one port, so nobody has to be asked, and nothing is
%%% registered anywhere.
%%%
%%% Called by net_kernel and the carrier, by this name (ERTS User's Guide, "How to Implement an Alternative Node Discovery"). Calls
%%% hornbeam_cluster_carrier. OTP's own module with -erl_epmd_port would be told the port on a command line, and still tell an epmd that happens to
%%% run there of this node.
%%%
%%% It also sets the cookie: register_node/3 comes after the socket is opened and before a connection is accepted, so nobody is ever let in with
%%% another one (the VM begins with none: -nocookie).
-module(hornbeam_cluster_epmd).

-export([start_link/0, register_node/2, register_node/3, port_please/2, port_please/3, listen_port_please/2, address_please/3, names/1]).

%% The version of the handshake that every node of OTP 25 and later takes; they agree on a later one between themselves.
-define(VERSION, 5).

-spec start_link() -> ignore.
start_link() -> ignore.

-spec register_node(string() | atom(), inet:port_number()) -> {ok, -1} | {error, no_cluster}.
register_node(Name, Port) -> register_node(Name, Port, inet).

%% -1: the node finds a number by itself that tells it from its earlier lives.
-spec register_node(string() | atom(), inet:port_number(), atom()) -> {ok, -1} | {error, no_cluster}.
register_node(_Name, _Port, _Family) ->
    case hornbeam_cluster_carrier:settings() of
        #{cookie := Cookie} ->
            true = erlang:set_cookie(Cookie),
            {ok, -1};
        none ->
            {error, no_cluster}
    end.

-spec port_please(string() | atom(), term()) -> {port, inet:port_number(), pos_integer()} | noport.
port_please(Name, Host) -> port_please(Name, Host, infinity).

-spec port_please(string() | atom(), term(), timeout()) -> {port, inet:port_number(), pos_integer()} | noport.
port_please(_Name, _Host, _Timeout) ->
    case hornbeam_cluster_carrier:settings() of
        #{port := Port} -> {port, Port, ?VERSION};
        none -> noport
    end.

-spec listen_port_please(string() | atom(), term()) -> {ok, inet:port_number()}.
listen_port_please(_Name, _Host) ->
    case hornbeam_cluster_carrier:settings() of
        #{port := Port} -> {ok, Port};
        none -> {ok, 0}
    end.

-spec address_please(string(), string() | inet:ip_address(), inet | inet6) -> {ok, inet:ip_address()} | {error, term()}.
address_please(_Name, Host, Family) -> inet:getaddr(Host, Family).

-spec names(term()) -> {error, address}.
names(_Host) -> {error, address}.
