%%% The flags of uvicorn, gunicorn, hypercorn and granian: for each what it means here (hornbeam_option_aliases:rule()).
%%%
%%% Called by: hornbeam_option_aliases, hornbeam_option_coming_from. The rules name functions of
%%% hornbeam_option_alias_values.
%%%
%%% To add one: an entry {Flags, Tools, Rule, Note}, a case in hornbeam_option_aliases_tests, and `make docs`. The note is for the page. A
%%% flag that cannot be had is an entry, too: its text says what to use instead.
-module(hornbeam_option_alias_table).

-export([all/0]).

-define(U, uvicorn).
-define(G, gunicorn).
-define(H, hypercorn).
-define(R, granian).
-define(WATCHING, "leave it out: watchfiles says what has changed; without it files are looked at four times a second").
-define(PID, "hornbeam status, reload and stop find the server by its name; systemd knows its process").
-define(LOG_FORMAT, "use --access-log json with --access-log-fields").
-define(V(Function), fun hornbeam_option_alias_values:Function/1).

-spec all() -> [hornbeam_option_aliases:alias()].
all() ->
    addresses() ++ application() ++ workers() ++ development() ++ logging() ++ proxies() ++ limits() ++ times() ++ tls() ++ protocols()
    ++ process().

addresses() ->
    [{["--host"], [?U, ?R], {part, host}, "with `--port`; 127.0.0.1 where it is not given"},
     {["--port"], [?U, ?R], {part, port}, "with `--host`; 8000 where it is not given"},
     {["--bind"], [?G, ?H], same, "with a port: `0.0.0.0` alone is not taken"},
     {["-b"], [?G, ?H], {to, bind}, "as `--bind`"},
     {["--uds"], [?U, ?R], {to, bind, ?V(unix)}, "`unix:PATH`"},
     {["--uds-permissions"], [?R], {to, unix_mode}, "in octal"},
     {["--fd"], [?U], {to, bind, ?V(fd)}, "`fd://N`"},
     {["--backlog"], [?U, ?G, ?H, ?R], same, ""},
     {["--insecure-bind"], [?H], {refuse, "every address has TLS or none has; start a second server, or let a proxy redirect"}, ""},
     {["--quic-bind"], [?H], {refuse, "there is no HTTP/3; let a proxy speak it"}, ""},
     {["--reuse-port"], [?G], {refuse, "leave it out: one process accepts all connections and gives every worker its share"}, ""}].

application() ->
    [{["--factory"], [?U, ?R], same, ""},
     {["--no-factory"], [?R], same, ""},
     {["--app-dir"], [?U], {to, pythonpath}, ""},
     {["--pythonpath"], [?G], same, "one folder for each: repeat it where gunicorn has commas"},
     {["--chdir"], [?G], same, "with `--pythonpath .` from there"},
     {["--working-dir"], [?R], {to, chdir}, ""},
     {["--env"], [?G], same, ""},
     {["-e"], [?G], {to, env}, ""},
     {["--env-file"], [?U], same, "for the workers; the server's own options are not read from it"},
     {["--env-files"], [?R], {to, env_file}, ""},
     {["--root-path"], [?U, ?H], same, ""},
     {["--url-path-prefix"], [?R], {refuse, "use --mount PREFIX=APP, or --root-path where a proxy takes the prefix off"}, ""},
     {["--lifespan"], [?U], same, ""},
     {["--interface"], [?U, ?R],
      {words, [{["auto"], [{worker_class, "auto"}]}, {["asgi", "asgi3", "asgi2"], [{worker_class, "asgi"}]}, {["asginl"], [{worker_class, "asgi"}, {lifespan, "off"}]},
               {["wsgi"], [{worker_class, "wsgi"}]},
               {["rsgi"], {refuse, "RSGI is granian's own; serve the application's ASGI interface"}}]}, ""},
     {["--worker-class"], [?G, ?H], {more, {by, [worker_class], ?V(worker_class)}},
      "`uvicorn.workers.UvicornWorker` and the like are asgi; `gthread` is wsgi, `sync` too, with `--threads 1`; hypercorn's `asyncio` and `uvloop` are `--loop`"},
     {["-k"], [?G, ?H], {by, [worker_class], ?V(worker_class)}, "as `--worker-class`"},
     {["--loop"], [?U, ?R], same, "auto, uvloop or asyncio"},
     {["--reset-contextvars"], [?U], {refuse, "leave it out: there is no such choice here"}, ""},
     {["--static-path-route", "--static-path-mount", "--static-path-dir-to-file", "--static-path-expires"], [?R],
      {refuse, "use --static PREFIX=FOLDER"}, ""}].

