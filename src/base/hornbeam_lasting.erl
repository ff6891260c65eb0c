%%% Terms that outlive the processes which use them, such as counters: made at the first call, until they are forgotten with their server.
%%%
%%% Called by: hornbeam_metrics, hornbeam_access_log, hornbeam_follow, hornbeam_trace_exporter. Calls: nothing. The terms are persistent
%%% ones (persistent_term), so to have one costs no copy. Two who make one at once have different ones for a moment: it is made before a
%%% server's sockets are open.
-module(hornbeam_lasting).

-export([get/2, forget/1]).

%% @doc The term of that key, which the fun makes if there is none. Key: a module and a server's name.
-spec get({module(), Server :: atom()}, fun(() -> Term)) -> Term.
get(Key, Make) ->
    case persistent_term:get(Key, none) of
        none ->
            Made = Make(),
            persistent_term:put(Key, Made),
            Made;
        Term ->
            Term
    end.

-spec forget({module(), Server :: atom()}) -> ok.
forget(Key) ->
    _ = persistent_term:erase(Key),
    ok.
