%%% How many bytes the links to other nodes have carried. Called by hornbeam_cluster_report. Asks the sockets; keeps nothing.
%%%
%%% A link is a socket of Erlang's distribution, or with TLS a process that sends; the one that has the socket is its sibling below a supervisor. So
%%% of TLS it is looked for among what that process is linked to, and what they are. What is not found is left out.
-module(hornbeam_cluster_traffic).

-export([read/0]).

-spec read() -> #{node() => {In :: non_neg_integer(), Out :: non_neg_integer()}}.
read() ->
    maps:from_list([{Node, Bytes} || {Node, Controller} <- erlang:system_info(dist_ctrl), {ok, Bytes} <- [bytes(sockets(Controller))]]).

sockets(Socket) when is_port(Socket) -> [Socket];
sockets(Sender) when is_pid(Sender) ->
    Near = [Pid || Pid <- links(Sender), is_pid(Pid), Pid =/= whereis(net_kernel)],
    Siblings = lists:usort(lists:append([Near | [links(Pid) || Pid <- Near]])),
    lists:usort([Port || Pid <- Siblings, is_pid(Pid), Pid =/= whereis(net_kernel), Port <- links(Pid), is_connected(Port)]).

is_connected(Port) when is_port(Port) ->
    case erlang:port_info(Port, name) of
        {name, "tcp_inet"} -> element(1, inet:peername(Port)) =:= ok;
        _ -> false
    end;
is_connected(_) ->
    false.

links(Pid) ->
    case process_info(Pid, links) of
        {links, Links} -> Links;
        undefined -> []
    end.

bytes([Socket | _]) ->
    case inet:getstat(Socket, [recv_oct, send_oct]) of
        {ok, Stats} -> {ok, {proplists:get_value(recv_oct, Stats), proplists:get_value(send_oct, Stats)}};
        {error, _} -> error
    end;
bytes([]) ->
    error.
