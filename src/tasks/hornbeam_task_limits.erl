%%% Whether one more task may wait, and what is said where it may not. Pure.
%%%
%%% Called by: hornbeam_task_book, hornbeam_task_cluster (whose members keep the same limits for all nodes: hornbeam_task_part). Calls: hornbeam_task.
-module(hornbeam_task_limits).

-export([refused/3, text/1]).
-export_type([limit/0, waiting/0]).

-type limit() :: queue | bytes | queues.
%% How many wait, what those take that are not over, whether there may be one more queue of that name.
-type waiting() :: #{number := non_neg_integer(), bytes := non_neg_integer(), has_room := boolean()}.

%% @doc By the options task_max_queue and task_max_bytes. One alone may be as large as it likes.
-spec refused(hornbeam_task:task(), waiting(), Config :: map()) -> none | limit().
refused(_Task, #{number := Number}, #{task_max_queue := Max}) when Number >= Max -> queue;
refused(_Task, #{bytes := Bytes}, #{task_max_bytes := Max}) when Bytes > Max -> bytes;
refused(_Task, #{has_room := false}, _Config) -> queues;
refused(_Task, #{bytes := 0}, _Config) -> none;
refused(Task, #{bytes := Bytes}, #{task_max_bytes := Max}) ->
    case Bytes + hornbeam_task:bytes(Task) > Max of
        true -> bytes;
        false -> none
    end.

-spec text(limit()) -> binary().
text(queue) -> <<"too many tasks wait (task_max_queue)">>;
text(bytes) -> <<"the tasks that wait take too much memory (task_max_bytes)">>;
text(queues) -> <<"there are too many queues: 1000 may have tasks at a time">>.
