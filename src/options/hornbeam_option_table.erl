%%% The one declaration of every option of Hornbeam.
%%%
%%% Owns: what options exist: key, type, default, scope, group, documentation, and the checks that involve several
%%% options. Everything else is derived from it: validation (hornbeam_options), environment variables, flags and
%%% sys.config (hornbeam_option_sources), `--help` and docs/options.md (hornbeam_option_docs).
%%% Called by those modules and by hornbeam_option_mount. Calls hornbeam_option_table_listener (the options of the sockets),
%%% hornbeam_option_table_trace, hornbeam_option_table_channels, hornbeam_option_table_tasks, hornbeam_option_table_cluster, hornbeam_option_table_dashboard, hornbeam_option_cluster (checks/1) and text helpers.
%%%
%%% To add an option: add one entry to the group it belongs to, and run `make docs`. Nothing else names options, but for
%%% hornbeam_option_aliases, which has the flags of other servers.
%%%
%%%   key      the atom in a map of options; `--kebab-case` and HORNBEAM_UPPER_CASE follow from it
%%%   type     see hornbeam_option_types:type(); a new kind of value is a module with that behaviour: {custom, Module}
%%%   default  as a user would write it; it is validated like any other value
%%%   scope    server, or mount when a mount may have its own value
%%%   doc      one line; say what 0, infinity and "" mean
%%% and, where they apply:
%%%   unit     ms | us | bytes, shown in the documentation
%%%   check    fun((Normalised) -> ok | {error, Text} | {error, Text, Culprit}): what the type alone cannot say
%%%   secret   true: the value is masked by hornbeam_options:mask/1 and never quoted in an error
%%%   implied_by  options of which any, given and not empty, makes true the default of this one
%%%   metavar  what stands for the value in `--help` where the type alone does not tell
%%%   flag     the flag's name where it is not the key's (a list whose flag reads better in the singular)
%%%
%%% An option that nothing reads is a defect: declare it with the code that uses it.
-module(hornbeam_option_table).

-export([specs/0, groups/0, cross_checks/0, find/1]).

-type spec() :: hornbeam_option_types:spec().
-type group() :: observability | application | python | listener | tls | workers | timeouts | limits | websocket | channels | services | cluster | tasks.
-export_type([group/0]).

