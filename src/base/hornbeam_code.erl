%%% All code that a server may ever call, loaded when it starts.
%%%
%%% Called by: hornbeam_cli, before all else (prefetch/0); hornbeam_server, while the workers start (load/1). Calls: code.
%%%
%%% The VM loads a module when it is called first. That needs a descriptor, and at the time when there is none it is the modules that
%%% only errors need that are called first: the filter of a log line, the text of a crash. So everything of Hornbeam and of all
%%% that it depends on is loaded, also where Hornbeam is a part of somebody's system. In embedded mode (`-mode embedded' with
%%% a boot file of its own) nothing is left to do.
%%%
%%% What no request of this server can reach is left: TLS, HTTP hooks, folders of files, a cluster and Ra where there are none, Cowboy where it serves no metrics and no dashboard, of Cowlib
%%% all but the frames of HTTP/2 (two thirds of it are parsers of fields), what only commands call. HTTP/2 itself comes with TLS; without, it is loaded by the first client that
%%% speaks it.
%%%
%%% A module takes about three times the memory of its file, compiled to machine code. So what OTP has loaded to read files of terms, which is no more needed, is given back before the rest is loaded
%%% into its place, where the VM is ours; if somebody calls it, it is loaded again. And in the end the heaps that have grown while all this was read.
%%%
%%% A process of its own loads ?BATCH modules after the other; nobody waits for it, since what hornbeam_descriptors keeps back is there
%%% from the beginning. It begins at once, though a moment later would leave the processors to the first requests: whoever
%%% measures what connections cost would find the code among it. Cost (OTP 25, two cores, medians) beyond what the first requests would
%%% load: 0.1 s of CPU, 5 MB (VmRSS says 9, because it counts compiled code twice). One by one they take a
%%% quarter more CPU, since the VM's table of functions is copied each time; all at once 113 MB.
%%%
%%% What a start needs before its first worker is loaded beforehand, in two batches on the cores that have nothing to do yet: 60 ms sooner than
%%% module by module as they are called.
-module(hornbeam_code).

-export([prefetch/0, start_modules/0, load/1, modules/1]).

-type part() :: tls | http2 | metrics | dashboard | static | channels | trace | cluster | slow_request.

-define(BATCH, 16).
%% The applications that only a part calls, and what is called of them without it.
-define(PARTS, [{tls, [ssl, public_key, asn1]}, {metrics, [cowboy, cowlib]}]).
%% The applications that hornbeam.app does not name (it says why), and what of OTP's tools they call.
-define(BESIDE, [{cluster, [ra], [dets, dets_server, dets_sup, dets_utils, dets_v9, dict, sets, array, pg, net, auth, dist_util, inet_tcp_dist, erl_epmd, erts_debug, seq_trace,
                                  uri_string, erl_parse, erl_scan]}]).
%% Of our own: hornbeam_http_hooks loads them where there are HTTP hooks; the log's ring is whoever's that keeps it; the next one is OTP's to load, the others are loaded as somebody asks something.
-define(ASKED_FOR, [hornbeam_http_hooks, hornbeam_http_hook_values, hornbeam_http_hook_modules, hornbeam_http_hook_metrics, hornbeam_http_hook,
                    hornbeam_log_ring, hornbeam_node_epmd, hornbeam_worker_profile, hornbeam_worker_memory_top, hornbeam_in_progress, hornbeam_diagnose_command, hornbeam_flame,
                    hornbeam_diagnose_client, hornbeam_figures, hornbeam_top, hornbeam_top_screen, hornbeam_terminal,
                    hornbeam_doctor, hornbeam_doctor_machine, hornbeam_doctor_python, hornbeam_doctor_ports, hornbeam_doctor_tls, hornbeam_doctor_cluster, hornbeam_doctor_dashboard,
                    hornbeam_doctor_options, hornbeam_control_client, hornbeam_password_command, hornbeam_option_docs, hornbeam_option_coming_from]).
%% What only a part calls.
-define(ROOMS, [{http2, [cow_hpack, cow_http2, hornbeam_http2, hornbeam_http2_body, hornbeam_http2_ended, hornbeam_http2_fields, hornbeam_http2_head, hornbeam_http2_input,
                         hornbeam_http2_output, hornbeam_http2_rate, hornbeam_http2_reply, hornbeam_http2_socket, hornbeam_http2_stream, hornbeam_http2_streams]},
                {metrics, [hornbeam_side_listener]}, {dashboard, [hornbeam_metrics_ssl]},
                {slow_request, [hornbeam_slow, hornbeam_diagnose_workers, hornbeam_worker_stack]},
                {cluster, [hornbeam_task_part, hornbeam_task_member, hornbeam_task_listener]},
                {trace, [hornbeam_trace, hornbeam_trace_settings, hornbeam_trace_spans, hornbeam_trace_exporter, hornbeam_trace_otlp,
                         hornbeam_trace_http]},
                {static, [hornbeam_static, hornbeam_static_path, hornbeam_static_files, hornbeam_static_conditional, hornbeam_static_ranges,
                          hornbeam_static_types]},
                {channels, [hornbeam_channel, hornbeam_channel_events, hornbeam_channel_connection, hornbeam_channel_joined, hornbeam_channel_python, hornbeam_channel_codec,
                            hornbeam_channels, hornbeam_service_channels, hornbeam_service_presence]}]).
