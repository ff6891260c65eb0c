%%% Signals to the VM of a server that hornbeam_cli started: SIGHUP reloads, a second SIGTERM ends at once.
%%%
%%% Called by: hornbeam_cli (install/0), hornbeam_app (stopped/0). A handler of OTP's erl_signal_server, beside OTP's own, which turns the first SIGTERM
%%% into init:stop/0. Embedded in somebody else's VM nothing is installed.
-module(hornbeam_signals).
-behaviour(gen_event).

-export([install/0, stopped/0, init/1, handle_event/2, handle_call/2]).

%% What the shell reports of a process that SIGTERM has ended: 128 + 15.
-define(TERMINATED, 143).

%% What standard output and standard error get at the end to take what is left, each.
-define(FLUSH_MS, 500).
-define(POLL_MS, 5).

-type state() :: running | stopping.

-spec install() -> ok.
install() ->
    ok = gen_event:add_handler(erl_signal_server, ?MODULE, []),
    ok = os:set_signal(sighup, handle).

%% @doc The application has stopped. Where the VM is here for it alone and init:stop/0 is under way, the VM ends here: the
%% rest of init:stop/0 takes a second, for nothing, and would wait without end for a descriptor that nobody reads.
-spec stopped() -> ok.
stopped() ->
    case hornbeam_cli:owns_vm() andalso init:get_status() of
        {stopping, _} ->
            _ = hornbeam_log:sync(?FLUSH_MS),
            flush(erlang:monotonic_time(millisecond) + ?FLUSH_MS),
            erlang:halt(0, [{flush, false}]);
        _ ->
            ok
    end.

%% What halt/2 does by itself, but with a deadline.
flush(Deadline) ->
    Waiting = [Port || Port <- erlang:ports(), {queue_size, Size} <- [erlang:port_info(Port, queue_size)], Size > 0],
    case Waiting =:= [] orelse erlang:monotonic_time(millisecond) >= Deadline of
        true -> ok;
        false -> timer:sleep(?POLL_MS), flush(Deadline)
    end.

-spec init([]) -> {ok, state()}.
init([]) ->
    {ok, running}.

-spec handle_event(term(), state()) -> {ok, state()}.
handle_event(sigterm, running) ->
    hornbeam_systemd:stopping(),
    {ok, stopping};
handle_event(sigterm, stopping) ->
    %% bin/hornbeam repeats itself while the VM is young, and kills at the second by itself.
    case init:get_argument(launcher) of
        {ok, _} -> {ok, stopping};
        %% The Python workers see the end of their pipes.
        error -> erlang:halt(?TERMINATED, [{flush, false}])
    end;
handle_event(sighup, running) ->
    %% Not here: signals must not wait for a reload.
    _ = spawn(fun() -> lists:foreach(fun reload/1, hornbeam_server_sup:servers()) end),
    {ok, running};
handle_event(_Signal, State) ->
    {ok, State}.

%% hornbeam_reload logs how it went.
reload(Name) ->
    case hornbeam:reload(Name) of
        ok -> ok;
        {error, _} -> ok
    end.

-spec handle_call(term(), state()) -> {ok, {error, not_supported}, state()}.
handle_call(_Request, State) ->
    {ok, {error, not_supported}, State}.