%% The longest time that Erlang's timers and `receive ... after` both take, about 49 days.
-define(MAX_MS, 16#FFFFFFFF).
-define(MIB, 1048576).

%% The groups in the order in which the documentation shows them, with their headings.
-spec groups() -> [{group(), string()}].
groups() ->
    [{application, "Application"}, {python, "Python"}, {listener, "Listeners"}, {tls, "TLS"}, {workers, "Workers"},
     {observability, "Observability"}, {timeouts, "Timeouts"}, {limits, "Limits"}, {websocket, "WebSocket"}, {channels, "Channels"},
     {services, "Shared state and other nodes"}, {cluster, "Cluster"}, {tasks, "Background tasks"}].

-spec specs() -> [spec()].
specs() ->
    application() ++ python() ++ hornbeam_option_table_listener:listener() ++ hornbeam_option_table_listener:tls() ++ workers() ++ observability() ++ hornbeam_option_table_trace:trace() ++ hornbeam_option_table_dashboard:dashboard() ++ timeouts() ++ limits() ++ websocket()
    ++ hornbeam_option_table_channels:channels() ++ services() ++ hornbeam_option_table_cluster:cluster() ++ hornbeam_option_table_tasks:tasks().

-spec find(term()) -> {ok, spec()} | error.
find(Key) ->
    case [Spec || #{key := K} = Spec <- specs(), K =:= Key] of
        [Spec] -> {ok, Spec};
        [] -> error
    end.

%% Checks of the whole map, after every value has been normalised. The first error is reported.
-spec cross_checks() -> [fun((map()) -> ok | {error, {atom(), iodata()}})].
cross_checks() ->
    [fun one_interpreter/1, fun hornbeam_option_table_trace:id_to_show/1, fun hornbeam_option_table_listener:tls_is_complete/1, fun hornbeam_option_cluster:checks/1, fun hornbeam_option_table_dashboard:is_guarded/1].

%% --- the options ---------------------------------------------------------------------------------------------------

application() ->
    [#{group => application, key => app, type => {optional, app}, default => "", scope => server, metavar => "APP",
       doc => "The application to serve, as MODULE:ATTRIBUTE, or MODULE, in which app and application are looked for (with "
              "factory first create_app and make_app); run's first argument. Set in sys.config or the environment, "
              "the OTP application serves it when it starts. \"\" for none, or where there are only mounts."},
     #{group => application, key => worker_class, type => {enum, [auto, asgi, wsgi]}, default => auto, scope => mount,
       doc => "Interface of the application; auto tells by what it takes: (scope, receive, send) is asgi, (environ, start_response) "
              "wsgi, for what does not say asgi."},
     #{group => application, key => threads, type => {integer, 1, 1024}, default => 4, scope => mount,
       doc => "Threads of each worker of a WSGI application, and so its requests in progress; more wait in the queue. Nothing for ASGI."},
     #{group => application, key => factory, type => boolean, default => false, scope => mount,
       doc => "APP is a factory: it is called with nothing and returns the application. A callable that takes nothing is "
              "called in any case; with this option a factory that cannot be called is said to be one."},
     #{group => application, key => lifespan, type => {enum, [auto, on, off]}, default => auto, scope => mount,
       doc => "ASGI lifespan events: auto runs without them where the application does not support them, on makes "
              "that a start-up error, off never sends them."},
     #{group => application, key => root_path, type => text, default => "", scope => server,
       check => fun root_path/1,
       doc => "Path under which a proxy publishes the server: begins with \"/\" and does not end with it; \"\" for "
              "none."},
     #{group => application, key => mounts, flag => "mount", metavar => "PREFIX=APP[;OPTION=VALUE]...",
       type => {list, {custom, hornbeam_option_mount}},
       default => [], scope => server, check => fun different_prefixes/1,
       doc => "Further applications, each below a path or of a host: /api, api.example.org, *.example.org/v1. The exact host wins, then "
              "the wildcard (one label), then the longest prefix. A mount may have its own value of each option marked \"per mount\"."},
     #{group => application, key => services, flag => "service", metavar => "NAME=TARGET[;KEY=VALUE]...",
       type => {list, {custom, hornbeam_option_service}}, default => [], scope => server, check => fun different_names/1,
       doc => "Service pools: objects that are made once in each process of a pool of their own, from a class or factory (TARGET, as "
              "MODULE:ATTRIBUTE), and whose methods every worker calls by name. KEY is processes (1), concurrency (calls in progress "
              "in one process, 32), queue (calls that wait, 1000), or an option marked \"per mount\" that does not speak of HTTP."},
     #{group => application, key => http_hooks, metavar => "HOOK", type => {list, {custom, hornbeam_option_hook}}, default => [],
       scope => server,
       doc => "Erlang functions that see each request before its application is chosen, and each response before it leaves "
              "(docs/http-hooks.md): modules of the behaviour hornbeam_http_hook or functions for single stages, in order; funs "
              "from Erlang."},
     #{group => application, key => erlang_path, type => {list, directory}, default => [], scope => server,
       doc => "Folders of compiled Erlang modules (.beam), put behind the VM's code path: for http_hooks and functions that "
              "Python calls."},
     #{group => application, key => static, metavar => "PREFIX=FOLDER[;OPTION=VALUE]...",
       type => {list, {custom, hornbeam_option_static}}, default => [], scope => server, check => fun different_folders/1,
       doc => "Folders of files that are served without Python, each below a path; docs/static.md has the options of a folder. Before a "
              "mount of the same path, which gets what is not there."},
     #{group => application, key => reload, type => boolean, default => false, scope => server,
       doc => "For development: watches the Python files in pythonpath and reloads when one changes."},
     #{group => application, key => reload_dirs, flag => "reload-dir", type => {list, directory}, default => [], scope => server,
       doc => "Directories that reload watches, in place of those in pythonpath."},
     #{group => application, key => reload_include, metavar => "PATTERN", type => {list, text}, default => [], scope => server,
       doc => "Other files that reload watches besides *.py, *.pyi and *.pyx: glob patterns of their names, such as *.html, or of the "
              "end of their paths; or directories, which are watched as well. A file named without a wildcard, such as .env, is not "
              "excluded."},
     #{group => application, key => reload_exclude, metavar => "PATTERN", type => {list, text}, default => [], scope => server,
       doc => "What reload does not watch, besides .*, *.py[cod], .sw.*, ~*, __pycache__, node_modules and virtual environments: glob "
              "patterns of files, or of directories with all below them. Where it names *.py itself, that is not included."},
     #{group => application, key => control, type => text, default => "auto", scope => server,
       doc => "Socket for hornbeam status, reload and stop: a path; auto for one in the user's runtime folder, off for "
              "none."},
     #{group => application, key => name, type => name, default => default, scope => server,
       doc => "Name of the server; one node can run several under different names."}].

