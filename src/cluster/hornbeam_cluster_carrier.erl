%%% What the two modules that OTP calls by name know of this node's links: how they are secured, at which port, with which cookie.
%%%
%%% Owns: one persistent term, written by hornbeam_cluster_distribution before it starts Erlang's distribution, and when other nodes are expected.
%%% Read by hornbeam_cluster_dist and hornbeam_cluster_epmd, in processes of OTP's (net_kernel, ssl_dist_sup) that must not wait for one of ours.
%%% Calls nothing of the project.
-module(hornbeam_cluster_carrier).

-export([configure/1, expect/1, settings/0, forget/0, tls_options/0, match/2]).
-export_type([settings/0]).

%% Owner: who is told why listening has failed. Expected: nodes that may be named by a host name, or reach us through an address that is not theirs.
-type settings() :: #{security := tls | insecure, port := inet:port_number(), cookie := atom(), owner := pid(), expected := [node()],
                      cert := binary(), key := binary(), ca := binary()}.

-spec configure(settings()) -> ok.
configure(Settings) -> persistent_term:put(?MODULE, Settings).

-spec expect([node()]) -> ok.
expect(Nodes) ->
    case settings() of
        #{expected := Nodes} -> ok;
        none -> ok;
        Settings -> configure(Settings#{expected := Nodes})
    end.

-spec settings() -> settings() | none.
settings() -> persistent_term:get(?MODULE, none).

-spec forget() -> ok.
forget() ->
    _ = persistent_term:erase(?MODULE),
    ok.

%% @doc What priv/python/hornbeam/cluster.options evaluates to, which OTP reads when the distribution begins (-ssl_dist_optfile). Both sides show a
%% certificate and check the other's, against the cluster's own authority alone; every link does so anew. The files are read again when they have
%% changed (ssl's cache looks every two minutes: ssl_pem_cache_clean).
-spec tls_options() -> [{server | client, [ssl:tls_option()]}].
tls_options() ->
    #{cert := Cert, key := Key, ca := Ca} = settings(),
    Both = [{certfile, Cert}, {keyfile, Key}, {cacertfile, Ca}, {verify, verify_peer}, {versions, ['tlsv1.3', 'tlsv1.2']}],
    [{server, [{fail_if_no_peer_cert, true}, {reuse_sessions, false}, {client_renegotiation, false} | Both]},
     {client, [{reuse_sessions, false}, {customize_hostname_check, [{match_fun, fun ?MODULE:match/2}]} | Both]}].

%% @doc OTP looks for the host of a node's name among the DNS names of its certificate, also where it is an address.
-spec match(term(), term()) -> boolean() | default.
match({dns_id, Host}, {iPAddress, Octets}) ->
    case inet:parse_strict_address(Host) of
        {ok, Address} when tuple_size(Address) =:= 4 -> tuple_to_list(Address) =:= Octets;
        _ -> default
    end;
match(_, _) ->
    default.