workers() ->
    [{["--workers"], [?U, ?G, ?H, ?R], same, "also with `--reload`"},
     {["-w"], [?G, ?H], {to, workers}, ""},
     {["--worker-connections"], [?G], {to, max_concurrency}, "more wait in the queue: `--max-queue`"},
     {["--backpressure"], [?R], {to, max_concurrency}, "more wait in the queue: `--max-queue`"},
     {["--limit-concurrency"], [?U], {by, [max_concurrency], ?V(limit_concurrency)}, "with `--max-queue 0`, so that more get 503 at once"},
     {["--max-requests"], [?G, ?H], same, "`infinity`, not 0, for never; the worker's successor is ready before it goes"},
     {["--max-requests-jitter"], [?G, ?H], same, ""},
     {["--limit-max-requests"], [?U], {to, max_requests}, ""},
     {["--limit-max-requests-jitter"], [?U], {to, max_requests_jitter}, ""},
     {["--workers-lifetime"], [?R], {to, max_worker_lifetime, ?V(seconds)}, "seconds"},
     {["--workers-max-rss"], [?R], {to, max_worker_memory, ?V(mebibytes)}, "MiB"},
     {["--rss-samples", "--rss-sample-interval"], [?R], {refuse, "a worker's memory is looked at every 2 seconds: --max-worker-memory"}, ""},
     {["--respawn-failed-workers"], [?R], {sets, []}, "always"},
     {["--no-respawn-failed-workers"], [?R], {refuse, "a worker that has ended is always replaced"}, ""},
     {["--respawn-interval"], [?R], {refuse, "a worker that has ended is replaced at once; one that cannot start is tried again later and later"}, ""},
     {["--threads"], [?G], same, "of a WSGI application; 4 where none is given, and 1 with `-k sync`"},
     {["--blocking-threads"], [?R], {to, threads}, "of a WSGI application"},
     {["--blocking-threads-idle-timeout", "--runtime-threads", "--runtime-blocking-threads", "--runtime-mode",
       "--task-impl"], [?R], {refuse, "leave it out: Erlang's schedulers follow the machine's cores; for more of Python use --workers"}, ""},
     {["--preload"], [?G], same, "a reload imports the application anew"},
     {["--preload-app"], [?G], {sets, [{preload, "true"}]}, "a reload imports the application anew"},
     {["--worker-tmp-dir"], [?G], {refuse, "leave it out: workers are watched through their pipe, not through files"}, ""}].

development() ->
    [{["--reload"], [?U, ?G, ?H, ?R], same, "the old workers serve until the new ones are ready"},
     {["--no-reload"], [?R], same, ""},
     {["--reload-dir"], [?U], same, "in place of the folders of `--pythonpath`"},
     {["--reload-paths"], [?R], {to, reload_dirs}, ""},
     {["--reload-include"], [?U], same, "also without watchfiles"},
     {["--reload-exclude"], [?U], same, "also without watchfiles"},
     {["--reload-ignore-dirs", "--reload-ignore-paths"], [?R], {to, reload_exclude}, ""},
     {["--reload-ignore-patterns"], [?R], {refuse, "it is a regular expression; --reload-exclude takes glob patterns"}, ""},
     {["--reload-extra-file"], [?G], {refuse, "use --reload-include PATTERN, and --reload-dir for a folder that is not watched yet"}, ""},
     {["--reload-delay"], [?U], {refuse, ?WATCHING}, ""},
     {["--reload-engine"], [?G], {refuse, ?WATCHING}, ""},
     {["--reload-tick"], [?R], {refuse, ?WATCHING}, ""},
     {["--reload-ignore-worker-failure"], [?R], {sets, []}, "always: where new code does not start, the old goes on"},
     {["--no-reload-ignore-worker-failure"], [?R], {refuse, "where new code does not start, the old always goes on"}, ""},
     {["--debug"], [?H], unlike, "takes time limits off for a debugger; for the log, `--log-level debug`"}].