python() ->
    [#{group => python, key => python, type => interpreter, default => "python3", scope => mount,
       doc => "Interpreter of the workers: a name that is looked up in PATH, or a path. Not together with venv."},
     #{group => python, key => venv, type => {optional, venv}, default => "", scope => mount,
       doc => "Virtual environment whose interpreter runs the workers; \"\" for none."},
     #{group => python, key => pythonpath, type => {list, directory}, default => ["."], scope => mount,
       doc => "Directories put in front of sys.path."},
     #{group => python, key => preload, type => boolean, default => false, scope => mount,
       doc => "Imports the application once, in a process that then forks the workers: they share its memory, and the second one starts at once. "
              "Needs Linux. See docs/preload.md for what must not be imported so."},
     #{group => python, key => chdir, type => {optional, directory}, default => "", scope => server,
       doc => "Directory that the workers run in, and that relative paths of the other Python options start from; \"\" "
              "for the server's own."},
     #{group => python, key => env, type => environment, default => [], scope => mount, secret => true,
       doc => "Environment variables of the workers, besides those of the server."},
     #{group => python, key => env_file, metavar => "FILE", type => {list, {custom, hornbeam_option_env_file}}, default => [],
       scope => mount,
       doc => "Files of further environment variables of the workers (.env), a later one before an earlier one: lines NAME=VALUE, also "
              "with export, quotes and # comments. What the server's own environment or env has is not replaced. Read when a worker "
              "starts."},
     #{group => python, key => user, metavar => "USER", type => {optional, {custom, hornbeam_option_account}}, default => "", scope => mount,
       doc => "User that the workers run as, with its groups, HOME, USER and LOGNAME; the server itself must be root's. \"\" for the server's own."},
     #{group => python, key => group, metavar => "GROUP", type => {optional, {custom, hornbeam_option_account}}, default => "", scope => mount,
       doc => "Group that the workers run as; \"\" for the user's own, or the server's."},
     #{group => python, key => log_level, type => {enum, [debug, info, warning, error, critical]}, default => info,
       scope => server,
       doc => "Level of the logger hornbeam in the workers: what the server says itself there. Other loggers have the levels that "
              "the application or log_config gives them; where neither does, WARNING and up is logged."},
     #{group => python, key => log_config, type => {optional, {custom, hornbeam_option_file}}, default => "", scope => server,
       metavar => "FILE",
       doc => "File for Python's logging, read before the application is imported: .json, .yaml, .yml and .toml as "
              "logging.config.dictConfig takes them, others (.ini) as fileConfig does. \"\" for none."},
     #{group => python, key => loop, type => {enum, [auto, uvloop, asyncio]}, default => auto, scope => server,
       doc => "Event loop; auto takes uvloop where it can be imported."},
     #{group => python, key => call_poll_time, type => {integer, 0, 10000}, unit => us, default => 200,
       scope => server,
       doc => "How long a synchronous call to Erlang polls for its answer before it blocks, and Erlang for the next "
              "of a row of calls; 0 blocks at once. Polling makes such calls about nine times as fast."}].

