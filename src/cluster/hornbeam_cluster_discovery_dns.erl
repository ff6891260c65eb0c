%%% `dns:HOST' and `srv:_SERVICE._tcp.HOST': who DNS has for a name. A part of hornbeam_cluster_discovery, which calls it.
%%%
%%% dns: the members are the addresses. HOST is looked up as the machine looks up any name (inet:getaddrs/3: the C library with /etc/hosts, search domains and
%%% nsswitch.conf, or OTP's own resolver where ERL_INETRC says so), so what works with `getent hosts' works here, and a headless service in
%%% Kubernetes without its domain.
%%%
%%% srv: the members are the targets, by their names, which stay when an address changes. Asked for with OTP's resolver (inet_res) at the servers of
%%% /etc/resolv.conf, over TCP when the answer is cut off. All nodes have one port (cluster_port): a record with another one names a node that could
%%% not be reached, and is ignored with a line in the log.
%%%
%%% Each look-up is a new one: how long an answer holds (TTL) is the resolver's matter. Only IPv4 (A records), as the links are.
%%%
%%% Failure modes: no answer in time, no such name, nothing that could be a node: an error.
-module(hornbeam_cluster_discovery_dns).
-behaviour(hornbeam_cluster_discovery).

-export([find/2, targets/2]).

-spec find({dns | srv, binary()}, hornbeam_cluster_discovery:context()) ->
    {ok, [hornbeam_cluster_discovery:member()], [unicode:chardata()]} | {error, unicode:chardata()}.
find({dns, Host}, #{timeout := Timeout}) ->
    case addresses(Host, Timeout) of
        {ok, Members} -> {ok, Members, []};
        {error, Reason} -> {error, [Host, ": ", reason(Reason)]}
    end;
find({srv, Name}, #{port := Port, timeout := Timeout}) ->
    case inet_res:resolve(binary_to_list(Name), in, srv, [], Timeout) of
        {ok, Message} ->
            Records = [Data || Record <- inet_dns:msg(Message, anlist), {srv, Data} <- [{inet_dns:rr(Record, type), inet_dns:rr(Record, data)}]],
            case targets(Records, Port) of
                {[], Ignored} -> {error, [Name, ": ", lists:join(", ", Ignored ++ ["no node"])]};
                {Targets, Ignored} -> {ok, [{<<>>, Target} || Target <- Targets], Ignored}
            end;
        {error, {Reason, _}} -> {error, [Name, ": ", reason(Reason)]};
        {error, Reason} -> {error, [Name, ": ", reason(Reason)]}
    end.

%% @doc The hosts of SRV records that can be nodes, and a line for each that cannot.
-spec targets([{Priority :: integer(), Weight :: integer(), Port :: integer(), Target :: string()}], Port :: inet:port_number()) ->
    {[binary()], Ignored :: [unicode:chardata()]}.
targets(Records, Port) ->
    Hosts = [{P, string:lowercase(list_to_binary(Target))} || {_, _, P, Target} <- Records],
    {[Host || {P, Host} <- Hosts, P =:= Port, hornbeam_option_cluster:is_address(Host)],
     [io_lib:format("the SRV record of ~ts has port ~b, and all nodes have ~b (cluster_port)", [Host, P, Port]) || {P, Host} <- Hosts, P =/= Port]
     ++ [["the SRV record of ", Host, " is for no name of a node: it has no dot"]
         || {P, Host} <- Hosts, P =:= Port, not hornbeam_option_cluster:is_address(Host)]}.

addresses(Host, Timeout) ->
    case inet:getaddrs(binary_to_list(Host), inet, Timeout) of
        {ok, Ips} -> {ok, [{<<>>, list_to_binary(inet:ntoa(Ip))} || Ip <- Ips]};
        {error, Reason} -> {error, Reason}
    end.

reason(nxdomain) -> "there is no such name";
reason(Reason) when Reason =:= timeout; Reason =:= etimedout -> "no DNS server has answered in time";
reason(Reason) -> inet:format_error(Reason).
