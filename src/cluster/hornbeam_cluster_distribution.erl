%%% Erlang's distribution for a cluster, with the options of the server that has one.
%%%
%%% Owns: that the node has a name and listens, by net_kernel:start/2, in a VM that was booted for it (priv/python/hornbeam/vm.py, config/release.sh);
%%% parameters of the kernel that say on which address. Called by hornbeam_cluster_node (start/1, which has chosen the name; stop/0) and by
%%% hornbeam_cluster_links (expect/1). Calls hornbeam_cluster_carrier, _certificates, _cookie, _quiet. No process: what is open is kernel's.
%%%
%%% A node that has a name already (-name, somebody's own system) is used as it is, whatever the options of links say, and stays when the cluster ends. A VM that was
%%% not booted for links, a file that does not fit, a port in use: an error, never links without what was asked for. Who may connect is hornbeam_cluster_dist's
%%% to say. A peer that is let in may do everything that this node may (docs/security.md).
-module(hornbeam_cluster_distribution).

-export([start/1, stop/0, expect/1]).

%% What a VM for links is booted with.
-define(FLAGS, [{proto_dist, "hornbeam_cluster"}, {epmd_module, "hornbeam_cluster_epmd"}]).
%% ssl gives its own parts 4 s.
-define(END, 10000).
-define(PARAMETERS, [inet_dist_use_interface, inet_dist_connect_options]).

%% @doc Config: a server's options, and as `node' what this node is to be called, NAME@ADDRESS. Returns when others can connect.
-spec start(#{node := node(), atom() => term()}) -> ok | {error, hornbeam_options:error() | {cluster_links, iodata()}}.
start(Config) ->
    case erlang:is_alive() of
        true -> ok;
        false -> booted(booted_for(Config), Config)
    end.

%% @doc Ends what start/1 has started.
-spec stop() -> ok.
stop() ->
    case hornbeam_cluster_carrier:settings() of
        none -> ok;
        _ -> hornbeam_cluster_quiet:during(fun closed/0)
    end.

%% The kernel leaves its distribution a second to end, and no longer waits then for ssl's part, which another start would meet.
closed() ->
    Monitor = erlang:monitor(process, ssl_dist_sup),
    lists:foreach(fun erlang:disconnect_node/1, nodes(connected)),
    _ = net_kernel:stop(),
    receive {'DOWN', Monitor, process, _, _} -> ok
    after ?END -> _ = erlang:demonitor(Monitor, [flush])
    end,
    forget().

%% @doc The nodes that there should be: over TLS those of them are let in that are called after the name of a host, or come from another address than
%% their name has.
-spec expect([node()]) -> ok.
expect(Nodes) -> hornbeam_cluster_carrier:expect(lists:usort(Nodes)).

%% --- what has to be there first --------------------------------------------------------------------------------------

%% Of a flag that is given twice OTP takes the first, too.
booted_for(#{cluster_insecure := Insecure}) ->
    Missing = [Flag || {Flag, Value} <- ?FLAGS, not is_said(Flag, Value)]
        ++ [Flag || Flag <- [nocookie | [ssl_dist_optfile || not Insecure]], init:get_argument(Flag) =:= error],
    case Missing of
        [] -> ok;
        _ -> {error, {cluster_links, ["this Erlang VM was not started for them (", lists:join(", ", [["-", atom_to_list(Flag)] || Flag <- Missing]),
                                      "). The command hornbeam does so when the option cluster is a flag, a variable or in its configuration file, and "
                                      "HORNBEAM_ERL_FLAGS has no -proto_dist of its own; docs/clustering.md has the flags for other systems"]}}
    end.

is_said(Flag, Value) ->
    case init:get_argument(Flag) of
        {ok, [[Value] | _]} -> true;
        _ -> false
    end.

booted(ok, #{node := Node} = Config) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    case inet:getaddr(Host, inet) of
        {ok, Ip} -> secured(Config, Host, Ip);
        {error, Reason} -> {error, {bad_option, cluster_address, unicode:characters_to_binary([Host, ": ", inet:format_error(Reason)])}}
    end;
booted({error, Reason}, _Config) ->
    {error, Reason}.

secured(#{cluster_insecure := true} = Config, _Host, Ip) ->
    with_cookie(hornbeam_cluster_cookie:read(Config), Config, Ip, insecure, "");
secured(#{cluster_cert := Cert, cluster_ca := Ca}, _, _) when Cert =:= <<>>; Ca =:= <<>> ->
    {error, {bad_option, cluster_cert, <<"is needed, with cluster_key and cluster_ca (hornbeam cluster ca makes them), or cluster_insecure">>}};
secured(Config, Host, Ip) ->
    case hornbeam_cluster_certificates:check(Config, Host, Ip) of
        {ok, Ends} -> with_cookie(hornbeam_cluster_cookie:read(Config), Config, Ip, tls, Ends);
        {error, Reason} -> {error, Reason}
    end.

%% --- the start -------------------------------------------------------------------------------------------------------

with_cookie({ok, Cookie}, #{node := Node, cluster_port := Port, cluster_ticktime := Ticktime} = Config, Ip, Security, Ends) ->
    ok = hornbeam_cluster_carrier:configure(settings(Config, Cookie, Security)),
    ok = application:set_env([{kernel, lists:zip(?PARAMETERS, [Ip, [{ip, Ip}]])}]),
    case net_kernel:start(Node, #{name_domain => longnames, net_ticktime => (Ticktime + 999) div 1000}) of
        {ok, _} ->
            say(Security, inet:ntoa(Ip), Port, Ends);
        {error, Reason} ->
            ok = forget(),
            {error, {cluster_links, case listen_failed() of
                {ok, Why} -> io_lib:format("cannot listen on ~s:~b: ~ts", [inet:ntoa(Ip), Port, inet:format_error(Why)]);
                none -> io_lib:format("~0p", [Reason])
            end}}
    end;
with_cookie({error, Reason}, _Config, _Ip, _Security, _Ends) ->
    {error, Reason}.

settings(#{node := Node, cluster := Discovery, cluster_name := Name, cluster_port := Port, cluster_cert := Cert, cluster_key := Key, cluster_ca := Ca},
         Cookie, Security) ->
    Members = case Discovery of {static, Static} -> Static; _ -> [] end,
    Expected = lists:usort([hornbeam_option_cluster:node_name(Member, Name) || Member <- Members]),
    #{security => Security, port => Port, cookie => Cookie, owner => self(), expected => lists:delete(Node, Expected),
      cert => Cert, key => case Key of <<>> -> Cert; _ -> Key end, ca => Ca}.

listen_failed() ->
    receive {hornbeam_cluster_dist, listen_failed, Reason} -> {ok, Reason}
    after 0 -> none
    end.

say(tls, Address, Port, Ends) ->
    logger:notice("cluster: this node is ~ts and listens on ~ts:~b; its links are TLS, its certificate holds until ~ts", [node(), Address, Port, Ends]);
say(insecure, Address, Port, _) ->
    logger:warning("cluster: this node is ~ts and listens on ~ts:~b WITHOUT TLS (cluster_insecure): whoever can read the traffic reads all of it, "
                   "and whoever knows the cookie, or can change the traffic, runs any code on every node", [node(), Address, Port]).

%% While the VM stops, who keeps the parameters answers nobody.
forget() ->
    case init:get_status() of
        {stopping, _} -> ok;
        _ -> lists:foreach(fun(Parameter) -> application:unset_env(kernel, Parameter) end, ?PARAMETERS)
    end,
    hornbeam_cluster_carrier:forget().
