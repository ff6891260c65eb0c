%%% Whether the VM is here for Hornbeam alone (`hornbeam run', a release), and what a stop then means.
%%%
%%% Called by: hornbeam_cli (own/0, forget_allocator/0), hornbeam_control (stop/1), hornbeam_app (stopped/0). Calls: hornbeam_server, hornbeam_systemd,
%%% hornbeam_log (what is said last).
-module(hornbeam_vm).

-export([own/0, stop/1, stopped/0, forget_allocator/0]).

%% The exit status of a server that served and has ended by itself: EX_SOFTWARE of sysexits.h.
-define(ENDED, 70).

%% @doc From now on the VM ends with the application.
-spec own() -> ok.
own() ->
    persistent_term:put(?MODULE, owned).

is_owned() ->
    persistent_term:get(?MODULE, undefined) =:= owned.

%% @doc Stops a server, and the VM if it is here for that server only.
-spec stop(Name :: atom()) -> ok | {error, not_found}.
stop(Name) ->
    case is_owned() of
        true -> hornbeam_systemd:stopping(), init:stop();
        false -> hornbeam_server:stop(Name)
    end.

%% @doc The application has ended (hornbeam_app). Where the VM is here for it alone, it ends here. When init:stop/0 is under way: the
%% rest of that takes a second, for nothing, and would wait without end for a descriptor that nobody reads. When not, the
%% application has ended by itself, and whoever supervises the VM can tell by the status.
-spec stopped() -> ok.
stopped() ->
    case is_owned() andalso init:get_status() of
        false ->
            ok;
        {stopping, _} ->
            hornbeam_log:halt(0);
        _ ->
            logger:critical("Hornbeam has ended by itself: exit status ~b", [?ENDED]),
            hornbeam_log:halt(?ENDED)
    end.

%% @doc What the launcher has set for the allocator of this process alone (hornbeam/vm.py) is taken out of the environment of all that it starts.
-spec forget_allocator() -> ok.
forget_allocator() ->
    Names = string:lexemes(os:getenv("HORNBEAM_MALLOC", ""), " "),
    lists:foreach(fun os:unsetenv/1, ["HORNBEAM_MALLOC" | Names]).
