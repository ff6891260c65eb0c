%%% Counts of what happens seldom: by server, figure and labels.
%%%
%%% Called by: whoever has seen it happen, hornbeam_pool and hornbeam_connection (count/3); hornbeam_metrics_text (read/1);
%%% hornbeam_server_remains (forget/1). Calls: nothing. Writes the table hornbeam_counts (hornbeam_tables owns it): {{Server, Figure, Labels}, Count}.
%%% Labels are few: what a client chooses is none.
-module(hornbeam_counts).

-export([count/3, read/1, forget/1]).

-type labels() :: [{iodata(), iodata()}].

%% @doc Once more.
-spec count(Server :: atom(), Figure :: binary(), labels()) -> ok.
count(Server, Figure, Labels) ->
    Key = {Server, Figure, Labels},
    _ = ets:update_counter(?MODULE, Key, 1, {Key, 0}),
    ok.

%% @doc By figure, as samples for /metrics.
-spec read(Server :: atom()) -> #{binary() => [{string(), labels(), pos_integer()}]}.
read(Server) ->
    Rows = lists:sort(ets:match_object(?MODULE, {{Server, '_', '_'}, '_'})),
    maps:groups_from_list(fun({{_, Figure, _}, _}) -> Figure end, fun({{_, _, Labels}, Count}) -> {"", Labels, Count} end, Rows).

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    true = ets:match_delete(?MODULE, {{Server, '_', '_'}, '_'}),
    ok.
