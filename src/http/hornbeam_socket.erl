%%% Listening sockets: from an address of the option `bind' to what Ranch opens, and back to a text.
%%%
%%% Called by: hornbeam_listener.
-module(hornbeam_socket).

-export([probe/1, options/2, url/2]).

%% The queue of the kernel for connections that are not accepted yet.
-define(BACKLOG, 2048).

%% @doc Whether the address can be listened on. Ranch opens the socket itself and makes several crash
%% reports of a failure; asked first, the reason reaches the caller alone.
-spec probe(hornbeam_option_bind:bind()) -> ok | {error, inet:posix()}.
probe({tcp, Ip, Port, _Host}) ->
    case gen_tcp:listen(Port, [{ip, Ip}, family(Ip), {reuseaddr, true}]) of
        {ok, Socket} -> gen_tcp:close(Socket);
        {error, Reason} -> {error, Reason}
    end;
probe(_) ->
    ok.

%% @doc The options of the listening socket, which accepted connections inherit.
-spec options(hornbeam_option_bind:bind(), map()) -> [gen_tcp:listen_option()].
options(Bind, #{send_timeout := SendTimeout}) ->
    address(Bind) ++ [{backlog, ?BACKLOG}, {send_timeout, SendTimeout},
                      {send_timeout_close, true}].

address({tcp, Ip, Port, _Host}) -> [{ip, Ip}, {port, Port}, family(Ip)];
address({unix, Path}) -> [{ip, {local, Path}}, {port, 0}];
address({fd, Number}) -> [{fd, Number}, {port, 0}].

family({_, _, _, _}) -> inet;
family(_) -> inet6.

%% @doc What to type into a client. Address: what the socket is bound to (ranch:get_addr/1).
-spec url(hornbeam_option_bind:bind(), {inet:ip_address() | local, term()}) -> binary().
url({tcp, _, _, Host}, {Ip, Port}) ->
    http(bracketed(Ip, Host), Port);
url({unix, Path}, _Address) ->
    <<"unix:", Path/binary>>;
url({fd, _}, {Ip, Port}) when is_tuple(Ip) ->
    http(bracketed(Ip, inet:ntoa(Ip)), Port);
url({fd, Number}, _Address) ->
    iolist_to_binary(["fd://", integer_to_list(Number)]).

bracketed({_, _, _, _}, Host) -> Host;
bracketed(_, Host) -> ["[", string:trim(Host, both, "[]"), "]"].

http(Host, Port) ->
    iolist_to_binary(["http://", Host, $:, integer_to_list(Port)]).
