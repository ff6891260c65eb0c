%%% One try to reach another node: its port, Erlang's link, hello. In a process of its own, which may wait; hornbeam_cluster_links starts it and limits it.
%%%
%%% The port is tried first, with ?PROBE ms: so an address where nobody answers costs a second and a socket, not one of net_kernel's connections for seven, a
%%% net that heals is noticed by the next try instead of by TCP's third, and the reason is known, which net_kernel does not tell.
-module(hornbeam_cluster_connect).

-export([run/3, explain/2]).

-define(PROBE, 1000).
-define(HELLO, 5000).

-type outcome() :: {hello, Theirs :: term()} | {failed, hornbeam_cluster_peers:cause()}.
-export_type([outcome/0]).

%% @doc Port: of the other nodes' distribution; none where this VM was a node before, and finds others in its own way.
-spec run(node(), Port :: inet:port_number() | none, hornbeam_cluster_hello:hello()) -> outcome().
run(Node, Port, Mine) ->
    case lists:member(Node, nodes(connected)) of
        true -> greet(Node, Mine);
        false -> probed(Node, probe(Node, Port), Mine)
    end.

probed(Node, ok, Mine) ->
    case net_kernel:connect_node(Node) of
        true -> greet(Node, Mine);
        _ -> {failed, not_let_in}
    end;
probed(_Node, {error, Cause}, _Mine) ->
    {failed, Cause}.

probe(_Node, none) ->
    ok;
probe(Node, Port) ->
    [_, Address] = string:split(atom_to_list(Node), "@"),
    case inet:getaddr(Address, inet, ?PROBE) of
        {ok, Ip} -> opened(gen_tcp:connect(Ip, Port, [{active, false}], ?PROBE));
        {error, _} -> {error, name}
    end.

opened({ok, Socket}) -> gen_tcp:close(Socket);
opened({error, econnrefused}) -> {error, refused};
opened({error, Reason}) when Reason =:= timeout; Reason =:= etimedout -> {error, timeout};
opened({error, _}) -> {error, unreachable}.

greet(Node, Mine) ->
    try {hello, gen_server:call({hornbeam_cluster_links, Node}, {hello, Mine}, ?HELLO)}
    catch
        exit:{noproc, _} -> {failed, not_there};
        exit:{timeout, _} -> {failed, silent};
        exit:{_, {gen_server, call, _}} -> {failed, lost}
    end.

%% @doc Why a node is not reached, for a person.
-spec explain(node(), hornbeam_cluster_peers:cause()) -> unicode:chardata().
explain(_Node, refused) -> "nothing listens at its address and port";
explain(_Node, unreachable) -> "its address is not reachable";
explain(_Node, timeout) -> "nobody answers at its address";
explain(_Node, name) -> "its address is a name that stands for nothing";
explain(_Node, not_let_in) -> "what answers at its address does not let this node in: another cluster_name, certificates of another authority, or another cookie";
explain(_Node, not_there) -> "it is a node, but runs no cluster";
explain(_Node, silent) -> "it does not say what it is";
explain(_Node, lost) -> "the link has ended";
explain(_Node, Refusal) -> hornbeam_cluster_hello:explain(Refusal).