workers() ->
    [#{group => workers, key => workers, type => {integer, 1, 1024}, default => 1, scope => mount,
       doc => "Python processes of the application. One is enough to begin with, as in uvicorn; more use more cores."},
     #{group => workers, key => max_concurrency, type => {integer, 1, 1000000}, default => 10000, scope => server,
       doc => "Requests in progress in one worker; more wait in the queue."},
     #{group => workers, key => max_queue, type => {integer, 0, 1000000}, default => 1000, scope => server,
       doc => "Requests that may wait for a worker; more are answered with 503. 0 for no queue."},
     #{group => workers, key => affinity, type => {list, {custom, hornbeam_option_affinity}}, metavar => "SOURCE", default => [], scope => mount,
       doc => "What tells which worker a request belongs to, the first that it has: cookie (the server's own), cookie:NAME, header:NAME, "
              "query:NAME, path:NUMBER (a segment below the mount), client (its address). None given, or off: the least loaded one."},
     #{group => workers, key => affinity_cookie, type => text, default => "hornbeam_affinity", scope => server, check => fun cookie_name/1,
       doc => "Name of the server's own cookie for affinity."},
     #{group => workers, key => affinity_secret, type => text, default => "", scope => server, secret => true,
       doc => "What that cookie is signed with; \"\" for a random one, which lasts as long as the server. Best given in the environment "
              "or a file, since others can see flags."},
     #{group => workers, key => max_requests, type => {limit, 1, 1000000000}, default => infinity, scope => mount,
       doc => "Requests after which a worker is replaced by a fresh one, without a request noticing; infinity for never."},
     #{group => workers, key => max_requests_jitter, type => {integer, 0, 1000000000}, default => 0, scope => mount,
       doc => "Up to so many requests are added to max_requests, at random for each worker."},
     #{group => workers, key => max_worker_lifetime, type => {limit, 1, ?MAX_MS}, unit => ms, default => infinity,
       scope => mount, doc => "Age at which a worker is replaced, less up to a tenth at random; infinity for never."},
     #{group => workers, key => max_worker_memory, type => {auto, {limit, ?MIB, 16#FFFFFFFFFFFF}}, unit => bytes,
       default => auto, scope => mount,
       doc => "Resident memory at which a worker is replaced (looked at every 2 s; Linux); infinity for never. auto: while "
              "less than a tenth of the machine's or the control group's memory is left, a worker that has doubled since "
              "its first ten minutes."},
     #{group => workers, key => max_worker_backlog, type => {integer, 64 * ?MIB, 16#FFFFFFFFFFFF}, unit => bytes,
       default => 256 * ?MIB, scope => mount,
       doc => "What a worker may have sent that waits, since it does not read its answers or sends without an end; beyond it "
              "it is killed. Its calls wait while an eighth of this is not read, published messages are dropped from a half."},
     #{group => workers, key => worker_heartbeat, type => {timeout, ?MAX_MS}, unit => ms, default => 30000,
       scope => mount,
       doc => "How long a worker's event loop may be blocked before its stacks are logged and it is replaced."},
     #{group => workers, key => window, type => {integer, 1024, 1024 * ?MIB}, unit => bytes, default => 262144,
       scope => server,
       doc => "Bytes of a response that the client has not taken yet before the application's send() waits; four times as many, "
              "up to 1 MiB, when its worker has 32 requests in progress or fewer."},
     #{group => workers, key => body_prefetch, type => {integer, 0, 16 * ?MIB}, unit => bytes, default => 262144,
       scope => server,
       doc => "Bytes of a request's body sent to the worker before the application asks for them; as many more as for `window`."}].

observability() ->
    [#{group => observability, key => access_log, type => {enum, [off, combined, json]}, default => off, scope => server,
       doc => "One line for each request: in the combined format that web servers share, or as JSON."},
     #{group => observability, key => access_log_file, type => text, default => "", scope => server,
       doc => "File of the access log; it is made again when it was moved away. \"\" for standard output."},
     #{group => observability, key => access_log_fields, type => {list, text}, default => [], scope => server,
       check => fun hornbeam_option_fields:check/1,
       doc => "Fields of the JSON access log, in order; none given for all but header:NAME."},
     #{group => observability, key => log_format, type => {enum, [text, json]}, default => text, scope => server,
       doc => "The server's log: lines of text, or a JSON object per line with time, level, logger, message, pid and, where there "
              "are such, exception, request_id, trace_id, span_id, worker and node. Only where the command hornbeam has started the VM."},
     #{group => observability, key => use_colors, type => {auto, boolean}, default => auto, scope => server,
       doc => "Colours in the log and in a combined access log; auto: on a terminal, unless NO_COLOR is set (FORCE_COLOR: always). "
              "Only where the command hornbeam has started the VM."},
     #{group => observability, key => request_id, type => boolean, default => false, scope => server,
       doc => "Gives every request an id: that of its x-request-id header or a new one; returned, in the scope and in log "
              "lines."},
     #{group => observability, key => slow_request, type => {integer, 0, ?MAX_MS}, unit => ms, default => 0, scope => server,
       doc => "A request that a worker has had for so long is logged once, with the stack of its task or thread; 0 for none."},
     #{group => observability, key => debug, type => boolean, default => false, scope => server,
       doc => "For a debugger in the application (breakpoint() reads the terminal): timeout, queue_timeout, startup_timeout and "
              "worker_heartbeat are infinity, whatever is given for them."},
     #{group => observability, key => metrics_bind, metavar => "ADDRESS", type => {list, {custom, hornbeam_option_bind}},
       default => [], scope => server,
       doc => "Addresses for /metrics (Prometheus), /healthz and /readyz. Not for the public."},
     #{group => observability, key => metrics_max_series, type => {integer, 1, 1000000}, default => 2000, scope => server,
       doc => "How many series (values of labels) each metric of the application may have; what is beyond is refused and counted."},
     #{group => observability, key => metrics_opentelemetry, type => boolean, default => false, scope => server,
       doc => "With metrics_bind, and opentelemetry-sdk: what is counted with OpenTelemetry's API is in /metrics also where the application "
              "sets no meter provider. Libraries that know the API count from then on, too, FastAPI among them."},
     #{group => observability, key => metrics_max_routes, type => {integer, 1, 100000}, default => 200, scope => server,
       doc => "How many routes (templates of paths) have figures of their own; the others share those of the route \"other\"."},
     #{group => observability, key => crash_dump_dir, type => text, default => "", scope => server, metavar => "DIR",
       doc => "Folder of mode 0700 (made where it is not there) for the Erlang VM's crash dump of at most 256 MiB, which holds "
              "keys, cookies and the like; \"\" for no dump. Only where the command hornbeam has started the VM."}].

