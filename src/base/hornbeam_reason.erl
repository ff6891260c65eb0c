%%% The text of every reason that a person reads: why a start failed, why a worker ended, why a request was answered by the server.
%%%
%%% Called by: whoever logs or returns a reason. Calls: hornbeam_options (the text of a bad option). Pure.
-module(hornbeam_reason).

-export([format/1, signal/1]).

%% @doc A reason as text for a person, without a line break at the end.
-spec format(term()) -> iolist().
format({bad_option, _Key, _Reason} = Error) ->
    hornbeam_options:format_error(Error);
format({python_not_found, Name}) ->
    io_lib:format("there is no Python interpreter ~ts", [Name]);
format({msgpack_missing, Interpreter}) ->
    io_lib:format("the Python package msgpack is missing in ~ts; install it with: "
                  "~ts -m pip install msgpack", [Interpreter, Interpreter]);
format({python_unsupported, Text}) ->
    io_lib:format("~ts", [Text]);
format({module_not_found, Text}) ->
    io_lib:format("the application's module was not found: ~ts", [Text]);
format({attribute_missing, Text}) ->
    io_lib:format("the application was not found in its module: ~ts", [Text]);
format({not_callable, Text}) ->
    io_lib:format("the application cannot be called: ~ts", [Text]);
format({not_asgi, Text}) ->
    io_lib:format("the application cannot be served: ~ts", [Text]);
format({factory_failed, Traceback}) ->
    ["the application's factory failed:\n", text(Traceback)];
format({import_failed, Traceback}) ->
    ["the application could not be imported:\n", text(Traceback)];
format({lifespan_failed, Text}) ->
    ["the application's lifespan failed: ", text(Text)];
format({log_config_failed, Text}) ->
    ["the logging configuration (log_config) cannot be used: ", text(Text)];
format({channels_failed, Text}) ->
    ["the channels (channels) cannot be used: ", text(Text)];
format({worker_failed, Text}) ->
    ["the worker failed:\n", text(Text)];
format({python_killed, 0}) ->
    "Python was ended by signal 9 (SIGKILL)";
format({python_killed, OomKills}) ->
    io_lib:format("Python was ended by signal 9 (SIGKILL), perhaps by the kernel because memory was used up, as it has ended ~b "
                  "of this control group's processes so far", [OomKills]);
format({python_exited, {exit_status, Status}}) when Status > 128 ->
    ["Python was ended by signal ", signal_text(Status - 128)];
format({python_exited, {exit_status, Status}}) ->
    io_lib:format("Python exited with status ~b", [Status]);
format({python_exited, {pipe_closed, _Reason}}) ->
    "Python closed its end of the pipe";
format({startup_timeout, Timeout}) when is_integer(Timeout) ->
    io_lib:format("the application was not ready after ~b ms (startup_timeout)", [Timeout]);
format(worker_died) ->
    "its worker died";
format(worker_drained) ->
    "its worker had to leave (graceful_timeout)";
format({blocked, Limit}) ->
    io_lib:format("its loop was blocked for ~b ms (worker_heartbeat)", [Limit]);
format(reload_in_progress) ->
    "another reload is in progress";
format({bad_frame, Reason}) ->
    io_lib:format("it sent what is no frame (~tp)", [Reason]);
format({backlog, Bytes, Max}) ->
    io_lib:format("~b bytes of it waited (max_worker_backlog: ~b)", [Bytes, Max]);
format({listen_failed, Bind, Reason}) ->
    io_lib:format("cannot listen on ~ts: ~ts", [Bind, listen_reason(Reason)]);
format({few_descriptors, Limit, Needed}) ->
    io_lib:format("the limit of open files (ulimit -n) is ~b, and at least ~b are needed", [Limit, Needed]);
format({env_file, Text}) ->
    ["env_file ", Text];
format({cannot_start, Reason}) ->
    io_lib:format("its process cannot be started: ~ts", [posix(Reason)]);
format({access_log_failed, Path, Reason}) ->
    io_lib:format("the access log ~ts cannot be opened: ~ts", [Path, file:format_error(Reason)]);
