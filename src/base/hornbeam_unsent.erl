%%% Messages that were not sent to other nodes, since that would have meant to wait: the link was congested, or there was none any more.
%%%
%%% Called by: hornbeam_pubsub_relay, in the process that publishes (count/1); hornbeam_cluster_report (read/0). Calls: nothing.
%%%
%%% Writes the table hornbeam_unsent (hornbeam_tables owns it): {Node, Count}, one row for each node to which one was not sent. What is lost with a link
%%% that is cut was sent, and is not counted here: nobody knows how much of it has arrived.
-module(hornbeam_unsent).

-export([count/1, read/0]).

%% @doc One more.
-spec count(node()) -> ok.
count(Node) ->
    _ = ets:update_counter(?MODULE, Node, 1, {Node, 0}),
    ok.

%% @doc How many for each node, since the start.
-spec read() -> #{node() => pos_integer()}.
read() -> maps:from_list(ets:tab2list(?MODULE)).