logging() ->
    [{["--log-level"], [?U, ?G, ?H, ?R], {more, {to, log_level, ?V(log_level)}}, "`trace` and `notset` are debug, `warn` is warning"},
     {["--access-log"], [?U, ?H, ?R],
      {more, {optional, [{access_log, "combined"}], {words, [{[Word], [{access_log, Word}]} || Word <- ["off", "combined", "json"]]}}},
      "off where it is not given, while uvicorn logs; hypercorn's, which has a file, is `--access-logfile`"},
     {["--no-access-log"], [?U, ?R], {sets, [{access_log, "off"}]}, ""},
     {["--access-logfile"], [?G, ?H], {by, [access_log_file], ?V(access_log_file)}, "with `--access-log combined`; `-` is standard output"},
     {["--access-logformat"], [?G, ?H], {refuse, ?LOG_FORMAT}, ""},
     {["--access-log-fmt"], [?R], {refuse, ?LOG_FORMAT}, ""},
     {["--error-logfile", "--log-file", "--error-log"], [?G, ?H], {by, [], ?V(error_log_file)}, "`-` alone: the log goes to standard error"},
     {["--capture-output", "-R", "--enable-stdio-inheritance"], [?G], {sets, []}, "always: what an application prints goes to the server's output"},
     {["--log-syslog", "--log-syslog-to", "--log-syslog-prefix", "--log-syslog-facility", "--logger-class"], [?G],
      {refuse, "the log goes to standard error: systemd's journal or logger(1) take it on"}, ""},
     {["--log"], [?R], {sets, []}, "always"},
     {["--no-log"], [?R], {refuse, "use --log-level critical"}, ""},
     {["--use-colors", "--no-use-colors"], [?U], same, ""},
     {["--log-config"], [?U, ?G, ?R], same, "ini, json, yaml or toml; hornbeam's own access log is not part of it"},
     {["--statsd-host", "--statsd-prefix"], [?G, ?H], {refuse, "use --metrics-bind HOST:PORT, which Prometheus reads"}, ""},
     {["--metrics", "--metrics-address", "--metrics-port", "--metrics-scrape-interval"], [?R],
      {refuse, "use --metrics-bind HOST:PORT"}, ""},
     {["--no-metrics"], [?R], {sets, [{empty, metrics_bind}]}, ""}].

proxies() ->
    [{["--proxy-headers"], [?U], {sets, [{implied, forwarded_allow_ips, "127.0.0.1"}, {implied, forwarded_allow_ips, "::1"}]},
      "and nothing but that: without any of these flags nobody is believed"},
     {["--no-proxy-headers"], [?U], {sets, [{empty, forwarded_allow_ips}]}, "nobody is believed"},
     {["--forwarded-allow-ips"], [?U, ?G], {more, {to, forwarded_allow_ips, ?V(commas)}},
      "also with commas; a Unix socket's peer is `unix`; FORWARDED_ALLOW_IPS is not read"},
     {["--proxy-allow-from"], [?G], {refuse, "with --proxy-protocol every connection must have its header: bind an address that only the proxy reaches"},
      ""},
     {["--proxy-protocol"], [?G], same, ""},
     {["--server-name"], [?H], {refuse, "let the application, or a proxy, check the host (Starlette: TrustedHostMiddleware)"}, ""},
     {["--header-map", "--strip-header-spaces", "--permit-obsolete-folding"], [?G],
      {refuse, "leave it out: what RFC 9112 refuses is refused; --drop-underscore-headers for names with _"}, ""},
     {["--header"], [?U], same, "not where the application has said the field itself"},
     {["--server-header", "--no-server-header", "--date-header", "--no-date-header"], [?U], same, ""}].

