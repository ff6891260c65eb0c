%%% Signals to the VM of a server that hornbeam_cli started: SIGHUP reloads, a second SIGTERM ends at once.
%%%
%%% Called by: hornbeam_cli (install/0). A handler of OTP's erl_signal_server, beside OTP's own, which turns the first SIGTERM
%%% into init:stop/0. Embedded in somebody else's VM nothing is installed.
-module(hornbeam_signals).
-behaviour(gen_event).

-export([install/0, init/1, handle_event/2, handle_call/2]).

%% What the shell reports of a process that SIGTERM has ended: 128 + 15.
-define(TERMINATED, 143).

-type state() :: running | stopping.

-spec install() -> ok.
install() ->
    ok = gen_event:add_handler(erl_signal_server, ?MODULE, []),
    ok = os:set_signal(sighup, handle).

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