%% What in OTP's libraries no server calls: the shell, tables and logs on disk, archives, tools of compilers, sockets of the other kind, what
%% is obsolete. A third of all.
-define(TOOLS, [c, i, shell, shell_default, shell_docs, edlin, edlin_expand, group, group_history, user_drv, escript,
                dets, dets_server, dets_sup, dets_utils, dets_v9, disk_log, disk_log_1, disk_log_server, disk_log_sup,
                logger_disk_log_h, wrap_log_reader, file_sorter, ram_file, erl_tar, zip, qlc, qlc_pt, sofs, ms_transform,
                digraph, digraph_utils, erl_compile, erl_compile_server, erl_expand_records, erl_boot_server, slave, pool,
                gen_tcp_socket, gen_udp_socket, gen_sctp, inet_sctp, inet6_sctp, win32reg, pubkey_ssh,
                dist_ac, global_search, net_adm, gen_fsm, log_mf_h, error_logger_tty_h, error_logger_file_h, pg2, random,
                raw_file_io_deflate, raw_file_io_inflate, raw_file_io_compressed, eval_bits, erl_abstract_code,
                raw_file_io_delayed, raw_file_io_list, erl_lint, erl_eval, erl_parse, erl_scan, erl_bits, epp, otp_internal, beam_lib, erl_ddll, erl_reply, application_starter, io_lib_fread,
                dict, sets, array, pg, net, auth, dist_util, inet_tcp_dist, inet6_tcp_dist, erl_epmd, erts_debug, seq_trace, inet_res, inet_dns, inet6_udp, uri_string]).
%% Of these, what the boot file and the reading of app files have loaded.
-define(READ, [erl_eval, erl_lint, erl_parse, erl_scan, epp, beam_lib]).
%% Have read all of that.
-define(READERS, [code_server, application_controller, erl_prim_loader]).

%% What is called from the first line of the command to the start of a worker (OTP 25). A module too few or too many costs half a millisecond.
-define(START, [
    calendar, cowboy_app, cowboy_clock, cowboy_sup, dtls_connection_sup, dtls_listener_sup, dtls_server_session_cache_sup, dtls_server_sup,
    dtls_sup, epp, erl_anno, erl_scan, filelib, gen_statem, io, io_lib, ranch_app, ranch_server, ranch_sup, re, socket, ssl_admin_sup,
    ssl_app, ssl_client_session_cache_db, ssl_config, ssl_connection_sup, ssl_listen_tracker_sup, ssl_logger, ssl_manager, ssl_pem_cache,
    ssl_pkix_db, ssl_server_session_cache_sup, ssl_sup, ssl_upgrade_server_session_cache_sup, string, tls_client_ticket_store,
    tls_connection_sup, tls_server_session_ticket_sup, tls_server_sup, tls_sup, unicode_util, hornbeam, hornbeam_access_log, hornbeam_app,
    hornbeam_cache, hornbeam_cache_flights, hornbeam_cache_store, hornbeam_call_sup, hornbeam_cgroup, hornbeam_clients, hornbeam_code, hornbeam_connections, hornbeam_cores, hornbeam_crash_dump,
    hornbeam_descriptors, hornbeam_keeper, hornbeam_layer, hornbeam_listener, hornbeam_log, hornbeam_log_format, hornbeam_memory,
    hornbeam_metrics_listener, hornbeam_mounts, hornbeam_option_alias_table, hornbeam_option_aliases, hornbeam_option_bind,
    hornbeam_option_cluster, hornbeam_option_fields, hornbeam_option_mount, hornbeam_option_sources, hornbeam_option_table, hornbeam_option_table_channels, hornbeam_option_table_cluster, hornbeam_option_table_dashboard, hornbeam_option_table_listener, hornbeam_option_table_tasks, hornbeam_option_table_trace, hornbeam_option_share,
    hornbeam_option_text, hornbeam_option_types, hornbeam_options, hornbeam_output, hornbeam_pool, hornbeam_pool_plan, hornbeam_pool_queue,
    hornbeam_pool_sup, hornbeam_pool_turns, hornbeam_pool_waiting, hornbeam_pool_watch, hornbeam_pools_sup, hornbeam_presence, hornbeam_presence_replica, hornbeam_presence_text, hornbeam_pubsub, hornbeam_pubsub_peers, hornbeam_pubsub_relay,
    hornbeam_python, hornbeam_service_pools, hornbeam_server, hornbeam_server_monitor, hornbeam_server_sup, hornbeam_servers, hornbeam_signaller, hornbeam_signals,
    hornbeam_state, hornbeam_state_limits, hornbeam_state_store, hornbeam_state_sweeper, hornbeam_subscriptions, hornbeam_sup,
    hornbeam_tables, hornbeam_vm, hornbeam_history, hornbeam_websocket_fanout, hornbeam_websockets, hornbeam_worker, hornbeam_worker_life,
    hornbeam_worker_log, hornbeam_worker_places, hornbeam_worker_sup
]).