timeouts() ->
    [#{group => timeouts, key => timeout, type => {timeout, ?MAX_MS}, unit => ms, default => 60000, scope => mount,
       doc => "Until the application has started its response; then 504. Not a limit on the response itself."},
     #{group => timeouts, key => queue_timeout, type => {limit, 0, ?MAX_MS}, unit => ms, default => 10000,
       scope => server, doc => "How long a request may wait for a worker; then 503."},
     #{group => timeouts, key => startup_timeout, type => {limit, 1, ?MAX_MS}, unit => ms, default => 60000,
       scope => server, doc => "Until a worker is ready: imports and lifespan start-up included."},
     #{group => timeouts, key => graceful_timeout, type => {limit, 0, ?MAX_MS}, unit => ms, default => 30000,
       scope => server, doc => "How long a stop waits for what is in progress; 0 does not wait."},
     #{group => timeouts, key => shutdown_timeout, type => {integer, 1, ?MAX_MS}, unit => ms, default => 10000,
       scope => server,
       doc => "How long a worker may take to end: half of it for tasks in progress, then lifespan shutdown."},
     #{group => timeouts, key => keepalive_timeout, type => {limit, 1, ?MAX_MS}, unit => ms, default => 75000,
       scope => server,
       doc => "How long a connection may stay idle between requests. Longer than the 60 s after which common load "
              "balancers give up, so that they close first and never send a request into a closing connection."},
     #{group => timeouts, key => send_timeout, type => {limit, 1, ?MAX_MS}, unit => ms, default => 30000,
       scope => server,
       doc => "How long a client may take nothing of what is sent to it; then the connection (HTTP/2: the stream) is closed."},
     #{group => timeouts, key => header_timeout, type => {limit, 1, ?MAX_MS}, unit => ms, default => 30000,
       scope => server, doc => "From the first byte of a request's head to the last; then 408, on HTTP/2 the connection closes."},
     #{group => timeouts, key => body_timeout, type => {limit, 1, ?MAX_MS}, unit => ms, default => 30000,
       scope => server,
       doc => "How long a request's body that is waited for may pause; then 408, or the response is cut."}].

