%%% The last crashes of workers, of each server.
%%%
%%% Written by: hornbeam_worker_crash, in the processes of the workers. Read by: hornbeam_status, whoever asks (list/1). Owns the rows of the table
%%% hornbeam_crashes (hornbeam_tables), {{Server, Number}, Report}; at most ?KEPT of a server, which hornbeam_server_remains takes out at its end.
-module(hornbeam_crashes).

-export([add/2, list/1, forget/1]).
-export_type([report/0]).

-define(TABLE, hornbeam_crashes).
-define(KEPT, 20).

%% at: system time, ms. worker: as in `hornbeam status', behind its place where that is not the root. reason: text. uptime in ms; requests: that the
%% process was given; max_memory in bytes and cpu in ms, as of figures_age ms before its end; fatal: what faulthandler wrote; core: the file.
-type report() :: #{at := integer(), server := atom(), worker := binary(), app := binary(), pid := pos_integer() | undefined, reason := binary(),
                    status := non_neg_integer() | none, uptime := non_neg_integer(), requests := non_neg_integer(),
                    in_progress := [#{method := binary(), path := binary(), age_us := non_neg_integer(), _ => _}],
                    max_memory := non_neg_integer() | none, cpu := non_neg_integer() | none, figures_age := non_neg_integer() | none,
                    fatal := binary() | none, core := binary() | none}.

-spec add(Server :: atom(), report()) -> ok.
add(Server, Report) ->
    true = ets:insert(?TABLE, {{Server, erlang:unique_integer([monotonic])}, Report}),
    Keys = ets:select(?TABLE, [{{{Server, '$1'}, '_'}, [], ['$1']}]),
    lists:foreach(fun(Number) -> ets:delete(?TABLE, {Server, Number}) end, lists:sublist(Keys, max(0, length(Keys) - ?KEPT))).

%% @doc The newest first.
-spec list(Server :: atom()) -> [report()].
list(Server) ->
    lists:reverse(ets:select(?TABLE, [{{{Server, '_'}, '$1'}, [], ['$1']}])).

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    true = ets:match_delete(?TABLE, {{Server, '_'}, '_'}),
    ok.
