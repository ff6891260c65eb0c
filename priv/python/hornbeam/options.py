"""The options as keyword arguments. Generated from the table of options by `make docs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Literal, TypedDict

__all__ = ["FLAGS", "Options"]


class Options(TypedDict, total=False):
    """Of docs/options.md, with its units; None is the default. A list may be one item."""

    # Interface of the application; auto tells by what it takes: (scope,
    # receive, send) is asgi, (environ, start_response) wsgi, for what does not
    # say asgi.
    worker_class: Literal["auto", "asgi", "wsgi"] | None

    # Threads of each worker of a WSGI application, and so its requests in
    # progress; more wait in the queue. Nothing for ASGI.
    threads: int | None

    # APP is a factory: it is called with nothing and returns the application.
    # A callable that takes nothing is called in any case; with this option a
    # factory that cannot be called is said to be one.
    factory: bool | None

    # ASGI lifespan events: auto runs without them where the application does
    # not support them, on makes that a start-up error, off never sends them.
    lifespan: Literal["auto", "on", "off"] | None

    # Path under which a proxy publishes the server: begins with "/" and does
    # not end with it; "" for none.
    root_path: str | None

    # Further applications, each below a path or of a host: /api,
    # api.example.org, *.example.org/v1. The exact host wins, then the wildcard
    # (one label), then the longest prefix. A mount may have its own value of
    # each option marked "per mount".
    mounts: str | Sequence[str] | None

    # Service pools: objects that are made once in each process of a pool of
    # their own, from a class or factory (TARGET, as MODULE:ATTRIBUTE), and
    # whose methods every worker calls by name. KEY is processes (1),
    # concurrency (calls in progress in one process, 32), queue (calls that
    # wait, 1000), or an option marked "per mount" that does not speak of HTTP.
    services: str | Sequence[str] | None

    # Erlang functions that see each request before its application is chosen,
    # and each response before it leaves (docs/http-hooks.md): modules of the
    # behaviour hornbeam_http_hook or functions for single stages, in order;
    # funs from Erlang.
    http_hooks: str | Sequence[str] | None

    # Folders of compiled Erlang modules (.beam), put behind the VM's code
    # path: for http_hooks and functions that Python calls.
    erlang_path: str | PathLike[str] | Sequence[str | PathLike[str]] | None

    # Folders of files that are served without Python, each below a path;
    # docs/static.md has the options of a folder. Before a mount of the same
    # path, which gets what is not there.
    static: str | Sequence[str] | Mapping[str, str] | None

    # For development: watches the Python files in pythonpath and reloads when
    # one changes.
    reload: bool | None

    # Directories that reload watches, in place of those in pythonpath.
    reload_dirs: str | PathLike[str] | Sequence[str | PathLike[str]] | None

    # Other files that reload watches besides *.py, *.pyi and *.pyx: glob
    # patterns of their names, such as *.html, or of the end of their paths; or
    # directories, which are watched as well. A file named without a wildcard,
    # such as .env, is not excluded.
    reload_include: str | Sequence[str] | None

    # What reload does not watch, besides .*, *.py[cod], .sw.*, ~*,
    # __pycache__, node_modules and virtual environments: glob patterns of
    # files, or of directories with all below them. Where it names *.py itself,
    # that is not included.
    reload_exclude: str | Sequence[str] | None

    # Socket for hornbeam status, reload and stop: a path; auto for one in the
    # user's runtime folder, off for none.
    control: str | None

    # Name of the server; one node can run several under different names.
    name: str | None

    # Interpreter of the workers: a name that is looked up in PATH, or a path.
    # Not together with venv.
    python: str | PathLike[str] | None

    # Virtual environment whose interpreter runs the workers; "" for none.
    venv: str | PathLike[str] | None

    # Directories put in front of sys.path.
    pythonpath: str | PathLike[str] | Sequence[str | PathLike[str]] | None

    # Imports the application once, in a process that then forks the workers:
    # they share its memory, and the second one starts at once. Needs Linux.
    # See docs/preload.md for what must not be imported so.
    preload: bool | None

    # Directory that the workers run in, and that relative paths of the other
    # Python options start from; "" for the server's own.
    chdir: str | PathLike[str] | None

    # Environment variables of the workers, besides those of the server.
    env: Mapping[str, str] | None

    # Files of further environment variables of the workers (.env), a later one
    # before an earlier one: lines NAME=VALUE, also with export, quotes and #
    # comments. What the server's own environment or env has is not replaced.
    # Read when a worker starts.
    env_file: str | Sequence[str] | None

    # User that the workers run as, with its groups, HOME, USER and LOGNAME;
    # the server itself must be root's. "" for the server's own.
    user: str | None

    # Group that the workers run as; "" for the user's own, or the server's.
    group: str | None

    # Level of the logger hornbeam in the workers: what the server says itself
    # there. Other loggers have the levels that the application or log_config
    # gives them; where neither does, WARNING and up is logged.
    log_level: Literal["debug", "info", "warning", "error", "critical"] | None

    # File for Python's logging, read before the application is imported:
    # .json, .yaml, .yml and .toml as logging.config.dictConfig takes them,
    # others (.ini) as fileConfig does. "" for none.
    log_config: str | PathLike[str] | None

    # Event loop; auto takes uvloop where it can be imported.
    loop: Literal["auto", "uvloop", "asyncio"] | None

    # How long a synchronous call to Erlang polls for its answer before it
    # blocks, and Erlang for the next of a row of calls; 0 blocks at once.
    # Polling makes such calls about nine times as fast. (microseconds)
    call_poll_time: int | None

    # Addresses to listen on; port 0 takes a free port, ":PORT" is every IPv4
    # address.
    bind: str | Sequence[str] | None

    # Processes that accept connections, for each address.
    acceptors: int | None

    # Connections that the kernel keeps for each address until they are
    # accepted; Linux allows no more than net.core.somaxconn.
    backlog: int | None

    # Open connections for each address; more are answered with 503, with TLS
    # closed. WebSockets have websocket_max_connections. Lowered to what the
    # limit of open files leaves.
    max_connections: int | Literal["infinity"] | None

    # Permissions of the socket files of "unix:" addresses.
    unix_mode: str | None

    # Protocols to speak; HTTP/1.0 comes with HTTP/1.1. With TLS the client
    # chooses by ALPN, in clear text by how it begins.
    http_version: Literal["HTTP/1.1", "HTTP/2"] | Sequence[Literal["HTTP/1.1", "HTTP/2"]] | None

    # Proxies whose Forwarded and X-Forwarded-* fields are believed: addresses,
    # networks such as 10.0.0.0/8, "unix" for every peer of a Unix socket, "*"
    # for everybody.
    forwarded_allow_ips: str | Sequence[str] | None

    # Each connection begins with a PROXY protocol header, version 1 or 2;
    # without one it is closed.
    proxy_protocol: bool | None

    # Drop request header fields with "_" in their names.
    drop_underscore_headers: bool | None

    # Accept in a request's target only what RFC 3986 has there. By default it
    # may hold what browsers send: also |, {, }, ", ^, ` and bytes of UTF-8;
    # control characters, spaces and fragments never.
    strict_target: bool | None

    # A client that has shut down its sending side still gets the answers to
    # all that it has asked (HTTP/1 in clear text); one that has gone without a
    # reset is then noticed only when something is sent to it.
    half_close: bool | None

    # Compress responses with gzip where the client takes it: text, JSON, XML,
    # JavaScript, SVG and the like.
    compress: bool | None

    # Length of the shortest response that is compressed, where the length is
    # known. (bytes)
    compress_min_size: int | None

    # Fields that are added to every response that does not have one of the
    # name already.
    headers: str | Sequence[str] | None

    # Add "server: hornbeam" to every response that has no such field.
    server_header: bool | None

    # Add the date to every response that has no such field.
    date_header: bool | None

    # Speak TLS on every address. Given with certfile, keyfile or sni, which
    # turn it on by themselves, it must be true.
    ssl: bool | None

    # The server's certificate in PEM, with the intermediate ones after it.
    certfile: str | PathLike[str] | None

    # Its private key in PEM; "" when certfile holds it as well.
    keyfile: str | PathLike[str] | None

    # Password of the private keys, those of sni included, that are encrypted.
    # Every user of the machine can read a command line: rather
    # HORNBEAM_KEYFILE_PASSWORD.
    keyfile_password: str | None

    # Other certificates for the names that clients ask for; "*.example.org" is
    # every name one label below.
    sni: str | Sequence[str] | None

    # Ask clients for a certificate: none does not, optional takes a connection
    # without one, require does not.
    verify: Literal["none", "optional", "require"] | None

    # Certificates in PEM of the authorities that clients' certificates are
    # checked against.
    cacertfile: str | PathLike[str] | None

    # Versions of TLS.
    versions: Literal["tlsv1.3", "tlsv1.2"] | Sequence[Literal["tlsv1.3", "tlsv1.2"]] | None

    # Cipher suites by their OpenSSL names, the preferred one first; none for
    # all that OTP has with ECDHE and authenticated encryption. DHE, which
    # costs the server several times as much, is used where it is named here.
    ciphers: str | Sequence[str] | None

    # Python processes of the application. One is enough to begin with, as in
    # uvicorn; more use more cores.
    workers: int | None

    # Requests in progress in one worker; more wait in the queue.
    max_concurrency: int | None

    # Requests that may wait for a worker; more are answered with 503. 0 for no
    # queue.
    max_queue: int | None

    # What tells which worker a request belongs to, the first that it has:
    # cookie (the server's own), cookie:NAME, header:NAME, query:NAME,
    # path:NUMBER (a segment below the mount), client (its address). None
    # given, or off: the least loaded one.
    affinity: str | Sequence[str] | None

    # Name of the server's own cookie for affinity.
    affinity_cookie: str | None

    # What that cookie is signed with; "" for a random one, which lasts as long
    # as the server. Best given in the environment or a file, since others can
    # see flags.
    affinity_secret: str | None

    # Requests after which a worker is replaced by a fresh one, without a
    # request noticing; infinity for never.
    max_requests: int | Literal["infinity"] | None

    # Up to so many requests are added to max_requests, at random for each
    # worker.
    max_requests_jitter: int | None

    # Age at which a worker is replaced, less up to a tenth at random; infinity
    # for never. (milliseconds)
    max_worker_lifetime: int | Literal["infinity"] | None

    # Resident memory at which a worker is replaced (looked at every 2 s;
    # Linux); infinity for never. auto: while less than a tenth of the
    # machine's or the control group's memory is left, a worker that has
    # doubled since its first ten minutes. (bytes)
    max_worker_memory: int | Literal["infinity"] | Literal["auto"] | None

    # What a worker may have sent that waits, since it does not read its
    # answers or sends without an end; beyond it it is killed. Its calls wait
    # while an eighth of this is not read, published messages are dropped from
    # a half. (bytes)
    max_worker_backlog: int | None

    # How long a worker's event loop may be blocked before its stacks are
    # logged and it is replaced. (milliseconds)
    worker_heartbeat: int | Literal["infinity"] | None

    # Bytes of a response that the client has not taken yet before the
    # application's send() waits; four times as many, up to 1 MiB, when its
    # worker has 32 requests in progress or fewer. (bytes)
    window: int | None

    # Bytes of a request's body sent to the worker before the application asks
    # for them; as many more as for `window`. (bytes)
    body_prefetch: int | None

    # One line for each request: in the combined format that web servers share,
    # or as JSON.
    access_log: Literal["off", "combined", "json"] | None

    # File of the access log; it is made again when it was moved away. "" for
    # standard output.
    access_log_file: str | None

    # Fields of the JSON access log, in order; none given for all but
    # header:NAME.
    access_log_fields: str | Sequence[str] | None

    # The server's log: lines of text, or a JSON object per line with time,
    # level, logger, message, pid and, where there are such, exception,
    # request_id, trace_id, span_id, worker and node. Only where the command
    # hornbeam has started the VM.
    log_format: Literal["text", "json"] | None

    # Colours in the log and in a combined access log; auto: on a terminal,
    # unless NO_COLOR is set (FORCE_COLOR: always). Only where the command
    # hornbeam has started the VM.
    use_colors: bool | Literal["auto"] | None

    # Gives every request an id: that of its x-request-id header or a new one;
    # returned, in the scope and in log lines.
    request_id: bool | None

    # A request that a worker has had for so long is logged once, with the
    # stack of its task or thread; 0 for none. (milliseconds)
    slow_request: int | None

    # For a debugger in the application (breakpoint() reads the terminal):
    # timeout, queue_timeout, startup_timeout and worker_heartbeat are
    # infinity, whatever is given for them.
    debug: bool | None

    # Addresses for /metrics (Prometheus), /healthz and /readyz. Not for the
    # public.
    metrics_bind: str | Sequence[str] | None

    # How many series (values of labels) each metric of the application may
    # have; what is beyond is refused and counted.
    metrics_max_series: int | None

    # With metrics_bind, and opentelemetry-sdk: what is counted with
    # OpenTelemetry's API is in /metrics also where the application sets no
    # meter provider. Libraries that know the API count from then on, too,
    # FastAPI among them.
    metrics_opentelemetry: bool | None

    # How many routes (templates of paths) have figures of their own; the
    # others share those of the route "other".
    metrics_max_routes: int | None

    # Folder of mode 0700 (made where it is not there) for the Erlang VM's
    # crash dump of at most 256 MiB, which holds keys, cookies and the like; ""
    # for no dump. Only where the command hornbeam has started the VM.
    crash_dump_dir: str | None

    # W3C trace context: that of a request's traceparent or a new one; for the
    # application, its log lines and what it calls.
    trace: bool | None

    # Where spans are sent by OTLP over HTTP, such as
    # http://localhost:4318/v1/traces; "" with trace for
    # OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT, and
    # for nowhere without these.
    trace_endpoint: str | None

    # Share of the requests whose spans are sent, from 0 to 1 or in percent,
    # where a request does not say by its traceparent.
    trace_sample: str | None

    # How spans are written; auto: as OTEL_EXPORTER_OTLP_PROTOCOL says, else
    # protobuf.
    trace_protocol: Literal["protobuf", "json"] | Literal["auto"] | None

    # Header fields of what is sent to trace_endpoint, besides those of
    # OTEL_EXPORTER_OTLP_HEADERS. Best given in the environment or a file,
    # since others can see flags.
    trace_headers: str | Sequence[str] | None

    # service.name of the spans; "": OTEL_SERVICE_NAME, else the application's
    # module.
    trace_service: str | None

    # Tells the client the trace of its request in the header traceresponse.
    trace_response: bool | None

    # Gives the application the header sentry-trace as well, where the request
    # has none, so that sentry-sdk continues the trace.
    trace_sentry: bool | None

    # What bare error texts ("Internal Server Error") say: nothing more, or the
    # request's id as well, which needs request_id.
    error_page: Literal["plain", "id"] | None

    # Lines a second that one place in the code may log; what is beyond is
    # counted and said. One limit for the node; only where the command hornbeam
    # has started the VM.
    log_rate: int | Literal["infinity"] | None

    # Addresses for the dashboard; hornbeam dev has one on 127.0.0.1. One that
    # others can reach needs dashboard_password_file or dashboard_token_file.
    dashboard_bind: str | Sequence[str] | None

    # File with what hornbeam password has printed, for the server's user
    # alone; "" for none.
    dashboard_password_file: str | PathLike[str] | None

    # File with a token of 20 characters or more, for the server's user alone:
    # to sign in with, or as Authorization: Bearer TOKEN. "" for none.
    dashboard_token_file: str | PathLike[str] | None

    # Certificate in PEM, with the intermediate ones after it: the dashboard
    # then speaks TLS. "" for HTTP.
    dashboard_certfile: str | PathLike[str] | None

    # Its private key in PEM (keyfile_password, where it is encrypted); "" when
    # dashboard_certfile holds it as well.
    dashboard_keyfile: str | PathLike[str] | None

    # Names by which the dashboard may be called besides IP addresses and
    # localhost; others are refused (DNS rebinding).
    dashboard_hosts: str | Sequence[str] | None

    # Until the application has started its response; then 504. Not a limit on
    # the response itself. (milliseconds)
    timeout: int | Literal["infinity"] | None

    # How long a request may wait for a worker; then 503. (milliseconds)
    queue_timeout: int | Literal["infinity"] | None

    # Until a worker is ready: imports and lifespan start-up included.
    # (milliseconds)
    startup_timeout: int | Literal["infinity"] | None

    # How long a stop waits for what is in progress; 0 does not wait.
    # (milliseconds)
    graceful_timeout: int | Literal["infinity"] | None

    # How long a worker may take to end: half of it for tasks in progress, then
    # lifespan shutdown. (milliseconds)
    shutdown_timeout: int | None

    # How long a connection may stay idle between requests. Longer than the 60
    # s after which common load balancers give up, so that they close first and
    # never send a request into a closing connection. (milliseconds)
    keepalive_timeout: int | Literal["infinity"] | None

    # How long a client may take nothing of what is sent to it; then the
    # connection (HTTP/2: the stream) is closed. (milliseconds)
    send_timeout: int | Literal["infinity"] | None

    # From the first byte of a request's head to the last; then 408, on HTTP/2
    # the connection closes. (milliseconds)
    header_timeout: int | Literal["infinity"] | None

    # How long a request's body that is waited for may pause; then 408, or the
    # response is cut. (milliseconds)
    body_timeout: int | Literal["infinity"] | None

    # Length of the request line; beyond it 414. (bytes)
    max_request_line: int | None

    # Length of one header field's value; beyond it 431. (bytes)
    max_header_size: int | None

    # Header fields of a request; beyond it 431.
    max_headers: int | None

    # All header fields of a request together; beyond it 431. (bytes)
    max_head_size: int | None

    # Requests on one connection; then it closes.
    max_keepalive: int | Literal["infinity"] | None

    # Requests in progress at once on one HTTP/2 connection. An HTTP/1
    # connection has one.
    max_streams: int | None

    # Requests in progress at once from one client address (IPv6: one /64);
    # beyond it 429. By default half the places of one worker, and more than a
    # proxy or a load generator has in progress. A client is whom a trusted
    # proxy names; Unix sockets and trusted proxies themselves are not counted.
    max_client_requests: int | Literal["infinity"] | None

    # HTTP/2 frames of all kinds from one client in ten seconds; beyond it the
    # connection closes. An upload of 160 MB/s in frames of 16 KiB takes
    # 100000, and one here may be four times as fast.
    max_frame_rate: int | None

    # HTTP/2 frames that carry nothing (PING, SETTINGS, empty DATA) from one
    # client in ten seconds; beyond it the connection closes. Clients that
    # watch over their connections send a few.
    max_empty_frame_rate: int | None

    # HTTP/2 streams of one connection that are reset in ten seconds; beyond it
    # the connection closes.
    max_reset_rate: int | None

    # Length of a request's body; beyond it 413. Little of a body is held here,
    # but an application that reads all of it holds all of it, and one that
    # saves it fills a disk. 1 GiB is Apache's default, too. (bytes)
    max_body_size: int | Literal["infinity"] | None

    # How much of the memory that the cgroup (else the machine) allows the
    # Erlang VM may take, in percent: beyond it, requests are answered with 503
    # until it takes less. 100 for no limit. One limit for the node.
    max_memory_percent: int | None

    # Whether WebSockets are accepted. Without, an upgrade is a request like
    # others, and HTTP/2 does not offer them.
    websocket: bool | None

    # How long a WebSocket client may say nothing, not even answer a ping,
    # before its connection is closed. (milliseconds)
    websocket_timeout: int | Literal["infinity"] | None

    # How often a WebSocket client is sent a ping; infinity for never.
    # (milliseconds)
    websocket_ping_interval: int | Literal["infinity"] | None

    # Length of one WebSocket message of a client, all its fragments together
    # and unpacked; beyond it close code 1009, and beyond one fragment for each
    # 64 of these bytes (1024 at least). (bytes)
    websocket_max_frame_size: int | None

    # Open WebSocket connections, which max_connections does not count; more
    # handshakes are answered with 503. So many that are idle take 160 MB, over
    # TLS 2 GB.
    websocket_max_connections: int | Literal["infinity"] | None

    # Origins whose pages may open a WebSocket, like "https://example.com";
    # others are answered with 403. None given: all may. A client that sends no
    # Origin is no browser and always may.
    websocket_origins: str | Sequence[str] | None

    # What a published message costs a WebSocket subscriber whose socket is
    # full: the message (drop) or the connection (close, with code 1008).
    websocket_slow_consumer: Literal["close", "drop"] | None

    # Whether WebSocket messages are compressed for clients that offer it
    # (permessage-deflate).
    websocket_compress: bool | None

    # Window of the compression as a power of two: a connection takes 4 times
    # 2^bits bytes for it.
    websocket_compress_window_bits: int | None

    # Memory of the compression: a connection takes 2^(level + 9) bytes for it.
    websocket_compress_mem_level: int | None

    # Whether a message is compressed with what came before it; without, less
    # memory is in use between messages and less is saved.
    websocket_compress_context: bool | None

    # Channels of the root application, as MODULE:ATTRIBUTE: a Channel, a list
    # of them or a Channels. Each web worker imports it. "" for none.
    channels: str | None

    # Topics that Erlang handles, by modules of the behaviour hornbeam_channel;
    # the longest pattern that fits, and before those of channels.
    channel_modules: str | Sequence[str] | None

    # Where clients of channels connect: a WebSocket at this path, or at
    # "/websocket" below it.
    channels_path: str | None

    # Below which the topics of channels are streams of server-sent events: GET
    # /events/TOPIC, where the channel authorizes it. "" for none.
    events_path: str | None

    # How often a stream of events has a comment while there is nothing to say,
    # so that proxies do not end it. (milliseconds)
    events_heartbeat: int | Literal["infinity"] | None

    # Topics that one connection may have joined at a time.
    channel_max_joins: int | None

    # The longest message of a client of channels; a longer one closes the
    # connection with 1009. (bytes)
    channel_max_message: int | None

    # Messages a second that one connection may send for long, twice as many at
    # once; more close it with 1008.
    channel_rate: int | Literal["infinity"] | None

    # How long a handler in Python may take, and wait for a worker; then its
    # client is answered with the error timeout. (milliseconds)
    channel_timeout: int | Literal["infinity"] | None

    # What the histories of all topics of the node may take; the oldest
    # messages of all are forgotten first. (bytes)
    channel_history_bytes: int | None

    # Entries of the shared state; beyond it those written longest ago are
    # evicted. One limit for the node.
    state_max_entries: int | Literal["infinity"] | None

    # Keys and values of the shared state together, in the external term
    # format; evicted likewise. With what the tables take besides, the state
    # has three times this at most. auto: 512 MiB, but no more than a tenth of
    # the machine's or the control group's memory; infinity for no limit.
    # (bytes)
    state_max_bytes: int | Literal["infinity"] | Literal["auto"] | None

    # Results of cached_inference and cached together, with 720 bytes for each
    # besides; beyond it those used least recently are evicted. auto: 128 MiB,
    # but no more than a twentieth of the machine's or the control group's
    # memory; 0 stores nothing, infinity for no limit. One limit for the node.
    # (bytes)
    cache_max_bytes: int | Literal["infinity"] | Literal["auto"] | None

    # Functions that rpc_call and rpc_cast may run on any node: {Module,
    # Function}, or all; nothing by default.
    rpc_allow: str | Sequence[str] | None

    # Erlang nodes that connect() may reach though this node does not know them
    # yet.
    cluster_nodes: str | Sequence[str] | None

    # Makes this node a member of a cluster, and says where the others are:
    # static:ADDRESS,ADDRESS,... (or NAME@ADDRESS), dns:HOST (its A records),
    # srv:_SERVICE._tcp.HOST, folder:PATH (a folder that the nodes share),
    # local (a cluster of this node alone). "" for no cluster.
    cluster: str | None

    # Name of the cluster, and of this node before its "@". Nodes of another
    # name are refused.
    cluster_name: str | None

    # Address (IPv4, or a name with a dot that stands for one) that other nodes
    # reach this one at, and the only one that is listened on; the node is
    # called NAME@ADDRESS. "": the one of this machine's addresses that is
    # among those discovered.
    cluster_address: str | None

    # How many nodes found the cluster the first time; later ones join it. 0:
    # as many as static: names. Needed with dns:, srv: and folder:.
    cluster_size: int | None

    # Folder of mode 0700 (made where it is not there) for what this node keeps
    # of the cluster's state. "": the folder cluster in data_dir.
    cluster_dir: str | None

    # Port that the nodes reach each other at, the same for all of them. There
    # is no epmd.
    cluster_port: int | None

    # This node's certificate in PEM, for its address; `hornbeam cluster ca`
    # makes such.
    cluster_cert: str | PathLike[str] | None

    # Its private key in PEM; "" when cluster_cert holds it as well.
    cluster_key: str | PathLike[str] | None

    # Certificates in PEM of the authority (of this cluster alone) that all
    # nodes' certificates are checked against.
    cluster_ca: str | PathLike[str] | None

    # Links without TLS, for a network that nobody else is in: who reads along
    # sees everything, who can send is stopped by the cookie alone.
    cluster_insecure: bool | None

    # File, readable by its owner alone, with the secret that the nodes share;
    # or HORNBEAM_CLUSTER_COOKIE. "": with TLS, one that is derived from
    # cluster_ca.
    cluster_cookie_file: str | PathLike[str] | None

    # How soon a node that says nothing is taken for dead (net_ticktime); the
    # same for all nodes. (milliseconds)
    cluster_ticktime: int | None

    # Whether /readyz says so only while this node is with a majority of the
    # cluster.
    cluster_ready: bool | None

    # How long an operation on what is replicated may take, before its caller
    # is told that it may or may not be done. (milliseconds)
    cluster_timeout: int | None

    # Keys and values of cluster_state together; beyond it writes are refused.
    # (bytes)
    cluster_max_bytes: int | None

    # How long a member may be away before the others go on without it for
    # good; infinity for ever, until `hornbeam cluster forget`. (milliseconds)
    cluster_forget_after: int | Literal["infinity"] | None

    # Python processes that run tasks and serve no requests, with the
    # application of the root; 0: the web workers run tasks while they have
    # time.
    task_workers: int | None

    # Tasks that one worker runs at once.
    task_concurrency: int | None

    # How many tasks of a queue may run at once; 1: strictly one after the
    # other. Queues not named have no limit of their own.
    task_queues: str | Sequence[str] | None

    # Tasks that may wait, those with a delay among them; more are refused.
    task_max_queue: int | None

    # What the tasks that wait may take in memory, and what those may that are
    # over: of the first more are refused, of the second the oldest are
    # forgotten. (bytes)
    task_max_bytes: int | None

    # How long the result of a task is kept, or its traceback. Durable tasks
    # that have failed stay until they are retried or purged. (milliseconds)
    task_result_ttl: int | Literal["infinity"] | None

    # Folder of mode 0700 (made where it is not there) for durable tasks, of
    # this server alone; "" for none.
    data_dir: str | None

    # Functions to run at times: every=5m or cron=0 3 * * *, with tz=, jitter=,
    # missed=skip (once, all) and options of a task.
    schedules: str | Sequence[str] | None


FLAGS = {
    "worker_class": "worker-class",
    "threads": "threads",
    "factory": "factory",
    "lifespan": "lifespan",
    "root_path": "root-path",
    "mounts": "mount",
    "services": "service",
    "http_hooks": "http-hooks",
    "erlang_path": "erlang-path",
    "static": "static",
    "reload": "reload",
    "reload_dirs": "reload-dir",
    "reload_include": "reload-include",
    "reload_exclude": "reload-exclude",
    "control": "control",
    "name": "name",
    "python": "python",
    "venv": "venv",
    "pythonpath": "pythonpath",
    "preload": "preload",
    "chdir": "chdir",
    "env": "env",
    "env_file": "env-file",
    "user": "user",
    "group": "group",
    "log_level": "log-level",
    "log_config": "log-config",
    "loop": "loop",
    "call_poll_time": "call-poll-time",
    "bind": "bind",
    "acceptors": "acceptors",
    "backlog": "backlog",
    "max_connections": "max-connections",
    "unix_mode": "unix-mode",
    "http_version": "http-version",
    "forwarded_allow_ips": "forwarded-allow-ips",
    "proxy_protocol": "proxy-protocol",
    "drop_underscore_headers": "drop-underscore-headers",
    "strict_target": "strict-target",
    "half_close": "half-close",
    "compress": "compress",
    "compress_min_size": "compress-min-size",
    "headers": "header",
    "server_header": "server-header",
    "date_header": "date-header",
    "ssl": "ssl",
    "certfile": "certfile",
    "keyfile": "keyfile",
    "keyfile_password": "keyfile-password",
    "sni": "sni",
    "verify": "verify",
    "cacertfile": "cacertfile",
    "versions": "versions",
    "ciphers": "ciphers",
    "workers": "workers",
    "max_concurrency": "max-concurrency",
    "max_queue": "max-queue",
    "affinity": "affinity",
    "affinity_cookie": "affinity-cookie",
    "affinity_secret": "affinity-secret",
    "max_requests": "max-requests",
    "max_requests_jitter": "max-requests-jitter",
    "max_worker_lifetime": "max-worker-lifetime",
    "max_worker_memory": "max-worker-memory",
    "max_worker_backlog": "max-worker-backlog",
    "worker_heartbeat": "worker-heartbeat",
    "window": "window",
    "body_prefetch": "body-prefetch",
    "access_log": "access-log",
    "access_log_file": "access-log-file",
    "access_log_fields": "access-log-fields",
    "log_format": "log-format",
    "use_colors": "use-colors",
    "request_id": "request-id",
    "slow_request": "slow-request",
    "debug": "debug",
    "metrics_bind": "metrics-bind",
    "metrics_max_series": "metrics-max-series",
    "metrics_opentelemetry": "metrics-opentelemetry",
    "metrics_max_routes": "metrics-max-routes",
    "crash_dump_dir": "crash-dump-dir",
    "trace": "trace",
    "trace_endpoint": "trace-endpoint",
    "trace_sample": "trace-sample",
    "trace_protocol": "trace-protocol",
    "trace_headers": "trace-header",
    "trace_service": "trace-service",
    "trace_response": "trace-response",
    "trace_sentry": "trace-sentry",
    "error_page": "error-page",
    "log_rate": "log-rate",
    "dashboard_bind": "dashboard-bind",
    "dashboard_password_file": "dashboard-password-file",
    "dashboard_token_file": "dashboard-token-file",
    "dashboard_certfile": "dashboard-certfile",
    "dashboard_keyfile": "dashboard-keyfile",
    "dashboard_hosts": "dashboard-host",
    "timeout": "timeout",
    "queue_timeout": "queue-timeout",
    "startup_timeout": "startup-timeout",
    "graceful_timeout": "graceful-timeout",
    "shutdown_timeout": "shutdown-timeout",
    "keepalive_timeout": "keepalive-timeout",
    "send_timeout": "send-timeout",
    "header_timeout": "header-timeout",
    "body_timeout": "body-timeout",
    "max_request_line": "max-request-line",
    "max_header_size": "max-header-size",
    "max_headers": "max-headers",
    "max_head_size": "max-head-size",
    "max_keepalive": "max-keepalive",
    "max_streams": "max-streams",
    "max_client_requests": "max-client-requests",
    "max_frame_rate": "max-frame-rate",
    "max_empty_frame_rate": "max-empty-frame-rate",
    "max_reset_rate": "max-reset-rate",
    "max_body_size": "max-body-size",
    "max_memory_percent": "max-memory-percent",
    "websocket": "websocket",
    "websocket_timeout": "websocket-timeout",
    "websocket_ping_interval": "websocket-ping-interval",
    "websocket_max_frame_size": "websocket-max-frame-size",
    "websocket_max_connections": "websocket-max-connections",
    "websocket_origins": "websocket-origin",
    "websocket_slow_consumer": "websocket-slow-consumer",
    "websocket_compress": "websocket-compress",
    "websocket_compress_window_bits": "websocket-compress-window-bits",
    "websocket_compress_mem_level": "websocket-compress-mem-level",
    "websocket_compress_context": "websocket-compress-context",
    "channels": "channels",
    "channel_modules": "channel-module",
    "channels_path": "channels-path",
    "events_path": "events-path",
    "events_heartbeat": "events-heartbeat",
    "channel_max_joins": "channel-max-joins",
    "channel_max_message": "channel-max-message",
    "channel_rate": "channel-rate",
    "channel_timeout": "channel-timeout",
    "channel_history_bytes": "channel-history-bytes",
    "state_max_entries": "state-max-entries",
    "state_max_bytes": "state-max-bytes",
    "cache_max_bytes": "cache-max-bytes",
    "rpc_allow": "rpc-allow",
    "cluster_nodes": "cluster-node",
    "cluster": "cluster",
    "cluster_name": "cluster-name",
    "cluster_address": "cluster-address",
    "cluster_size": "cluster-size",
    "cluster_dir": "cluster-dir",
    "cluster_port": "cluster-port",
    "cluster_cert": "cluster-cert",
    "cluster_key": "cluster-key",
    "cluster_ca": "cluster-ca",
    "cluster_insecure": "cluster-insecure",
    "cluster_cookie_file": "cluster-cookie-file",
    "cluster_ticktime": "cluster-ticktime",
    "cluster_ready": "cluster-ready",
    "cluster_timeout": "cluster-timeout",
    "cluster_max_bytes": "cluster-max-bytes",
    "cluster_forget_after": "cluster-forget-after",
    "task_workers": "task-workers",
    "task_concurrency": "task-concurrency",
    "task_queues": "task-queue",
    "task_max_queue": "task-max-queue",
    "task_max_bytes": "task-max-bytes",
    "task_result_ttl": "task-result-ttl",
    "data_dir": "data-dir",
    "schedules": "schedule",
}