%% @doc Begins to load what a start needs.
-spec prefetch() -> ok.
prefetch() ->
    {Some, Others} = lists:partition(fun({N, _}) -> N rem 2 =:= 0 end, lists:enumerate(?START)),
    lists:foreach(fun(Batch) -> spawn(fun() -> code:ensure_modules_loaded([Module || {_, Module} <- Batch]) end) end, [Some, Others]).

-spec start_modules() -> [module()].
start_modules() -> ?START.

%% @doc Begins to load what is missing. A module that cannot be loaded is a warning: it will not be found when it is called, either.
-spec load([part()]) -> ok.
load(Parts) ->
    _ = proc_lib:spawn(fun() ->
        Modules = modules(Parts),
        ok = unload(is_ours() andalso code:get_mode() =:= interactive, ?READ -- Modules),
        load_all([Module || Module <- Modules, not erlang:module_loaded(Module)], []),
        lists:foreach(fun erlang:garbage_collect/1, [Pid || Name <- ?READERS, Pid <- [whereis(Name)], is_pid(Pid)])
    end),
    ok.

is_ours() -> init:get_argument(s) =:= {ok, [["hornbeam_cli", "main"]]}.

%% A process that is just in one of them keeps its code for as long, as soft_purge has it.
unload(false, _) -> ok;
unload(true, Read) -> lists:foreach(fun(Module) -> code:delete(Module) andalso code:soft_purge(Module) end, Read).

load_all([], []) ->
    ok;
load_all([], Missing) ->
    logger:warning("modules cannot be loaded: ~tp", [lists:append(lists:reverse(Missing))]);
load_all(Modules, Missing) ->
    {Batch, Rest} = lists:split(min(?BATCH, length(Modules)), Modules),
    case code:ensure_modules_loaded(Batch) of
        ok -> load_all(Rest, Missing);
        {error, Reasons} -> load_all(Rest, [Reasons | Missing])
    end.

%% @doc The modules of Hornbeam and of the applications that it needs, directly or not, with those parts.
-spec modules([part()]) -> [module()].
modules(Parts) ->
    Beside = [{Applications, Tools} || {Part, Applications, Tools} <- ?BESIDE, lists:member(Part, Parts)],
    Roots = [hornbeam | lists:append([Applications || {Applications, _} <- Beside])],
    Tools = lists:append([Called || {_, Called} <- Beside]),
    Left = lists:append([Applications || {Part, Applications} <- ?PARTS, not lists:member(Part, Parts)]),
    Whole = lists:append([application_modules(Application) || Application <- closure(Roots, []) -- Left]),
    Empty = lists:append([Own || {Part, Own} <- ?ROOMS, not lists:member(Part, Parts)]),
    Alone = [Module || Module <- Whole, not lists:member(cluster, Parts),
                       lists:prefix("hornbeam_cluster", atom_to_list(Module)) orelse lists:member(Module, [hornbeam_lock, hornbeam_leader])],
    Unseen = [Module || Module <- Whole, not lists:member(dashboard, Parts),
                        lists:prefix("hornbeam_dashboard", atom_to_list(Module)) orelse lists:member(Module, [hornbeam_series, hornbeam_password])],
    Frames = [Module || {http2, Own} <- ?ROOMS, lists:member(http2, Parts), Module <- Own -- Whole],
    ((Frames ++ Whole) -- (?TOOLS -- Tools)) -- (?ASKED_FOR ++ Empty ++ Alone ++ Unseen).

application_modules(Application) ->
    {ok, Modules} = application:get_key(Application, modules),
    Modules.

closure([], Found) ->
    Found;
closure([Application | Rest], Found) ->
    case lists:member(Application, Found) of
        true ->
            closure(Rest, Found);
        false ->
            _ = application:load(Application),
            {ok, Needed} = application:get_key(Application, applications),
            closure(Needed ++ Rest, [Application | Found])
    end.
