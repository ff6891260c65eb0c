%%% The public interface: start, reload, stop and look at servers of Python applications.
%%%
%%%     1> hornbeam:start("app:app", #{worker_class => asgi, lifespan => on}).
%%%     {ok, <0.123.0>}
%%%
%%% Called by: people, OTP applications, hornbeam_cli. Calls: hornbeam_options, hornbeam_server, hornbeam_reload,
%%% hornbeam_call, hornbeam_service_calls, hornbeam_callbacks.
-module(hornbeam).

-export([start/1, start/2, serve/2, stop/0, stop/1, reload/0, reload/1, reload/2, info/0, info/1, format_error/1]).
-export([call/2, call/3, call/4]).
-export([service_call/4, service_call/5, service_stream/4, service_next/1, service_next/2, service_stop/1]).
-export([mount/3, unmount/2]).
-export([register_function/2, register_function/3, unregister_function/1]).
-export([reload_certs/0, reload_certs/1]).

%% The name of a server that was given none.
-define(DEFAULT, default).

%% @doc Starts a server from options alone: with `mounts', or with the application as `app'.
-spec start(App :: string() | binary() | map()) -> {ok, pid()} | {error, term()}.
start(Options) when is_map(Options) -> start(undefined, Options);
start(App) -> start(App, #{}).

%% @doc Starts a server for `"module:attribute"' and returns when every worker is ready and the socket
%% is open. Options: docs/options.md. After an error nothing is left running;
%% format_error/1 makes a text of the reason.
%%
%% The process is the server's supervisor. It ends when the server is stopped, and when a part of it has failed too often;
%% monitor it to be told of that.
-spec start(App :: string() | binary() | undefined, Options :: map()) ->
    {ok, pid()} | {error, term()}.
start(App, Options) ->
    case application:ensure_all_started(hornbeam) of
        {ok, _} -> resolved(hornbeam_options:resolve(with_app(App, Options)));
        {error, Reason} -> {error, Reason}
    end.

with_app(undefined, Options) -> Options;
with_app(App, Options) -> Options#{app => App}.

resolved({ok, Config}) -> serve(Config, embedded);
resolved({error, Reason}) -> {error, Reason}.

%% @doc Starts a server from options that hornbeam_options:resolve/1 has validated, in a node where the OTP
%% application runs or is just being started. Bond: what follows when it ends by itself (hornbeam_server_monitor).
-spec serve(hornbeam_options:options(), hornbeam_server_monitor:bond()) -> {ok, pid()} | {error, term()}.
serve(#{app := <<>>, mounts := [], static := []}, _Bond) ->
    {error, no_application};
serve(Config, Bond) ->
    case hornbeam_server:check_modules(Config) of
        ok -> checked(Config, Bond);
        {error, Reason} -> {error, Reason}
    end.

checked(#{name := Name, dashboard_bind := Dashboard} = Config, Bond) ->
    case hornbeam_server:check_mounts(hornbeam_mounts:build(Name, Config) ++ hornbeam_service_pools:build(Name, Config)) of
        ok ->
            ok = hornbeam_state:configure(Config),
            ok = hornbeam_cache:configure(Config),
            ok = hornbeam_memory:configure(Config),
            hornbeam_server:start(Name, Config, Bond, [hornbeam_watch, hornbeam_control | [hornbeam_dashboard_sup || Dashboard =/= []]]);
        {error, Reason} -> {error, Reason}
    end.

%% @doc Reloads the server with the default name: the same options, the application's code anew. See reload/2.
-spec reload() -> ok | {error, term()}.
reload() ->
    reload(?DEFAULT, #{}).

%% @doc Reloads the server with that name; or the default one, with other options.
-spec reload(Name :: atom() | map()) -> ok | {error, term()}.
reload(Options) when is_map(Options) -> reload(?DEFAULT, Options);
reload(Name) -> reload(Name, #{}).

%% @doc Starts new workers, with other options where some are given, and returns when they have taken over; the old ones
%% finish what they have, up to graceful_timeout. No connection is dropped and no request lost. When the new
%% workers do not start, the old ones go on as if nothing had happened, and the reason is the error.
-spec reload(Name :: atom(), Options :: map()) -> ok | {error, term()}.
reload(Name, Options) ->
    hornbeam_reload:reload(Name, Options).

%% @doc Adds an application to a running server, or replaces the one that is there. Mount: `{"/api", "api:app"}',
%% `{"api.example.org/v1", "api:app"}' or text, as in the option `mounts'. Options: those that docs/options.md marks "per mount". Returns
%% when its workers are ready and requests find them; other applications notice nothing. After an error all is as before.
-spec mount(Name :: atom(), Mount :: tuple() | string() | binary(), Options :: map()) -> ok | {error, term()}.
mount(Name, Mount, Options) ->
    hornbeam_reload:mount(Name, Mount, Options).

%% @doc Removes an application from a running server: requests find it no more, those that it has are finished within graceful_timeout.
-spec unmount(Name :: atom(), Place :: string() | binary()) -> ok | {error, term()}.
unmount(Name, Place) ->
    hornbeam_reload:unmount(Name, Place).

%% @doc Stops the server with the default name. See stop/1.
-spec stop() -> ok | {error, not_found}.
stop() ->
    stop(?DEFAULT).

%% @doc Stops a server: no new connections, what is in progress is finished (up to graceful_timeout), the
%% lifespan's shutdown runs in every worker, the processes end.
-spec stop(Name :: atom()) -> ok | {error, not_found}.
stop(Name) ->
    hornbeam_server:stop(Name).

%% @doc Reads the certificates of every server again. See reload_certs/1.
-spec reload_certs() -> ok | {error, term()}.
reload_certs() ->
    Errors = [Error || Name <- hornbeam_server_sup:servers(), {error, _} = Error <- [reload_certs(Name)]],
    case Errors of
        [] -> ok;
        [First | _] -> First
    end.

%% @doc Reads certfile, keyfile, cacertfile and the files of `sni' again. They hold for connections that are opened from now
%% on; open ones go on. After an error the server goes on with what it had.
-spec reload_certs(Name :: atom()) -> ok | {error, term()}.
reload_certs(Name) ->
    case hornbeam_server_sup:find(Name) of
        {ok, Server} ->
            case hornbeam_server:listener(Server) of
                {ok, Listener} -> hornbeam_listener:reload_certs(Listener);
                error -> {error, not_found}
            end;
        error ->
            {error, not_found}
    end.

%% @doc Looks at the server with the default name. See info/1.
-spec info() -> map() | {error, not_found}.
info() ->
    info(?DEFAULT).

%% @doc A server's name, addresses (`binds', as URLs with the ports in use) and applications, each with
%% its workers: number, state, os_pid, in_flight, requests, memory (bytes), lag and age (ms), restarts.
-spec info(Name :: atom()) -> map() | {error, not_found}.
info(Name) ->
    hornbeam_server:info(Name).

%% @doc The reason of an error as text for a person, with Python's traceback where there is one.
-spec format_error(term()) -> iodata().
format_error({error, Reason}) -> hornbeam_reason:format(Reason);
format_error(Reason) -> hornbeam_reason:format(Reason).

%% @doc As call/4, with 5 seconds and the default server.
-spec call(Target :: string() | binary(), Arguments :: [term()]) ->
    {ok, term()} | {error, hornbeam_call:failure()}.
call(Target, Arguments) ->
    call(Target, Arguments, 5000).

%% @doc As call/4, on the default server.
-spec call(Target :: string() | binary(), Arguments :: [term()], timeout()) ->
    {ok, term()} | {error, hornbeam_call:failure()}.
call(Target, Arguments, Timeout) ->
    call(Target, Arguments, Timeout, #{}).

%% @doc Runs the Python function `"module:function"' on the least loaded worker, an async one in its event
%% loop, a plain one in a thread of its own. Timeout in ms. Options: hornbeam_call:options().
-spec call(Target :: string() | binary(), Arguments :: [term()], timeout(),
           hornbeam_call:options()) ->
    {ok, term()} | {error, hornbeam_call:failure()}.
call(Target, Arguments, Timeout, Options) ->
    hornbeam_call:call(Target, Arguments, Timeout, Options).

%% @doc As service_call/5, on the default server.
-spec service_call(Service :: atom() | string() | binary(), Method :: atom() | string() | binary(), [term()], timeout()) ->
    {ok, term()} | {error, hornbeam_service_calls:failure()}.
service_call(Service, Method, Arguments, Timeout) ->
    service_call(Service, Method, Arguments, Timeout, #{}).

%% @doc Calls a method of a service (option `services') and returns its value. Timeout in ms. Options: hornbeam_service_calls:options().
-spec service_call(Service :: atom() | string() | binary(), Method :: atom() | string() | binary(), [term()], timeout(),
                   hornbeam_service_calls:options()) -> {ok, term()} | {error, hornbeam_service_calls:failure()}.
service_call(Service, Method, Arguments, Timeout, Options) ->
    hornbeam_service_calls:call(Service, Method, Arguments, Timeout, Options).

%% @doc Calls a method of a service that has many values, a generator; service_next/1 gets them one after the other, at the speed at which it is
%% called. Only in the process that has called this; when that ends, or says service_stop/1, the generator is closed.
-spec service_stream(Service :: atom() | string() | binary(), Method :: atom() | string() | binary(), [term()],
                     hornbeam_service_calls:options()) ->
    {ok, hornbeam_service_calls:stream()} | {error, hornbeam_service_calls:failure()}.
service_stream(Service, Method, Arguments, Options) ->
    hornbeam_service_calls:stream(Service, Method, Arguments, Options).

%% @doc As service_next/2, as long as the stream's own timeout allows.
-spec service_next(hornbeam_service_calls:stream()) ->
    {value, term(), hornbeam_service_calls:stream()} | done | {error, hornbeam_service_calls:failure()}.
service_next(Stream) ->
    service_next(Stream, infinity).

%% @doc The next value of a stream, and the stream as it is then; `done' behind the last one. Timeout in ms; after it the stream goes on.
-spec service_next(hornbeam_service_calls:stream(), timeout()) ->
    {value, term(), hornbeam_service_calls:stream()} | done | {error, hornbeam_service_calls:failure()}.
service_next(Stream, Timeout) ->
    hornbeam_service_calls:next(Stream, Timeout).

%% @doc Ends a stream before its last value. Its generator is closed.
-spec service_stop(hornbeam_service_calls:stream()) -> ok.
service_stop(Stream) ->
    hornbeam_service_calls:stop(Stream).

%% @doc Offers a fun to Python: `hornbeam_erlang.call(Name, ...)'. `{ok, Value}' arrives as the value,
%% `{error, Reason}' and exceptions as ErlangError, anything else as it is.
-spec register_function(hornbeam_callbacks:name(), fun()) -> ok.
register_function(Name, Fun) ->
    hornbeam_callbacks:register(Name, Fun).

%% @doc The same for a function of a module, of which the newest code is called.
-spec register_function(hornbeam_callbacks:name(), module(), atom()) -> ok.
register_function(Name, Module, Function) ->
    hornbeam_callbacks:register(Name, Module, Function).

%% @doc Takes the offer back; calls that run go on.
-spec unregister_function(hornbeam_callbacks:name()) -> ok | {error, not_registered}.
unregister_function(Name) ->
    hornbeam_callbacks:unregister(Name).
