%%% Values of other servers' flags, translated: seconds to milliseconds, lists, classes of workers, constants of Python's ssl.
%%%
%%% Called by: hornbeam_option_alias_table (in its rules), hornbeam_option_aliases. Pure. An error is text to be read after the flag's name.
-module(hornbeam_option_alias_values).

-export([seconds/1, ping_interval/1, keep_alive/1, read_timeout/1, mebibytes/1, commas/1, colons/1, unix/1, fd/1, log_level/1, worker_class/1,
         cert_reqs/1, ssl_version/1, access_log_file/1, error_log_file/1, limit_concurrency/1]).

-type text() :: {ok, string()} | {error, iodata()}.
-type settings() :: {ok, [hornbeam_option_aliases:setting()]} | {error, iodata()}.

%% @doc Seconds, perhaps with a fraction, as milliseconds: rounded up, so that only 0 is 0.
-spec seconds(string()) -> text().
seconds("infinity") ->
    {ok, "infinity"};
seconds(Text) ->
    case re:run(Text, "^([0-9]{1,9})(?:\\.([0-9]{0,9}))?$", [dollar_endonly, {capture, all_but_first, list}]) of
        {match, [Whole]} -> {ok, integer_to_list(list_to_integer(Whole) * 1000)};
        {match, [Whole, Fraction]} ->
            Nano = list_to_integer(lists:flatten(string:pad(Fraction, 9, trailing, $0))),
            {ok, integer_to_list(list_to_integer(Whole) * 1000 + (Nano + 999999) div 1000000)};
        nomatch -> {error, "must be seconds, such as 30 or 2.5"}
    end.

%% @doc 0 is never.
-spec ping_interval(string()) -> text().
ping_interval(Text) ->
    case seconds(Text) of
        {ok, "0"} -> {ok, "infinity"};
        Result -> Result
    end.

%% @doc 0 closes a connection after each response.
-spec keep_alive(string()) -> settings().
keep_alive(Text) ->
    case seconds(Text) of
        {ok, "0"} -> {ok, [{max_keepalive, "1"}]};
        {ok, Ms} -> {ok, [{keepalive_timeout, Ms}]};
        Error -> Error
    end.

-spec read_timeout(string()) -> settings().
read_timeout(Text) ->
    case seconds(Text) of
        {ok, Ms} -> {ok, [{header_timeout, Ms}, {body_timeout, Ms}]};
        Error -> Error
    end.

-spec mebibytes(string()) -> text().
mebibytes(Text) ->
    case re:run(Text, "^[0-9]{1,9}$", [dollar_endonly]) of
        {match, _} -> {ok, integer_to_list(list_to_integer(Text) * 1048576)};
        nomatch -> {error, "must be mebibytes, such as 512"}
    end.

-spec commas(string()) -> {ok, [string()]} | {error, iodata()}.
commas(Text) -> items(Text, ",").

-spec colons(string()) -> {ok, [string()]} | {error, iodata()}.
colons(Text) -> items(Text, ":").

items(Text, Separator) ->
    case [Item || Part <- string:split(Text, Separator, all), Item <- [string:trim(Part)], Item =/= ""] of
        [] -> {error, "must not be empty"};
        Items -> {ok, Items}
    end.

-spec unix(string()) -> text().
unix(Path) -> {ok, "unix:" ++ Path}.

-spec fd(string()) -> text().
fd(Number) -> {ok, "fd://" ++ Number}.

%% @doc The option's own levels, and names that others have for them.
-spec log_level(string()) -> text().
log_level(Text) ->
    case string:lowercase(Text) of
        Lower when Lower =:= "trace"; Lower =:= "notset" -> {ok, "debug"};
        "warn" -> {ok, "warning"};
        "fatal" -> {ok, "critical"};
        _ -> {ok, Text}
    end.

%% @doc gunicorn's classes, and hypercorn's, which are event loops. gunicorn's sync is one thread.
-spec worker_class(string()) -> settings().
worker_class(Text) ->
    case string:lowercase(Text) of
        Asgi when Asgi =:= "asgi"; Asgi =:= "uvicorn.workers.uvicornworker"; Asgi =:= "uvicorn_worker.uvicornworker";
                  Asgi =:= "uvicorn.workers.uvicornh11worker"; Asgi =:= "uvicorn_worker.uvicornh11worker" ->
            {ok, [{worker_class, "asgi"}]};
        Loop when Loop =:= "asyncio"; Loop =:= "uvloop" ->
            {ok, [{worker_class, "asgi"}, {loop, Loop}]};
        "trio" ->
            {error, "must be asgi: applications run on asyncio or uvloop"};
        Threads when Threads =:= "wsgi"; Threads =:= "gthread" ->
            {ok, [{worker_class, "wsgi"}]};
        "sync" ->
            {ok, [{worker_class, "wsgi"}, {implied, threads, "1"}]};
        "auto" ->
            {ok, [{worker_class, "auto"}]};
        Greenlets when Greenlets =:= "gevent"; Greenlets =:= "eventlet"; Greenlets =:= "tornado" ->
            {error, "must be asgi or wsgi: a WSGI application runs in threads (gthread, --threads)"};
        _ ->
            {error, "must be auto, asgi, wsgi, sync, gthread, uvicorn.workers.UvicornWorker, asyncio or uvloop"}
    end.

%% @doc ssl.VerifyMode of Python, by number or name.
-spec cert_reqs(string()) -> text().
cert_reqs(Text) ->
    case string:uppercase(Text) of
        None when None =:= "0"; None =:= "CERT_NONE" -> {ok, "none"};
        Optional when Optional =:= "1"; Optional =:= "CERT_OPTIONAL" -> {ok, "optional"};
        Required when Required =:= "2"; Required =:= "CERT_REQUIRED" -> {ok, "require"};
        _ -> {error, "must be 0 (CERT_NONE), 1 (CERT_OPTIONAL) or 2 (CERT_REQUIRED)"}
    end.

%% @doc ssl.PROTOCOL_* of Python, by number or name.
-spec ssl_version(string()) -> settings().
ssl_version(Text) ->
    case string:replace(string:uppercase(Text), "PROTOCOL_", "") of
        ["", "", Name] -> version(Name);
        [Name] -> version(Name)
    end.

version(Any) when Any =:= "2"; Any =:= "17"; Any =:= "TLS"; Any =:= "TLS_SERVER"; Any =:= "SSLV23" -> {ok, []};
version(Only) when Only =:= "5"; Only =:= "TLSV1_2" -> {ok, [{versions, "tlsv1.2"}]};
version(_) -> {error, "must be 17 (TLS, the newest that both have) or 5 (TLS 1.2): older versions are not spoken; see --versions"}.

%% @doc "-" is standard output. A log that has a file is wanted.
-spec access_log_file(string()) -> settings().
access_log_file("-") -> {ok, [{implied, access_log, "combined"}]};
access_log_file(Path) -> {ok, [{access_log_file, Path}, {implied, access_log, "combined"}]}.

-spec error_log_file(string()) -> settings().
error_log_file("-") -> {ok, []};
error_log_file(_) -> {error, "must be -: the log goes to standard error; append 2>>FILE, or let systemd's journal keep it"}.

%% @doc Beyond the limit 503 at once: nothing waits.
-spec limit_concurrency(string()) -> settings().
limit_concurrency(Number) -> {ok, [{max_concurrency, Number}, {implied, max_queue, "0"}]}.
