%%% The carrier of Erlang's distribution in a cluster: `-proto_dist hornbeam_cluster'. OTP's own, over TLS or, where that was asked for, over TCP.
%%%
%%% Called by net_kernel, by this name and in its process (ERTS User's Guide, "How to Implement an Alternative Carrier"): nothing here may wait.
%%% Calls inet_tls_dist and inet_tcp_dist, which do all of it, and hornbeam_cluster_carrier, which knows which. There is a carrier of our own for two reasons. Which of OTP's it is must be
%%% known when the VM boots, but the options are read later. And OTP lets in whoever has a certificate of the authority, under any name, unless
%%% there is a list of nodes (net_kernel:allow/1), which never gets shorter and forbids to call others; here the list is given to it for each
%%% connection that comes in (accept_connection/5).
%%%
%%% Limits: an address or name of IPv4. How long a handshake may take is the kernel's (net_setuptime, 7 s); up to ?HANDSHAKES are served at once, so who connects
%%% so often and says nothing holds up nodes that join, but none that are linked.
-module(hornbeam_cluster_dist).

-export([childspecs/0, listen/2, accept/1, accept_connection/5, setup/5, close/1, select/1, address/0, is_node_name/1]).

%% TLS handshakes of others that are served at once: as many as OTP 25 has by itself.
-define(HANDSHAKES, 128).
%% No node is called so. With a list that is not empty, inet_tls_dist lets in who is called after the address that it comes from, and has a certificate for that
%% address; and besides of the list those whose host has one.
-define(NOBODY, 'nobody@hornbeam.invalid').

-spec childspecs() -> {ok, [supervisor:child_spec()]}.
childspecs() ->
    case security() of
        tls -> inet_tls_dist:childspecs();
        _ -> {ok, []}
    end.

-spec listen(atom(), string()) -> {ok, term()} | {error, term()}.
listen(Name, Host) ->
    case hornbeam_cluster_carrier:settings() of
        none -> {error, no_cluster};
        #{owner := Owner} ->
            case (module()):listen(Name, Host) of
                {error, Reason} ->
                    Owner ! {?MODULE, listen_failed, Reason},
                    {error, Reason};
                Listening -> Listening
            end
    end.

-spec accept(term()) -> pid().
accept(Socket) ->
    Module = module(),
    Acceptor = Module:accept(Socket),
    lists:foreach(fun(_) -> Module:accept(Socket) end, lists:seq(2, acceptors(Module))),
    Acceptor.

%% Since OTP 26 an acceptor has no more handshakes in progress than there are schedulers online, often one: a single peer that connects and says nothing
%% would keep all others out for as long as a handshake may take. net_kernel knows the first one, takes connections of all, and ends with it all.
acceptors(inet_tls_dist) ->
    case list_to_integer(erlang:system_info(otp_release)) of
        Release when Release < 26 -> 1;
        _ -> (?HANDSHAKES + erlang:system_info(schedulers_online) - 1) div erlang:system_info(schedulers_online)
    end;
acceptors(inet_tcp_dist) ->
    1.

-spec accept_connection(pid(), term(), node(), [node()], non_neg_integer()) -> pid().
accept_connection(Acceptor, Socket, Node, Allowed, Time) ->
    (module()):accept_connection(Acceptor, Socket, Node, allowed(hornbeam_cluster_carrier:settings(), Allowed), Time).

%% Somebody's own list holds.
allowed(#{security := tls, expected := Expected}, []) -> [?NOBODY | Expected];
allowed(_, Allowed) -> Allowed.

-spec setup(node(), atom(), node(), longnames | shortnames, non_neg_integer()) -> pid().
setup(Node, Type, Own, Names, Time) -> (module()):setup(Node, Type, Own, Names, Time).

-spec close(term()) -> term().
close(Socket) -> (module()):close(Socket).

-spec select(node()) -> boolean().
select(Node) -> (module()):select(Node).

-spec address() -> term().
address() -> (module()):address().

-spec is_node_name(term()) -> boolean().
is_node_name(Node) -> (module()):is_node_name(Node).

module() ->
    case security() of
        insecure -> inet_tcp_dist;
        _ -> inet_tls_dist
    end.

security() ->
    case hornbeam_cluster_carrier:settings() of
        #{security := Security} -> Security;
        none -> none
    end.