limits() ->
    [#{group => limits, key => max_request_line, type => {integer, 64, ?MIB}, unit => bytes, default => 8192,
       scope => server, doc => "Length of the request line; beyond it 414."},
     #{group => limits, key => max_header_size, type => {integer, 64, ?MIB}, unit => bytes, default => 16384,
       scope => server, doc => "Length of one header field's value; beyond it 431."},
     #{group => limits, key => max_headers, type => {integer, 1, 10000}, default => 100, scope => server,
       doc => "Header fields of a request; beyond it 431."},
     #{group => limits, key => max_head_size, type => {integer, 1024, 16 * ?MIB}, unit => bytes, default => 65536,
       scope => server, doc => "All header fields of a request together; beyond it 431."},
     #{group => limits, key => max_keepalive, type => {limit, 1, 1000000000}, default => infinity, scope => server,
       doc => "Requests on one connection; then it closes."},
     #{group => limits, key => max_streams, type => {integer, 1, 100000}, default => 100, scope => server,
       doc => "Requests in progress at once on one HTTP/2 connection. An HTTP/1 connection has one."},
     #{group => limits, key => max_client_requests, type => {limit, 1, 100000000}, default => 5000, scope => server,
       doc => "Requests in progress at once from one client address (IPv6: one /64); beyond it 429. By default half the places "
              "of one worker, and more than a proxy or a load generator has in progress. A client is whom a trusted "
              "proxy names; Unix sockets and trusted proxies themselves are not counted."},
     #{group => limits, key => max_frame_rate, type => {integer, 100, 100000000}, default => 1000000, scope => server,
       doc => "HTTP/2 frames of all kinds from one client in ten seconds; beyond it the connection closes. An upload of "
              "160 MB/s in frames of 16 KiB takes 100000, and one here may be four times as fast."},
     #{group => limits, key => max_empty_frame_rate, type => {integer, 10, 100000000}, default => 5000, scope => server,
       doc => "HTTP/2 frames that carry nothing (PING, SETTINGS, empty DATA) from one client in ten seconds; beyond it the "
              "connection closes. Clients that watch over their connections send a few."},
     #{group => limits, key => max_reset_rate, type => {integer, 1, 1000000}, default => 500, scope => server,
       doc => "HTTP/2 streams of one connection that are reset in ten seconds; beyond it the connection closes."},
     #{group => limits, key => max_body_size, type => {limit, 0, 16#7FFFFFFFFFFFFFFF}, unit => bytes,
       default => 1024 * ?MIB, scope => server,
       doc => "Length of a request's body; beyond it 413. Little of a body is held here, but an application that reads all of "
              "it holds all of it, and one that saves it fills a disk. 1 GiB is Apache's default, too."},
     #{group => limits, key => max_memory_percent, type => {integer, 1, 100}, default => 60, scope => server,
       doc => "How much of the memory that the cgroup (else the machine) allows the Erlang VM may take, in percent: beyond it, "
              "requests are answered with 503 until it takes less. 100 for no limit. One limit for the node."}].

services() ->
    [#{group => services, key => state_max_entries, type => {limit, 1, 16#7FFFFFFFFFFFFFFF}, default => infinity,
       scope => server,
       doc => "Entries of the shared state; beyond it those written longest ago are evicted. One limit for the node."},
     #{group => services, key => state_max_bytes, type => {auto, {limit, 1024, 16#7FFFFFFFFFFFFFFF}}, unit => bytes,
       default => auto, scope => server,
       doc => "Keys and values of the shared state together, in the external term format; evicted likewise. With what "
              "the tables take besides, the state has three times this at most. auto: 512 MiB, but no more than a tenth of the "
              "machine's or the control group's memory; infinity for no limit."},
     #{group => services, key => cache_max_bytes, type => {auto, {limit, 0, 16#7FFFFFFFFFFFFFFF}}, unit => bytes,
       default => auto, scope => server,
       doc => "Results of cached_inference and cached together, with 720 bytes for each besides; beyond it those used least recently are "
              "evicted. auto: 128 MiB, but no more than a twentieth of the machine's or the control group's memory; 0 stores nothing, "
              "infinity for no limit. One limit for the node."},
     #{group => services, key => rpc_allow, metavar => "MODULE:FUNCTION", type => {list, {custom, hornbeam_option_rpc}},
       default => [], scope => server,
       doc => "Functions that rpc_call and rpc_cast may run on any node: {Module, Function}, or all; nothing by "
              "default."},
     #{group => services, key => cluster_nodes, flag => "cluster-node", metavar => "NAME@HOST", type => {list, name},
       default => [], scope => server,
       doc => "Erlang nodes that connect() may reach though this node does not know them yet."}].

