%%% The cluster, for `hornbeam doctor': its certificate, its links, whether the nodes' clocks agree.
%%%
%%% Called by: hornbeam_doctor. Calls: hornbeam_doctor_tls, hornbeam_cluster_report; asks the connected nodes for their time (erpc).
-module(hornbeam_doctor_cluster).

-export([examine/2, judged/1, clock/3]).

-define(PATIENCE, 5000).
%% Clocks may differ by so many ms, besides what the question took.
-define(APART, 1000).

-spec examine(Config :: map(), hornbeam_doctor:place()) -> [hornbeam_doctor:finding()].
examine(#{cluster := <<>>}, _Place) -> [];
examine(Config, Place) -> files(Config) ++ links(Place).

files(#{cluster_insecure := false, cluster_cert := Cert, cluster_key := Key}) when Cert =/= <<>> ->
    [hornbeam_doctor_tls:certificate(Cert) | hornbeam_doctor_tls:private(case Key of <<>> -> Cert; _ -> Key end)];
files(_) ->
    [].

links(not_running) -> [];
links(running) -> judged(hornbeam_cluster_report:describe()) ++ [clock(Node, ask(Node), ?APART) || Node <- nodes()].

%% @doc What the report of a node says of its links.
-spec judged(hornbeam_cluster_report:description()) -> [hornbeam_doctor:finding()].
judged(#{nodes := Nodes, quorum := Quorum, problem := Problem, members := Members}) ->
    [{wrong, ["cluster: who there should be is not known: ", Problem], "Look at the option cluster, and at what it names."} || Problem =/= none]
    ++ [{wrong, "cluster: no majority of its members is up", "What is replicated is refused until they are: start them, or hornbeam cluster forget those that are gone for good."}
        || not Quorum, Members =/= []]
    ++ [linked(Node, State, Other) || #{node := Node, state := State} = Other <- Nodes].

linked(Node, up, _) -> {ok, ["cluster: ", atom_to_binary(Node), " is up"], ""};
linked(Node, stopped, _) -> {ok, ["cluster: ", atom_to_binary(Node), " was stopped"], ""};
linked(Node, State, Other) ->
    Why = case Other of
        #{reason := Reason} when Reason =/= none -> io_lib:format(" (~0tp)", [Reason]);
        #{} -> ""
    end,
    {wrong, ["cluster: ", atom_to_binary(Node), " is ", atom_to_list(State), Why],
     "hornbeam cluster status there and here; the port cluster_port must be open between them, certificate and cookie fit."}.

ask(Node) ->
    Before = erlang:system_time(millisecond),
    try erpc:call(Node, erlang, system_time, [millisecond], ?PATIENCE) of
        There ->
            After = erlang:system_time(millisecond),
            {ok, There - (Before + After) div 2, (After - Before) div 2}
    catch
        error:{erpc, _} -> error
    end.

%% @doc Ahead: by how many ms its clock is, give or take so many.
-spec clock(node(), {ok, Ahead :: integer(), GiveOrTake :: non_neg_integer()} | error, Apart :: pos_integer()) -> hornbeam_doctor:finding().
clock(Node, error, _Apart) ->
    {warning, ["clock: ", atom_to_binary(Node), " does not say its time"], "Look whether it is overloaded."};
clock(Node, {ok, Ahead, GiveOrTake}, Apart) when abs(Ahead) > Apart + GiveOrTake ->
    {wrong, io_lib:format("clock: that of ~ts differs by ~b ms from this one", [Node, Ahead]), "Have NTP keep both right."};
clock(Node, {ok, Ahead, GiveOrTake}, _Apart) ->
    {ok, io_lib:format("clock: that of ~ts differs by ~b ms (give or take ~b) from this one", [Node, Ahead, GiveOrTake]), ""}.
