%%% Accepts connections: the next one that there is a descriptor for. Waits while there is none, and refuses what there is no room for.
%%%
%%% Called by: the Ranch transports hornbeam_tcp, hornbeam_ssl and hornbeam_metrics_tcp, in Ranch's acceptors; hornbeam_connection
%%% (refuse/2). Calls: hornbeam_descriptors, hornbeam_http1_reply.
%%%
%%% Ranch would log each time that there is no descriptor, and try again at once when there is none in the whole system (enfile).
-module(hornbeam_accept).

-export([public/3, kept/3, refuse/2]).

%% How long an acceptor waits for the end of a TLS socket that it has refused.
-define(CLOSE_MS, 100).

-type transport() :: ranch_tcp | ranch_ssl.

%% @doc For the listeners of a server.
-spec public(transport(), ranch_transport:socket(), timeout()) -> {ok, ranch_transport:socket()} | {error, atom()}.
public(Transport, Listening, Timeout) ->
    case kept(Transport, Listening, Timeout) of
        {ok, Socket} ->
            case hornbeam_descriptors:has_room(number(Transport, Socket)) of
                true ->
                    {ok, Socket};
                false ->
                    hornbeam_descriptors:complain("connections are refused: no more descriptors (limit ~b, of which ~b are kept back), "
                                                  "ports or processes",
                                                  [hornbeam_descriptors:limit(), hornbeam_descriptors:kept_back()]),
                    ok = refuse(Transport, Socket),
                    public(Transport, Listening, Timeout)
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% @doc For connections that may have what is kept back.
-spec kept(transport(), ranch_transport:socket(), timeout()) -> {ok, ranch_transport:socket()} | {error, atom()}.
kept(Transport, Listening, Timeout) ->
    case Transport:accept(Listening, Timeout) of
        {ok, Socket} ->
            {ok, Socket};
        {error, Reason} ->
            case hornbeam_descriptors:is_shortage(Reason) of
                true -> hornbeam_descriptors:wait(Reason), kept(Transport, Listening, Timeout);
                false -> {error, Reason}
            end
    end.

number(ranch_ssl, _Socket) ->
    unknown;
number(ranch_tcp, Socket) ->
    case inet:getfd(Socket) of
        {ok, Number} -> Number;
        %% It is closed already.
        {error, _} -> 0
    end.

%% @doc Closes a connection; in clear text 503 is said before. Never waits for the client: a new socket takes these bytes, and what
%% has been sent by now is taken from the kernel, which would reset the connection for it and the answer with it. TLS: ssl:close/1 waits
%% for a handshake that nobody has begun, but a socket whose owner has gone is closed at once; no more are accepted than close.
-spec refuse(transport(), ranch_transport:socket()) -> ok.
refuse(ranch_ssl, Socket) ->
    ok = hornbeam_descriptors:refused(),
    _ = ranch_ssl:controlling_process(Socket, spawn(fun() -> ok end)),
    await_close(?CLOSE_MS);
refuse(ranch_tcp, Socket) ->
    ok = hornbeam_descriptors:refused(),
    {Head, close} = hornbeam_http1_reply:head(503, [], 0, close, {false, false, []}),
    _ = ranch_tcp:send(Socket, Head),
    _ = ranch_tcp:shutdown(Socket, write),
    _ = ranch_tcp:recv(Socket, 0, 0),
    ranch_tcp:close(Socket).

await_close(0) ->
    ok;
await_close(Ms) ->
    case hornbeam_descriptors:are_ports_free() of
        true -> ok;
        false -> timer:sleep(1), await_close(Ms - 1)
    end.