websocket() ->
    [#{group => websocket, key => websocket, type => boolean, default => true, scope => server,
       doc => "Whether WebSockets are accepted. Without, an upgrade is a request like others, and HTTP/2 does not offer them."},
     #{group => websocket, key => websocket_timeout, type => {limit, 1, ?MAX_MS}, unit => ms, default => 60000,
       scope => server,
       doc => "How long a WebSocket client may say nothing, not even answer a ping, before its connection is closed."},
     #{group => websocket, key => websocket_ping_interval, type => {limit, 1, ?MAX_MS}, unit => ms, default => 20000,
       scope => server, doc => "How often a WebSocket client is sent a ping; infinity for never."},
     #{group => websocket, key => websocket_max_frame_size, type => {integer, 125, 60 * ?MIB}, unit => bytes,
       default => 16 * ?MIB, scope => server,
       doc => "Length of one WebSocket message of a client, all its fragments together and unpacked; beyond it close "
              "code 1009, and beyond one fragment for each 64 of these bytes (1024 at least)."},
     #{group => websocket, key => websocket_max_connections, type => {limit, 1, 10000000}, default => 16384,
       scope => server,
       doc => "Open WebSocket connections, which max_connections does not count; more handshakes are answered with 503. "
              "So many that are idle take 160 MB, over TLS 2 GB."},
     #{group => websocket, key => websocket_origins, flag => "websocket-origin", metavar => "ORIGIN",
       type => {list, text}, default => [], scope => server, check => fun origins/1,
       doc => "Origins whose pages may open a WebSocket, like \"https://example.com\"; others are answered with 403. "
              "None given: all may. A client that sends no Origin is no browser and always may."},
     #{group => websocket, key => websocket_slow_consumer, type => {enum, [close, drop]}, default => drop,
       scope => server,
       doc => "What a published message costs a WebSocket subscriber whose socket is full: the message (drop) or the "
              "connection (close, with code 1008)."},
     #{group => websocket, key => websocket_compress, type => boolean, default => false, scope => server,
       doc => "Whether WebSocket messages are compressed for clients that offer it (permessage-deflate)."},
     #{group => websocket, key => websocket_compress_window_bits, type => {integer, 9, 15}, default => 12,
       scope => server,
       doc => "Window of the compression as a power of two: a connection takes 4 times 2^bits bytes for it."},
     #{group => websocket, key => websocket_compress_mem_level, type => {integer, 1, 9}, default => 5, scope => server,
       doc => "Memory of the compression: a connection takes 2^(level + 9) bytes for it."},
     #{group => websocket, key => websocket_compress_context, type => boolean, default => true, scope => server,
       doc => "Whether a message is compressed with what came before it; without, less memory is in use between "
              "messages and less is saved."}].

%% --- what a type alone cannot say ----------------------------------------------------------------------------------

root_path(<<>>) ->
    ok;
root_path(Path) ->
    case re:run(Path, "^/[^?#\\s[:cntrl:]]*[^/?#\\s[:cntrl:]]$", [unicode, dollar_endonly]) of
        {match, _} -> ok;
        nomatch -> {error, "must begin with \"/\" and not end with it", Path}
    end.

%% RFC 6265, 4.1.1.
cookie_name(Name) ->
    case re:run(Name, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", [dollar_endonly]) of
        {match, _} -> ok;
        nomatch -> {error, "must be the name of a cookie", Name}
    end.

origins(Origins) ->
    case [Origin || Origin <- Origins, not is_origin(Origin)] of
        [] -> ok;
        [Wrong | _] -> {error, "must be a scheme, \"://\" and a host, in lower case, with no path", Wrong}
    end.

is_origin(Origin) ->
    re:run(Origin, "^[a-z][a-z0-9+.-]*://[^/[:space:][:upper:]]+$", [unicode, dollar_endonly]) =/= nomatch.

different_prefixes(Mounts) -> different(Mounts, "has two applications at ").

different_names(Services) -> different(Services, "has two services with the name ").

different(Items, Problem) ->
    Keys = [Key || {Key, _, _} <- Items],
    case Keys -- lists:usort(Keys) of
        [] -> ok;
        [Twice | _] -> {error, [Problem, hornbeam_option_text:show(Twice)]}
    end.

%% Only where there are folders is the module loaded that knows them.
different_folders([]) -> ok;
different_folders(Static) -> hornbeam_option_static:different_prefixes(Static).

%% Compared with the defaults, not with what was given, so that a validated map is valid again.
one_interpreter(#{venv := Venv, python := Python}) ->
    {ok, #{default := Default}} = find(python),
    case Venv =/= <<>> andalso Python =/= list_to_binary(Default) of
        true -> {error, {venv, ["cannot be given together with python: venv ", hornbeam_option_text:show(Venv),
                               ", python ", hornbeam_option_text:show(Python)]}};
        false -> ok
    end.
