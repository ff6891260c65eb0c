%%% `dns:HOST' and `srv:_SERVICE._tcp.HOST': the members are the addresses that DNS has for a name. A part of hornbeam_cluster_discovery, which calls it.
%%%
%%% HOST is looked up as the machine looks up any name (inet:getaddrs/3: the C library with /etc/hosts, search domains and nsswitch.conf, or
%%% OTP's own resolver where ERL_INETRC says so), so what works with `getent hosts' works here, and a headless service in Kubernetes without its
%%% domain. SRV records are asked for with OTP's resolver (inet_res) at the servers of /etc/resolv.conf, over TCP when the answer is cut off; their
%%% targets are looked up like HOST. Each look-up is a new one: how long an answer holds (TTL) is the resolver's matter.
%%%
%%% All nodes have one port (cluster_port): an SRV record with another one names a node that could not be reached, and is ignored with a line in the log.
%%%
%%% Only IPv4 (A records): OTP's carrier for IPv6 is another one, which would have to be named before DNS can be asked.
%%%
%%% Failure modes: no answer in time, no such name, no address: an error. A target without an address is ignored, with a line. Limits: ?TARGETS targets.
-module(hornbeam_cluster_discovery_dns).
-behaviour(hornbeam_cluster_discovery).

-export([find/2, targets/2]).

-define(TARGETS, 64).

-spec find({dns | srv, binary()}, hornbeam_cluster_discovery:context()) ->
    {ok, [hornbeam_cluster_discovery:member()], [unicode:chardata()]} | {error, unicode:chardata()}.
find({dns, Host}, #{timeout := Timeout}) ->
    case addresses(Host, Timeout) of
        {ok, Members} -> {ok, Members, []};
        {error, Reason} -> {error, [Host, ": ", reason(Reason)]}
    end;
find({srv, Name}, #{port := Port, timeout := Timeout}) ->
    Ends = erlang:monotonic_time(millisecond) + Timeout,
    case inet_res:resolve(binary_to_list(Name), in, srv, [], Timeout) of
        {ok, Message} ->
            Records = [Data || Record <- inet_dns:msg(Message, anlist), {srv, Data} <- [{inet_dns:rr(Record, type), inet_dns:rr(Record, data)}]],
            {Targets, Ignored} = targets(Records, Port),
            resolved(Name, [{Target, addresses(Target, left(Ends))} || Target <- lists:sublist(Targets, ?TARGETS)], Ignored);
        {error, {Reason, _}} -> {error, [Name, ": ", reason(Reason)]};
        {error, Reason} -> {error, [Name, ": ", reason(Reason)]}
    end.

%% @doc The hosts of SRV records that can be nodes, and a line for each that cannot.
-spec targets([{Priority :: integer(), Weight :: integer(), Port :: integer(), Target :: string()}], Port :: inet:port_number()) ->
    {[binary()], Ignored :: [unicode:chardata()]}.
targets(Records, Port) ->
    {[list_to_binary(Target) || {_, _, P, Target} <- Records, P =:= Port],
     [io_lib:format("the SRV record of ~ts has port ~b, and all nodes have ~b (cluster_port)", [Target, P, Port])
      || {_, _, P, Target} <- Records, P =/= Port]}.

resolved(Name, Looked, Ignored) ->
    Missing = [[Target, ": ", reason(Reason)] || {Target, {error, Reason}} <- Looked],
    case lists:append([Members || {_, {ok, Members}} <- Looked]) of
        [] -> {error, [Name, ": ", lists:join(", ", Missing ++ Ignored ++ ["no address"])]};
        Members -> {ok, Members, Missing ++ Ignored}
    end.

left(Ends) -> max(1, Ends - erlang:monotonic_time(millisecond)).

addresses(Host, Timeout) ->
    case inet:getaddrs(binary_to_list(Host), inet, Timeout) of
        {ok, Ips} -> {ok, [{<<>>, list_to_binary(inet:ntoa(Ip))} || Ip <- Ips]};
        {error, Reason} -> {error, Reason}
    end.

reason(nxdomain) -> "there is no such name";
reason(Reason) when Reason =:= timeout; Reason =:= etimedout -> "no DNS server has answered in time";
reason(Reason) when is_atom(Reason) -> inet:format_error(Reason);
reason(Reason) -> io_lib:format("~tp", [Reason]).
