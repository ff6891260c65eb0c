%%% Listening sockets: from an address of the option `bind' to what Ranch opens, and back to a text.
%%%
%%% Called by: hornbeam_listener, hornbeam_side_listener; hornbeam_server, hornbeam_connections (what Ranch has).
-module(hornbeam_socket).

-include_lib("kernel/include/file.hrl").

-export([probe/1, options/2, opened/2, url/3, status/1, connections/1, close_left/1]).

%% @doc Whether the address can be listened on. Ranch opens the socket itself and makes several crash
%% reports of a failure; asked first, the reason reaches the caller alone.
-spec probe(hornbeam_option_bind:bind()) -> ok | {error, inet:posix()}.
probe({tcp, Ip, Port, _Host}) ->
    case gen_tcp:listen(Port, [{ip, Ip}, family(Ip), {reuseaddr, true}]) of
        {ok, Socket} -> gen_tcp:close(Socket);
        {error, Reason} -> {error, Reason}
    end;
probe({unix, Path}) ->
    case file:read_link_info(Path) of
        {error, enoent} -> ok;
        {error, Reason} -> {error, Reason};
        {ok, #file_info{type = other}} -> stale(Path);
        {ok, _} -> {error, eexist}
    end;
probe({fd, Number}) ->
    case family_of(Number) of
        {ok, _} -> ok;
        {error, Reason} -> {error, Reason}
    end.

%% A socket file that nobody answers on is left over from a server that was killed; Ranch removes it. One that is
%% answered on is another server's.
stale(Path) ->
    case gen_tcp:connect({local, Path}, 0, [local], 1000) of
        {ok, Socket} -> ok = gen_tcp:close(Socket), {error, eaddrinuse};
        {error, econnrefused} -> ok;
        {error, Reason} -> {error, Reason}
    end.

%% The module socket can ask a descriptor what it is; dup: the descriptor itself stays open.
family_of(Number) ->
    case socket:open(Number, #{dup => true}) of
        {ok, Socket} ->
            Family = socket:getopt(Socket, socket, domain),
            ok = socket:close(Socket),
            Family;
        {error, _} ->
            {error, ebadf}
    end.

%% @doc The options of the listening socket, which accepted connections inherit.
-spec options(hornbeam_option_bind:bind(), map()) -> [gen_tcp:listen_option()].
options(Bind, #{send_timeout := SendTimeout, half_close := HalfClose, backlog := Backlog}) ->
    address(Bind) ++ [{backlog, Backlog}, {send_timeout, SendTimeout},
                      {send_timeout_close, true}] ++ [{exit_on_close, false} || HalfClose].

address({tcp, Ip, Port, _Host}) -> [{ip, Ip}, {port, Port}, family(Ip)];
address({unix, Path}) -> [{ip, {local, Path}}, {port, 0}];
address({fd, Number}) ->
    case family_of(Number) of
        %% Ranch drops the option `local'; an address says the same.
        {ok, local} -> [{fd, Number}, {ip, {local, <<>>}}];
        {ok, Family} -> [{fd, Number}, {port, 0}, Family]
    end.

%% @doc What is to be done once the socket listens.
-spec opened(hornbeam_option_bind:bind(), map()) -> ok | {error, file:posix()}.
opened({unix, Path}, #{unix_mode := Mode}) ->
    file:change_mode(Path, binary_to_integer(Mode, 8));
opened(_Bind, _Config) ->
    ok.

%% @doc What Ranch says of a listener, also of one that is not there, or is just ending.
-spec status(ranch:ref()) -> running | suspended | none.
status(Ref) ->
    try ranch:get_status(Ref)
    catch
        error:badarg -> none;
        exit:{_, {gen_server, call, _}} -> none
    end.

%% @doc The processes of its connections.
-spec connections(ranch:ref()) -> [pid()].
connections(Ref) ->
    try ranch:procs(Ref, connections)
    catch
        error:badarg -> [];
        exit:{_, {gen_server, call, _}} -> []
    end.

%% @doc Closes what a process that was killed has left open (it was Ranch's), unless that process is just closing it.
-spec close_left([ranch:ref()]) -> ok.
close_left(Refs) ->
    lists:foreach(fun close/1, Refs).

close(Ref) ->
    try ranch:stop_listener(Ref) of
        _ -> ok
    catch
        error:badarg -> ok;
        exit:{_, {gen_server, call, _}} -> ok
    end.

family({_, _, _, _}) -> inet;
family(_) -> inet6.

%% @doc What to type into a client. Address: what the socket is bound to (ranch:get_addr/1).
-spec url(hornbeam_option_bind:bind(), {inet:ip_address() | local, term()}, Tls :: boolean()) ->
    binary().
url({tcp, _, _, Host}, {Ip, Port}, Tls) ->
    http(bracketed(Ip, Host), Port, Tls);
url({unix, Path}, _Address, _Tls) ->
    <<"unix:", Path/binary>>;
url({fd, _}, {Ip, Port}, Tls) when is_tuple(Ip) ->
    http(bracketed(Ip, inet:ntoa(Ip)), Port, Tls);
url({fd, Number}, _Address, _Tls) ->
    iolist_to_binary(["fd://", integer_to_list(Number)]).

bracketed({_, _, _, _}, Host) -> Host;
bracketed(_, Host) -> ["[", string:trim(Host, both, "[]"), "]"].

http(Host, Port, Tls) ->
    Scheme = case Tls of true -> "https://"; false -> "http://" end,
    iolist_to_binary([Scheme, Host, $:, integer_to_list(Port)]).