limits() ->
    [{["--limit-request-line"], [?G], {to, max_request_line}, "bytes; not 0"},
     {["--limit-request-fields"], [?G], {to, max_headers}, ""},
     {["--limit-request-field_size"], [?G], {to, max_header_size}, "bytes; not 0"},
     {["--h11-max-incomplete-event-size"], [?U], {to, max_head_size}, "bytes"},
     {["--http1-buffer-size"], [?R], {to, max_head_size}, "bytes"},
     {["--http2-max-headers-size"], [?R], {to, max_head_size}, "bytes"},
     {["--http2-max-concurrent-streams"], [?R], {to, max_streams}, ""},
     {["--http2-adaptive-window", "--no-http2-adaptive-window", "--http2-initial-connection-window-size",
       "--http2-initial-stream-window-size", "--http2-max-frame-size", "--http2-max-send-buffer-size"], [?R],
      {refuse, "use --body-prefetch for what is read ahead of a body, --window for what is kept of a response"}, ""}].

times() ->
    [{["--timeout"], [?G], unlike, "**milliseconds** until a response begins, where gunicorn has seconds for which a worker may be silent"},
     {["-t"], [?G], {refuse, "use --worker-heartbeat MS for a worker that does not react (gunicorn's meaning, in milliseconds), "
                             "--timeout MS for a response that does not begin"}, ""},
     {["--graceful-timeout"], [?G, ?H], unlike, "**milliseconds**, where gunicorn and hypercorn have seconds"},
     {["--timeout-graceful-shutdown"], [?U], {to, graceful_timeout, ?V(seconds)}, "seconds"},
     {["--keep-alive"], [?G, ?H], {by, [keepalive_timeout], ?V(keep_alive)}, "seconds; 0 is `--max-keepalive 1`"},
     {["--timeout-keep-alive"], [?U], {by, [keepalive_timeout], ?V(keep_alive)}, "seconds; 0 is `--max-keepalive 1`"},
     {["--timeout-worker-healthcheck"], [?U], {to, worker_heartbeat, ?V(seconds)}, "seconds"},
     {["--workers-kill-timeout"], [?R], {to, shutdown_timeout, ?V(seconds)}, "seconds"},
     {["--read-timeout"], [?H], {by, [header_timeout, body_timeout], ?V(read_timeout)}, "seconds"},
     {["--http1-header-read-timeout"], [?R], {to, header_timeout}, "milliseconds, there as here"},
     {["--http1-keep-alive"], [?R], {sets, []}, "always"},
     {["--no-http1-keep-alive"], [?R], {sets, [{max_keepalive, "1"}]}, ""},
     {["--http2-keep-alive-interval", "--http2-keep-alive-timeout"], [?R],
      {refuse, "leave it out: an idle connection is closed after --keepalive-timeout"}, ""},
     {["--websocket-ping-interval"], [?H], unlike, "**milliseconds**, where hypercorn has seconds"}].

