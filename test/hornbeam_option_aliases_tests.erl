%%% The flags of uvicorn, gunicorn, hypercorn and granian, one by one: what each does to the options, and what is said of those that
%%% are not taken. That the page docs/coming-from.md is up to date.
-module(hornbeam_option_aliases_tests).

-include_lib("eunit/include/eunit.hrl").

%% A good value of each, and all that it gives.
cases() ->
    File = "/etc/hostname",
    Cert = <<"/etc/hostname">>,
    Local = {tcp, {127, 0, 0, 1}, 8000, <<"127.0.0.1">>},
    [{["--host", "0.0.0.0"], #{bind => [{tcp, {0, 0, 0, 0}, 8000, <<"0.0.0.0">>}]}},
     {["--port", "8001"], #{bind => [setelement(3, Local, 8001)]}},
     {["-b", ":1"], #{bind => [{tcp, {0, 0, 0, 0}, 1, <<"0.0.0.0">>}]}},
     {["--uds", "/run/a.sock"], #{bind => [{unix, <<"/run/a.sock">>}]}},
     {["--uds-permissions", "600"], #{unix_mode => <<"600">>}},
     {["--fd", "3"], #{bind => [{fd, 3}]}},
     {["--app-dir", "src"], #{pythonpath => [<<"src">>]}},
     {["--working-dir", "/tmp"], #{chdir => <<"/tmp">>}},
     {["-e", "A=1"], #{env => #{<<"A">> => <<"1">>}}},
     {["--env-files", ".env"], #{env_file => [<<".env">>]}},
     {["--interface", "asgi3"], #{worker_class => asgi}},
     {["--worker-class", "uvicorn.workers.UvicornWorker"], #{worker_class => asgi}},
     {["-k", "uvicorn.workers.UvicornH11Worker"], #{worker_class => asgi}},
     {["--worker-connections", "7"], #{max_concurrency => 7}},
     {["--backpressure", "7"], #{max_concurrency => 7}},
     {["--blocking-threads", "3"], #{threads => 3}},
     {["--limit-concurrency", "7"], #{max_concurrency => 7, max_queue => 0}},
     {["-w", "4"], #{workers => 4}},
     {["--limit-max-requests", "9"], #{max_requests => 9}},
     {["--limit-max-requests-jitter", "9"], #{max_requests_jitter => 9}},
     {["--preload-app"], #{preload => true}},
     {["--workers-lifetime", "3600"], #{max_worker_lifetime => 3600000}},
     {["--workers-max-rss", "512"], #{max_worker_memory => 512 * 1048576}},
     {["--respawn-failed-workers"], #{}},
     {["--reload-paths", "a"], #{reload_dirs => [<<"a">>]}},
     {["--reload-ignore-dirs", "a"], #{reload_exclude => [<<"a">>]}},
     {["--reload-ignore-paths", "/a"], #{reload_exclude => [<<"/a">>]}},
     {["--reload-ignore-worker-failure"], #{}},
     {["--log-level", "trace"], #{log_level => debug}},
     {["--access-log"], #{access_log => combined}},
     {["--no-access-log"], #{access_log => off}},
     {["--access-logfile", "a.log"], #{access_log_file => <<"a.log">>, access_log => combined}},
     {["--error-logfile", "-"], #{}},
     {["--log-file", "-"], #{}},
     {["--error-log", "-"], #{}},
     {["--capture-output"], #{}},
     {["-R"], #{}},
     {["--enable-stdio-inheritance"], #{}},
     {["--log"], #{}},
     {["--no-metrics"], #{metrics_bind => []}},
     {["--proxy-headers"], #{forwarded_allow_ips => [{<<127, 0, 0, 1>>, 32}, {<<1:128>>, 128}]}},
     {["--no-proxy-headers"], #{forwarded_allow_ips => []}},
     {["--forwarded-allow-ips", "10.0.0.0/8, unix"], #{forwarded_allow_ips => [{<<10, 0, 0, 0>>, 8}, unix]}},
     {["--limit-request-line", "4094"], #{max_request_line => 4094}},
     {["--limit-request-fields", "50"], #{max_headers => 50}},
     {["--limit-request-field_size", "8190"], #{max_header_size => 8190}},
     {["--h11-max-incomplete-event-size", "65536"], #{max_head_size => 65536}},
     {["--http1-buffer-size", "65536"], #{max_head_size => 65536}},
     {["--http2-max-headers-size", "65536"], #{max_head_size => 65536}},
     {["--http2-max-concurrent-streams", "20"], #{max_streams => 20}},
     {["--timeout-graceful-shutdown", "2.5"], #{graceful_timeout => 2500}},
     {["--keep-alive", "2"], #{keepalive_timeout => 2000}},
     {["--timeout-keep-alive", "2.5"], #{keepalive_timeout => 2500}},
     {["--timeout-worker-healthcheck", "5"], #{worker_heartbeat => 5000}},
     {["--workers-kill-timeout", "5"], #{shutdown_timeout => 5000}},
     {["--read-timeout", "5"], #{header_timeout => 5000, body_timeout => 5000}},
     {["--http1-header-read-timeout", "30000"], #{header_timeout => 30000}},
     {["--http1-keep-alive"], #{}},
     {["--no-http1-keep-alive"], #{max_keepalive => 1}},
     {["--ssl-keyfile", File], #{keyfile => Cert}},
     {["--ssl-certfile", File], #{certfile => Cert}},
     {["--ssl-certificate", File], #{certfile => Cert}},
     {["--ssl-keyfile-password", "hush"], #{keyfile_password => <<"hush">>}},
     {["--ssl-ca-certs", File], #{cacertfile => Cert}},
     {["--ssl-ca", File], #{cacertfile => Cert}},
     {["--ca-certs", File], #{cacertfile => Cert}},
     {["--ssl-cert-reqs", "2"], #{verify => require}},
     {["--cert-reqs", "1"], #{verify => optional}},
     {["--verify-mode", "CERT_NONE"], #{verify => none}},
     {["--ssl-client-verify"], #{verify => require}},
     {["--no-ssl-client-verify"], #{verify => none}},
     {["--ssl-ciphers", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"],
      #{ciphers => [<<"ECDHE-RSA-AES256-GCM-SHA384">>, <<"ECDHE-RSA-AES128-GCM-SHA256">>]}},
     {["--ciphers", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"],
      #{ciphers => [<<"ECDHE-RSA-AES256-GCM-SHA384">>, <<"ECDHE-RSA-AES128-GCM-SHA256">>]}},
     {["--ssl-version", "5"], #{versions => ['tlsv1.2']}},
     {["--ssl-protocol-min", "tls1.2"], #{versions => ['tlsv1.3', 'tlsv1.2']}},
     {["--http", "h11"], #{}},
     {["--http2"], #{}},
     {["--http1-pipeline-flush"], #{}},
     {["--no-http1-pipeline-flush"], #{}},
     {["--ws", "none"], #{websocket => false}},
     {["--no-ws"], #{websocket => false}},
     {["--ws-max-size", "1024"], #{websocket_max_frame_size => 1024}},
     {["--ws-ping-interval", "2.5"], #{websocket_ping_interval => 2500}},
     {["--ws-ping-timeout", "5"], #{websocket_timeout => 25000}},
     {["--ws-per-message-deflate", "true"], #{websocket_compress => true}},
     {["-u", "www-data"], #{user => <<"www-data">>}},
     {["-g", "33"], #{group => <<"33">>}},
     {["-n", "web"], #{name => web}},
     {["--process-name", "web"], #{name => web}}].

%% Other values, and what several say together.
further() ->
    Local = {tcp, {127, 0, 0, 1}, 8000, <<"127.0.0.1">>},
    [{["--host", "127.0.0.1", "--port=9"], #{bind => [setelement(3, Local, 9)]}},
     {["--port", "0", "--host", "localhost"], #{bind => [{tcp, {127, 0, 0, 1}, 0, <<"localhost">>}]}},
     {["--host", "::1"], #{bind => [{tcp, {0, 0, 0, 0, 0, 0, 0, 1}, 8000, <<"::1">>}]}},
     {["--host", "[::1]", "--port", "1"], #{bind => [{tcp, {0, 0, 0, 0, 0, 0, 0, 1}, 1, <<"::1">>}]}},
     {["--bind", "127.0.0.1:8000", "-b", "fd://3", "--uds", "/a"], #{bind => [Local, {fd, 3}, {unix, <<"/a">>}]}},
     {["-w4"], #{workers => 4}},
     {["-w=4"], #{workers => 4}},
     {["-w", "4", "--workers", "2"], #{workers => 2}},
     {["--workers", "4", "-w", "2"], #{workers => 2}},
     {["-eA=1", "--env", "B=2", "-e", "C="], #{env => #{<<"A">> => <<"1">>, <<"B">> => <<"2">>, <<"C">> => <<>>}}},
     {["--limit-concurrency", "7", "--max-queue", "3"], #{max_concurrency => 7, max_queue => 3}},
     {["--max-queue", "3", "--limit-concurrency", "7"], #{max_concurrency => 7, max_queue => 3}},
     {["--access-log", "json"], #{access_log => json}},
     {["--access-log=combined"], #{access_log => combined}},
     {["--access-log", "OFF"], #{access_log => off}},
     {["--access-logfile", "-"], #{access_log => combined}},
     {["--access-logfile", "a", "--access-log", "json"], #{access_log => json, access_log_file => <<"a">>}},
     {["--no-proxy-headers", "--forwarded-allow-ips", "*"], #{forwarded_allow_ips => []}},
     {["--proxy-headers", "--forwarded-allow-ips", "*"], #{forwarded_allow_ips => [all]}},
     {["--keep-alive", "0"], #{max_keepalive => 1}},
     {["--timeout-keep-alive", "0.0001"], #{keepalive_timeout => 1}},
     {["--timeout-keep-alive", "infinity"], #{keepalive_timeout => infinity}},
     {["--timeout-graceful-shutdown", "0"], #{graceful_timeout => 0}},
     {["--ssl-version", "TLS_SERVER"], #{}},
     {["--ssl-version", "PROTOCOL_TLSv1_2"], #{versions => ['tlsv1.2']}},
     {["--ssl-protocol-min", "tls1.3"], #{versions => ['tlsv1.3']}},
     {["-k", "uvloop"], #{worker_class => asgi, loop => uvloop}},
     {["-k", "asgi"], #{worker_class => asgi}},
     {["--interface", "asginl"], #{worker_class => asgi, lifespan => off}},
     {["--interface", "auto"], #{worker_class => auto}},
     {["--interface", "wsgi"], #{worker_class => wsgi}},
     {["-k", "gthread", "--threads", "8"], #{worker_class => wsgi, threads => 8}},
     {["-k", "sync"], #{worker_class => wsgi, threads => 1}},
     {["-k", "sync", "--threads", "2"], #{worker_class => wsgi, threads => 2}},
     {["--worker-class", "wsgi"], #{worker_class => wsgi}},
     {["--http", "1"], #{http_version => ['HTTP/1.1']}},
     {["--http", "2"], #{http_version => ['HTTP/2']}},
     {["--http", "httptools"], #{}},
     {["--ws"], #{websocket => true}},
     {["--ws", "wsproto"], #{websocket => true}},
     {["--ws-ping-interval", "0"], #{websocket_ping_interval => infinity}},
     {["--ws-ping-interval", "0", "--ws-ping-timeout", "5"], #{websocket_ping_interval => infinity}},
     {["--ws-ping-timeout", "5", "--ws-ping-interval", "1"], #{websocket_ping_interval => 1000, websocket_timeout => 6000}},
     {["--ws-ping-timeout", "5", "--websocket-timeout", "7"], #{websocket_timeout => 7}},
     {["--log-level", "warn"], #{log_level => warning}},
     %% The unit of a flag that is ours is ours.
     {["--timeout", "30"], #{timeout => 30}},
     {["--graceful-timeout", "30"], #{graceful_timeout => 30}},
     {["--websocket-ping-interval", "30"], #{websocket_ping_interval => 30}}].

cases_test_() ->
    [{lists:flatten(lists:join(" ", Args)), ?_assertEqual({ok, ["app:app"], Expected}, hornbeam_options:from_args(Args ++ ["app:app"]))}
     || {Args, Expected} <- cases() ++ further()].

%% A value behind = is the same.
joined_test_() ->
    [{Flag, ?_assertEqual({ok, [], Expected}, hornbeam_options:from_args([Flag ++ "=" ++ Value]))}
     || {["--" ++ _ = Flag, Value], Expected} <- cases()].

%% Options that a table entry names are there, and take the values that it has.
resolves_test_() ->
    [{hd(Args), fun() ->
         {ok, _, Given} = hornbeam_options:from_args(Args),
         ?assertMatch({ok, _}, hornbeam_options:validate(maps:without([keyfile, certfile, verify, env_file, pythonpath, reload_dirs], Given)))
     end} || {Args, _} <- cases()].

every_flag_has_a_case_test() ->
    Flags = [Flag || {Flags, _, Rule, _} <- hornbeam_option_alias_table:all(), not is_atom(Rule), element(1, Rule) =/= refuse, Flag <- Flags],
    ?assertEqual([], Flags -- [hd(Args) || {Args, _} <- cases()]).

a_flag_stands_in_one_entry_test() ->
    Flags = [Flag || {Flags, _, _, _} <- hornbeam_option_alias_table:all(), Flag <- Flags],
    ?assertEqual([], Flags -- lists:usort(Flags)).

%% What is said to be the same is a flag of ours.
the_same_test_() ->
    Own = lists:append([case hornbeam_options:spec(Key) of
                            {ok, #{type := boolean} = Spec} -> [hornbeam_option_sources:flag(Spec), "no-" ++ hornbeam_option_sources:flag(Spec)];
                            {ok, #{type := {auto, boolean}} = Spec} -> [hornbeam_option_sources:flag(Spec), "no-" ++ hornbeam_option_sources:flag(Spec)];
                            {ok, Spec} -> [hornbeam_option_sources:flag(Spec)]
                        end || Key <- hornbeam_options:keys()]),
    [{Flag, ?_assert(lists:member(Name, Own))} || {Flags, _, Rule, _} <- hornbeam_option_alias_table:all(), is_atom(Rule), "--" ++ Name = Flag <- Flags].

refused_test_() ->
    Refused = [{Flag, Instead} || {Flags, _, {refuse, Instead}, _} <- hornbeam_option_alias_table:all(), Flag <- Flags],
    ?assert(length(Refused) > 40),
    [{Flag, [?_assertEqual({error, {usage, text([Flag, " is not taken here: ", Instead])}}, hornbeam_options:from_args(Args))
             || Args <- [[Flag], [Flag, "x", "app:app"], [Flag ++ "=x"]]]} || {Flag, Instead} <- Refused].

wrong_values_test_() ->
    [{lists:flatten(lists:join(" ", Args)), fun() ->
         {error, {usage, Said}} = hornbeam_options:from_args(Args),
         ?assertEqual(text(Expected), Said)
     end} || {Args, Expected} <- [
        {["--interface", "rsgi"], "--interface rsgi is not taken here: RSGI is granian's own; serve the application's ASGI interface"},
        {["--interface", "x"], "the flag --interface must be auto, asgi, asgi3, asgi2, asginl or wsgi, got \"x\""},
        {["-k", "gevent"], "the flag -k must be asgi or wsgi: a WSGI application runs in threads (gthread, --threads), got \"gevent\""},
        {["--worker-class", "trio"], "the flag --worker-class must be asgi: applications run on asyncio or uvloop, got \"trio\""},
        {["--worker-class", "x"], "the flag --worker-class must be auto, asgi, wsgi, sync, gthread, uvicorn.workers.UvicornWorker, asyncio or uvloop, got \"x\""},
        {["--http", "3"], "the flag --http must be auto, h11, httptools, zttp, 1 or 2, got \"3\""},
        {["--ws=x"], "the flag --ws must be auto, websockets, websockets-sansio, wsproto or none, got \"x\""},
        {["--keep-alive", "2s"], "the flag --keep-alive must be seconds, such as 30 or 2.5, got \"2s\""},
        {["--ws-ping-timeout", "-1"], "the flag --ws-ping-timeout must be seconds, such as 30 or 2.5, got \"-1\""},
        {["--ssl-cert-reqs", "3"], "the flag --ssl-cert-reqs must be 0 (CERT_NONE), 1 (CERT_OPTIONAL) or 2 (CERT_REQUIRED), got \"3\""},
        {["--workers-max-rss", "x"], "the flag --workers-max-rss must be mebibytes, such as 512, got \"x\""},
        {["--ssl-version", "3"], "the flag --ssl-version must be 17 (TLS, the newest that both have) or 5 (TLS 1.2): older versions are "
                                 "not spoken; see --versions, got \"3\""},
        {["--error-logfile", "a"], "the flag --error-logfile must be -: the log goes to standard error; append 2>>FILE, or let systemd's "
                                   "journal keep it, got \"a\""},
        {["--forwarded-allow-ips", ""], "the flag --forwarded-allow-ips must not be empty, got []"},
        {["--host", "a", "--bind", ":1"], ["--host and --port make one address: give either them, or --bind, --uds or --fd"]},
        {["--uds", "/a", "--port", "1"], ["--host and --port make one address: give either them, or --bind, --uds or --fd"]},
        {["--port"], "the flag --port needs a value"},
        {["-w"], "the flag -w needs a value"},
        {["-w", "--port"], "the flag -w needs a value"},
        {["--http2=1"], "the flag --http2 takes no value"},
        {["--timeout-keepalive", "1"], "unknown flag --timeout-keepalive; did you mean --timeout-keep-alive?"},
        {["-z"], "unknown flag -z"}]].

%% A bad value says by which flag it came.
named_test_() ->
    [?_assertEqual({error, {bad_option, Key, text(Expected)}}, hornbeam_options:from_args(Args)) || {Args, Key, Expected} <- [
        {["-w", "x"], workers, "must be an integer from 1 to 1024, got \"x\" (flag -w)"},
        {["--port", "x"], bind, "must end with a port from 0 to 65535, got \"127.0.0.1:x\" (flag --port)"},
        {["--host", "1.2.3.4", "--port", "x"], bind, "must end with a port from 0 to 65535, got \"1.2.3.4:x\" (flag --host, --port)"}]].

variables_test_() ->
    Env = fun(Set) -> hornbeam_options:from_env(fun(Name) -> maps:get(Name, Set, false) end) end,
    Everywhere = {tcp, {0, 0, 0, 0}, 5000, <<"0.0.0.0">>},
    [?_assertEqual({ok, #{workers => 3}}, Env(#{"WEB_CONCURRENCY" => "3"})),
     ?_assertEqual({ok, #{workers => 2}}, Env(#{"WEB_CONCURRENCY" => "3", "HORNBEAM_WORKERS" => "2"})),
     ?_assertEqual({ok, #{}}, Env(#{"WEB_CONCURRENCY" => "", "PORT" => ""})),
     ?_assertEqual({ok, #{bind => [Everywhere]}}, Env(#{"PORT" => "5000"})),
     ?_assertEqual({ok, #{bind => [{fd, 3}]}}, Env(#{"PORT" => "5000", "HORNBEAM_BIND" => "fd://3"})),
     ?_assertEqual({error, {bad_option, workers, <<"must be an integer from 1 to 1024, got \"x\" (environment variable WEB_CONCURRENCY)">>}},
                   Env(#{"WEB_CONCURRENCY" => "x"})),
     ?_assertEqual({error, {bad_option, bind, <<"must end with a port from 0 to 65535, got \"0.0.0.0:x\" (environment variable PORT)">>}},
                   Env(#{"PORT" => "x"}))].

%% Stronger than sys.config, weaker than a flag.
precedence_test_() ->
    {setup, fun() -> ok = application:set_env(hornbeam, workers, 5), os:putenv("WEB_CONCURRENCY", "3") end,
     fun(_) -> os:unsetenv("WEB_CONCURRENCY"), application:unset_env(hornbeam, workers) end,
     [?_assertMatch({ok, #{workers := 3}, _}, hornbeam_options:resolve(#{}, {"", #{}}, #{})),
      ?_assertMatch({ok, #{workers := 2}, _}, hornbeam_options:resolve(#{workers => 2}, {"", #{}}, #{})),
      %% In somebody else's VM they are not ours.
      ?_assertMatch({ok, #{workers := 5}}, hornbeam_options:resolve(#{}))]}.

headers_test_() ->
    [?_assertEqual({ok, [], #{headers => [{<<"x-a">>, <<"b: c">>}, {<<"y">>, <<>>}]}},
                   hornbeam_options:from_args(["--header", "X-A: b: c ", "--header=Y:"])),
     ?_assertMatch({ok, #{headers := [{<<"a">>, <<"1">>}]}}, hornbeam_options:validate(#{headers => [{"A", <<"1">>}]}))]
    ++ [?_assertMatch({error, {bad_option, headers, _}}, hornbeam_options:validate(#{headers => [Bad]}))
        || Bad <- ["no colon", "a b: c", ": x", "", {"a", "b\r\nc: d"}, {"a", [0]}, 7, "Date: now", "content-length: 1",
                   "Transfer-Encoding: chunked", "connection: close"]].

the_page_is_up_to_date_test() ->
    Page = project:read("docs/coming-from.md"),
    ?assert(Page =:= hornbeam_options:coming_from(), "docs/coming-from.md is out of date: run make docs").

the_page_has_every_flag_test() ->
    Page = unicode:characters_to_list(hornbeam_options:coming_from()),
    ?assertEqual([], [Flag || {Flags, _, _, _} <- hornbeam_option_alias_table:all(), Flag <- Flags,
                              string:find(Page, "`" ++ Flag ++ "`") =:= nomatch]).

text(Chars) -> unicode:characters_to_binary(Chars).