format({data_dir, Folder, Text}) ->
    io_lib:format("the durable tasks in ~ts (data_dir) cannot be used: ~ts", [Folder, Text]);
format({cluster_address, none, Addresses}) ->
    io_lib:format("none of the nodes' addresses (~ts) is this machine's; say which one this node has (cluster_address)", [lists:join(", ", Addresses)]);
format({cluster_address, several, Addresses}) ->
    io_lib:format("several of the nodes' addresses are this machine's (~ts); say which one this node has (cluster_address)", [lists:join(", ", Addresses)]);
format({cluster_address, machine, Addresses}) ->
    io_lib:format("this node is not among those of the cluster, and this machine has not one address (~ts); say which one this node has "
                  "(cluster_address)", [lists:join(", ", Addresses)]);
format({cluster_differs, Key}) ->
    io_lib:format("another server of this VM is in the cluster with another ~ts", [Key]);
format({cluster, Text}) ->
    ["this node's part of the cluster does not start: ", Text];
format({cluster_links, Text}) ->
    ["the links of the cluster cannot be opened: ", Text];
format({bad_certificate, File, Reason}) ->
    io_lib:format("cannot use ~ts: ~ts", [File, certificate_reason(Reason)]);
format({already_started, Name}) ->
    io_lib:format("a server named ~p runs already", [Name]);
format({no_mount, Place}) ->
    io_lib:format("there is no application at ~ts", [Place]);
format({change_ended, Name}) ->
    io_lib:format("the change of server ~ts ended before it was done; the log may say why", [Name]);
format({account, Text}) ->
    ["user, group: ", Text];
format(no_application) ->
    "neither an application nor a mount is given";
format(Other) ->
    io_lib:format("~tp", [Other]).

certificate_reason(no_certificate) -> "there is no certificate in it";
certificate_reason(no_private_key) -> "there is no private key in it";
certificate_reason(encrypted_key) -> "its key is encrypted, and keyfile_password is not given";
certificate_reason(wrong_password) -> "keyfile_password does not open its key, or it is encrypted in a way that OTP does not know";
certificate_reason(key_of_another_certificate) -> "the key does not belong to the certificate";
certificate_reason(not_pem) -> "it is not in PEM format";
certificate_reason(Posix) -> file:format_error(Posix).

posix(eagain) -> "the limit of processes (ulimit -u, the cgroup's pids.max) is reached";
posix(system_limit) -> "the VM's table of ports is full (+Q)";
posix(Posix) when is_atom(Posix) -> file:format_error(Posix);
posix(Other) -> io_lib:format("~tp", [Other]).

listen_reason(eaddrinuse) -> "the address is in use";
listen_reason(eacces) -> "permission denied";
listen_reason(eaddrnotavail) -> "this machine has no such address";
listen_reason(Posix) when is_atom(Posix) -> inet:format_error(Posix);
listen_reason(Other) -> io_lib:format("~tp", [Other]).

text(Bytes) ->
    string:trim(Bytes, trailing, "\n").

signal_text(Number) ->
    case name(Number) of
        none -> integer_to_list(Number);
        Name -> io_lib:format("~b (~s)", [Number, Name])
    end.

%% @doc The signal that an exit status stands for, by its name or number.
-spec signal(Status :: integer() | none) -> binary() | none.
signal(Status) when is_integer(Status), Status > 128 ->
    case name(Status - 128) of
        none -> integer_to_binary(Status - 128);
        Name -> list_to_binary(Name)
    end;
signal(_Status) ->
    none.

%% Linux's numbers, which are the same on all its common architectures.
name(Number) ->
    Names = #{1 => "SIGHUP", 2 => "SIGINT", 3 => "SIGQUIT", 4 => "SIGILL", 5 => "SIGTRAP", 6 => "SIGABRT", 7 => "SIGBUS", 8 => "SIGFPE", 9 => "SIGKILL",
              10 => "SIGUSR1", 11 => "SIGSEGV", 12 => "SIGUSR2", 13 => "SIGPIPE", 14 => "SIGALRM", 15 => "SIGTERM", 24 => "SIGXCPU",
              25 => "SIGXFSZ", 31 => "SIGSYS"},
    maps:get(Number, Names, none).