tls() ->
    [{["--ssl-keyfile"], [?U, ?R], {to, keyfile}, ""},
     {["--ssl-certfile"], [?U], {to, certfile}, ""},
     {["--ssl-certificate"], [?R], {to, certfile}, ""},
     {["--ssl-ca-certs"], [?U], {to, cacertfile}, ""},
     {["--ssl-ca"], [?R], {to, cacertfile}, ""},
     {["--keyfile", "--certfile"], [?G, ?H], same, ""},
     {["--ca-certs"], [?G, ?H], {to, cacertfile}, ""},
     {["--ssl-cert-reqs"], [?U], {to, verify, ?V(cert_reqs)}, "0, 1, 2, or their names: none, optional, require"},
     {["--cert-reqs"], [?G, ?H], {to, verify, ?V(cert_reqs)}, "0, 1, 2, or their names: none, optional, require"},
     {["--verify-mode"], [?H], {to, verify, ?V(cert_reqs)}, "the names, or 0, 1, 2: none, optional, require"},
     {["--ssl-client-verify"], [?R], {sets, [{verify, "require"}]}, ""},
     {["--no-ssl-client-verify"], [?R], {sets, [{verify, "none"}]}, ""},
     {["--ssl-ciphers"], [?U], {to, ciphers, ?V(colons)}, "names of suites, with colons; OpenSSL's words for many at once are not taken"},
     {["--ciphers"], [?G, ?H], {more, {to, ciphers, ?V(colons)}}, "names of suites, with colons; OpenSSL's words for many at once are not taken"},
     {["--ssl-version"], [?U, ?G], {by, [versions], ?V(ssl_version)}, "17 (TLS) is the default, 5 is TLS 1.2; older ones are not spoken"},
     {["--ssl-protocol-min"], [?R], {words, [{["tls1.2"], [{versions, "tlsv1.3"}, {versions, "tlsv1.2"}]}, {["tls1.3"], [{versions, "tlsv1.3"}]}]},
      ""},
     {["--ssl-keyfile-password"], [?U, ?R], {to, keyfile_password}, "rather HORNBEAM_KEYFILE_PASSWORD: a command line is public"},
     {["--keyfile-password"], [?H], same, "rather HORNBEAM_KEYFILE_PASSWORD: a command line is public"},
     {["--ssl-crl"], [?R], {refuse, "lists of revoked certificates are not read; let a proxy check clients"}, ""}].

protocols() ->
    [{["--http"], [?U, ?R],
      {words, [{["auto", "h11", "httptools", "zttp"], []}, {["1"], [{http_version, "HTTP/1.1"}]}, {["2"], [{http_version, "HTTP/2"}]}]},
      "there is one implementation, of both versions"},
     {["--http2"], [?U], {sets, []}, "always, with TLS and in clear text"},
     {["--http1-pipeline-flush", "--no-http1-pipeline-flush"], [?R], {sets, []}, "pipelined requests are answered one after the other"},
     {["--ws"], [?U, ?R],
      {optional, [{websocket, "true"}],
       {words, [{["auto", "websockets", "websockets-sansio", "wsproto"], [{websocket, "true"}]}, {["none"], [{websocket, "false"}]}]}},
      "there is one implementation"},
     {["--no-ws"], [?R], {sets, [{websocket, "false"}]}, ""},
     {["--ws-max-size"], [?U], {to, websocket_max_frame_size}, "bytes, of a whole message"},
     {["--ws-max-queue"], [?U], {refuse, "leave it out: messages are read as the application takes them, --window bytes ahead"}, ""},
     {["--ws-ping-interval"], [?U], {to, websocket_ping_interval, ?V(ping_interval)}, "seconds; 0 for never"},
     {["--ws-ping-timeout"], [?U], {part, ping_timeout}, "seconds: `--websocket-timeout` is this and the interval"},
     {["--ws-per-message-deflate"], [?U], {to, websocket_compress}, "false where it is not given, uvicorn's default is true"}].

process() ->
    [{["--name"], [?G], same, "of the server, for `hornbeam status NAME`; letters, digits and `_-.@`"},
     {["-n"], [?G], {to, name}, ""},
     {["--process-name"], [?R], {to, name}, ""},
     {["-c", "--config"], [?G, ?H], {refuse, "a release has sys.config (docs/options.md); elsewhere the file is hornbeam.toml"},
      "`hornbeam.toml`, which is TOML (docs/configuration.md); a release has sys.config"},
     {["-D", "--daemon"], [?G, ?H], {refuse, "run it with systemd (deploy/hornbeam.service), a container, or setsid"}, ""},
     {["-p", "--pid"], [?G, ?H], {refuse, ?PID}, ""},
     {["--pid-file"], [?R], {refuse, ?PID}, ""},
     {["--user"], [?G, ?H], same, "of the workers; the server itself stays root's"},
     {["-u"], [?G, ?H], {to, user}, "as `--user`"},
     {["--group"], [?G, ?H], same, "of the workers"},
     {["-g"], [?G, ?H], {to, group}, "as `--group`"},
     {["-m", "--umask"], [?G, ?H], {refuse, "use --unix-mode for the socket, UMask= of systemd or umask for the rest"}, ""}].
