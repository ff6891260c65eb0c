%%% Signals to the VM of a server that hornbeam_cli started: SIGTERM stops it, a second one ends it at once, SIGHUP reloads.
%%%
%%% Called by: hornbeam_cli (install/0). The handler of OTP's erl_signal_server, in place of OTP's own, whose part for the other
%%% signals it does as well. Embedded in somebody else's VM nothing is installed.
%%%
%%% Erlang cannot handle SIGINT: the launcher sends SIGTSTP for it, so that the log can say what came. Only there: a release is
%%% the terminal's own process, gets a SIGTSTP for a Ctrl-Z, and ignores a Ctrl-C (+Bi).
-module(hornbeam_signals).
-behaviour(gen_event).

-export([install/0, init/1, handle_event/2, handle_call/2]).

%% What the shell reports of a process that SIGTERM has ended: 128 + 15.
-define(TERMINATED, 143).

-type state() :: running | stopping.

-spec install() -> ok.
install() ->
    ok = gen_event:swap_handler(erl_signal_server, {erl_signal_handler, []}, {?MODULE, []}),
    _ = [ok = os:set_signal(sigtstp, handle) || has_launcher()],
    ok = os:set_signal(sighup, handle).

has_launcher() -> init:get_argument(launcher) =/= error.

-spec init({[], Handed :: term()}) -> {ok, state()}.
init({[], _Handed}) ->
    {ok, running}.

-spec handle_event(term(), state()) -> {ok, state()}.
handle_event(sigterm, running) ->
    stop("SIGTERM");
handle_event(sigtstp, running) ->
    stop("SIGINT");
handle_event(sigterm, stopping) ->
    %% The launcher repeats itself, and kills at the second by itself.
    case has_launcher() of
        true -> {ok, stopping};
        %% The Python workers see the end of their pipes.
        false -> erlang:halt(?TERMINATED, [{flush, false}])
    end;
handle_event(sighup, running) ->
    %% Not here: signals must not wait for a reload.
    _ = spawn(fun() -> lists:foreach(fun reload/1, hornbeam_server_sup:servers()) end),
    {ok, running};
handle_event(sigusr1, _State) ->
    erlang:halt("Received SIGUSR1");
handle_event(sigquit, _State) ->
    erlang:halt();
handle_event(_Signal, State) ->
    {ok, State}.

stop(Signal) ->
    logger:notice("~s received - shutting down", [Signal]),
    hornbeam_systemd:stopping(),
    ok = init:stop(),
    {ok, stopping}.

%% hornbeam_reload logs how it went.
reload(Name) ->
    case hornbeam_reload:reload(Name, #{}) of
        ok -> ok;
        {error, _} -> ok
    end.

-spec handle_call(term(), state()) -> {ok, {error, not_supported}, state()}.
handle_call(_Request, State) ->
    {ok, {error, not_supported}, State}.
