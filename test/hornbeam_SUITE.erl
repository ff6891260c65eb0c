%%% The public interface with real Python: start, info, stop, every error, and what is left behind.
-module(hornbeam_SUITE).

-include_lib("stdlib/include/assert.hrl").
-include("../src/hornbeam_task.hrl").

-export([all/0, init_per_suite/1, end_per_suite/1, init_per_testcase/2, end_per_testcase/2]).
-export([starts_and_answers/1, starts_from_options_alone/1, errors/1, errors_leave_nothing/1,
         errors_are_reported_once/1, two_servers/1, services/1, the_same_name_twice/1, stop_returns_everything/1,
         stop_while_clients_are_connected/1, a_server_does_not_need_its_starter/1,
         a_server_that_ends_by_itself/1, a_server_that_ended_is_started_again/1,
         mounts_come_and_go/1, a_mount_that_was_added_fails_too_often/1, funs_are_hooks/1, a_durable_task_begins_at_once/1, log/2]).

all() ->
    [starts_and_answers, starts_from_options_alone, errors, errors_leave_nothing, errors_are_reported_once,
     two_servers, services, the_same_name_twice, stop_returns_everything, stop_while_clients_are_connected,
     a_server_does_not_need_its_starter, a_server_that_ends_by_itself,
     a_server_that_ended_is_started_again, mounts_come_and_go, a_mount_that_was_added_fails_too_often, funs_are_hooks,
     a_durable_task_begins_at_once].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(hornbeam),
    Config.

end_per_suite(_Config) ->
    ok = application:stop(hornbeam).

init_per_testcase(_Case, Config) -> Config.

end_per_testcase(_Case, _Config) ->
    _ = hornbeam:stop(),
    _ = hornbeam:stop(other),
    ok.

%%% Starting and stopping

starts_and_answers(_Config) ->
    {ok, Pid} = start("core_http:app", #{worker_class => asgi, lifespan => on, workers => 2}),
    ?assert(is_process_alive(Pid)),
    #{name := default, binds := [Url], applications := [Application]} = info(),
    #{app := <<"core_http:app">>, prefix := <<>>, in_flight := 0, waiting := 0, ready := 2,
      workers := Workers} = Application,
    ?assertMatch([#{number := 1, state := ready, requests := 0, restarts := 0},
                  #{number := 2, state := ready}], Workers),
    [?assert(is_integer(OsPid) andalso Memory > 1000000) || #{os_pid := OsPid, memory := Memory} <- Workers],
    ?assertEqual(<<"hello">>, get(Url, "/hello")),
    ?assertEqual(ok, hornbeam:stop()),
    ?assertNot(is_process_alive(Pid)),
    ?assertEqual({error, not_found}, hornbeam:stop()),
    ?assertEqual({error, not_found}, hornbeam:info()),
    [?assertNot(filelib:is_dir(["/proc/", integer_to_list(OsPid)])) || #{os_pid := OsPid} <- Workers].

starts_from_options_alone(_Config) ->
    {ok, _} = hornbeam:start((options())#{app => <<"core_http:app">>}),
    ?assertEqual(<<"hello">>, get(url(default), "/hello")),
    ok = hornbeam:stop(),
    {ok, _} = hornbeam:start((options())#{mounts => [{"/api", "core_http:app"}]}),
    ?assertEqual(<<"hello">>, get(url(default), "/api/hello")),
    ?assertEqual({error, no_application}, hornbeam:start(options())).

%% Whoever spawned it is answered when it is on disk, which may be when it has run.
a_durable_task_begins_at_once(Config) ->
    {priv_dir, Folder} = lists:keyfind(priv_dir, 1, Config),
    Options = #{data_dir => filename:join(Folder, "durable"), task_workers => 1},
    Add = fun(A, B) -> hornbeam_tasks:add(default, <<"tasks_app:add">>, [A, B], #{<<"durable">> => true}) end,
    {ok, _} = start("tasks_app:app", Options),
    {ok, First} = Add(1, 2),
    {ok, #task{state = done}} = hornbeam_tasks:await(default, First, infinity),
    {ok, Store} = hornbeam_task_table:store(default),
    ok = sys:suspend(Store),
    Case = self(),
    Asks = spawn_link(fun() -> Case ! {self(), Add(3, 4)} end),
    await:until(fun() -> [State || #task{state = State} <- durable_tasks()] =:= [done, done] end),
    receive {Asks, Early} -> error({answered, Early}) after 0 -> ok end,
    [_, #task{id = Second, stored = false}] = durable_tasks(),
    ok = sys:resume(Store),
    receive {Asks, Answer} -> ?assertEqual({ok, Second}, Answer) end,
    ok = hornbeam:stop(),
    {ok, _} = start("tasks_app:app", Options),
    ?assertMatch([#task{id = First, state = done, attempts = 1}, #task{id = Second, state = done, attempts = 1}], durable_tasks()).

%% Without those of its schedules.
durable_tasks() ->
    [Task || #task{durable = true} = Task <- hornbeam_task_table:of_server(default)].

two_servers(_Config) ->
    {ok, _} = start("core_http:app", #{}),
    {ok, _} = start("core_lifespan:without", #{name => other}),
    ?assertEqual(<<"hello">>, get(url(default), "/hello")),
    ?assertEqual(<<"hello, state []">>, get(url(other), "/")),
    ok = hornbeam:stop(),
    ?assertEqual(<<"hello, state []">>, get(url(other), "/")),
    ok = hornbeam:stop(other).

%% Called from here; what a reload may change of them, and what remains. The web worker's application calls none.
services(_Config) ->
    Services = #{model => #{target => "services_pools:Model", concurrency => 4}, gate => #{target => <<"services_pools:Gate">>}},
    {ok, _} = start("core_http:app", #{services => Services}),
    #{services := [#{prefix := <<"gate">>}, #{prefix := <<"model">>, workers := [#{os_pid := Before}]}]} = hornbeam:info(),
    ?assertEqual({ok, 3}, hornbeam:service_call(model, add, [1, 2], 5000)),
    ?assertEqual({ok, 4}, hornbeam:service_call("model", <<"aadd">>, [1], 5000, #{kwargs => #{b => 3}})),
    ?assertMatch({error, {python, <<"KeyError">>, _, _}}, hornbeam:service_call(model, fail, [<<"x">>], 5000)),
    ?assertEqual({error, {no_service, <<"none">>}}, hornbeam:service_call(none, add, [1], 5000)),
    ?assertEqual({error, timeout}, hornbeam:service_call(gate, wait, [<<"x">>], 50)),
    streams(),
    ok = hornbeam:reload(#{services => Services#{model := #{target => "services_pools:Model", processes => 2}}}),
    #{services := [_, #{workers := After}]} = hornbeam:info(),
    ?assertMatch([_, _], [OsPid || #{os_pid := OsPid, role := {_, current}} <- After, OsPid =/= Before]),
    %% A service can be removed, and another one come.
    ok = hornbeam:reload(#{services => #{other => #{target => "services_pools:Model"}}}),
    ?assertEqual({ok, 3}, hornbeam:service_call(other, add, [1, 2], 5000)),
    ?assertEqual({error, {no_service, <<"model">>}}, hornbeam:service_call(model, add, [1, 2], 5000)),
    ?assertMatch({error, {_, <<"\"Nope\"", _/binary>>}}, hornbeam:reload(#{services => #{x => #{target => "services_pools:Nope"}}})),
    ?assertEqual({ok, 3}, hornbeam:service_call(other, add, [1, 2], 5000)).

%% One value after the other, at the caller's speed.
streams() ->
    {ok, Stream} = hornbeam:service_stream(model, count, [<<"suite">>, 6000], #{}),
    {value, 0, Next} = hornbeam:service_next(Stream),
    %% A window of values, and no more, comes by itself.
    await(fun() -> waiting_messages() > 3000 end, 200, fun() -> waiting_messages() end),
    ?assert(waiting_messages() < 6000),
    ?assertEqual(lists:seq(1, 5999), rest(Next)),
    {ok, Stopped} = hornbeam:service_stream(model, count, [<<"stopped">>, 1 bsl 40], #{}),
    {value, 0, _} = hornbeam:service_next(Stopped, 5000),
    ok = hornbeam:service_stop(Stopped),
    ?assertEqual(0, waiting_messages()),
    {Pid, Monitor} = spawn_monitor(fun() ->
        {ok, Ended} = hornbeam:service_stream(model, forever, [<<"ended">>], #{}),
        {value, 0, _} = hornbeam:service_next(Ended)
    end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    [await(fun() -> hornbeam_state:get(Key) =:= {ok, 1} end, 200, fun() -> Key end) || Key <- [<<"stopped:closed">>, <<"ended:closed">>]],
    {ok, Wrong} = hornbeam:service_stream(model, add, [1], #{}),
    ?assertMatch({error, {python, <<"TypeError">>, _, _}}, hornbeam:service_next(Wrong)).

waiting_messages() ->
    {message_queue_len, Length} = process_info(self(), message_queue_len),
    Length.

rest(Stream) ->
    case hornbeam:service_next(Stream) of
        {value, Value, Next} -> [Value | rest(Next)];
        done -> []
    end.

the_same_name_twice(_Config) ->
    {ok, _} = start("core_http:app", #{}),
    ?assertEqual({error, {already_started, default}}, start("core_lifespan:without", #{})),
    ?assertEqual(<<"hello">>, get(url(default), "/hello")),
    ?assertMatch(#{applications := [#{app := <<"core_http:app">>}]}, hornbeam:info()).

%% From none to some and back, on a connection that stays open: reloads drop none.
funs_are_hooks(_Config) ->
    {ok, _} = start("core_http:app", #{}),
    #{host := Host, port := Port} = uri_string:parse(binary_to_list(url(default))),
    {ok, Socket} = gen_tcp:connect(Host, Port, [binary, {active, false}]),
    Ask = fun(Path) ->
        ok = gen_tcp:send(Socket, ["GET ", Path, " HTTP/1.1\r\nhost: a\r\n\r\n"]),
        {ok, Bytes} = gen_tcp:recv(Socket, 0, 10000),
        Bytes
    end,
    Answers = fun(Bytes, Status, Rest) -> match =:= re:run(Bytes, ["^HTTP/1.1 ", Status, ".*", Rest, "$"], [dotall, {capture, none}]) end,
    ?assert(Answers(Ask("/hello"), "200", "\r\n\r\nhello")),
    Secret = <<"from a closure">>,
    Hooks = #{on_request => fun(#{path := <<"/erlang">>}) -> {reply, 202, [], Secret}; (_) -> ok end,
              on_response => fun(#{fields := Fields} = Response, #{server := default}, undefined) ->
                                 {ok, Response#{fields := [{<<"x-fun">>, <<"1">>} | Fields]}}
                             end},
    ok = hornbeam:reload(#{http_hooks => Hooks}),
    ?assert(Answers(Ask("/erlang"), "202", "x-fun: 1\r\n.*\r\n\r\nfrom a closure")),
    ?assert(Answers(Ask("/hello"), "200", "x-fun: 1\r\n.*\r\n\r\nhello")),
    ok = hornbeam:reload(),
    ?assert(Answers(Ask("/erlang"), "202", "from a closure")),
    ?assertMatch({error, {bad_option, http_hooks, _}}, hornbeam:reload(#{http_hooks => [Hooks, no_such_module]})),
    ?assertMatch({error, {bad_option, http_hooks, _}}, hornbeam:reload(#{http_hooks => #{on_request => fun() -> ok end}})),
    ok = hornbeam:reload(#{http_hooks => []}),
    ?assertEqual(nomatch, binary:match(Ask("/hello"), <<"x-fun">>)),
    ok = gen_tcp:close(Socket).

a_server_does_not_need_its_starter(_Config) ->
    {Pid, Monitor} = spawn_monitor(fun() -> {ok, _} = start("core_http:app", #{}) end),
    receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end,
    ?assertEqual(<<"hello">>, get(url(default), "/hello")).

%% Embedded: the application goes on, whoever has started it can monitor it, the log says so, and nothing is left.
a_server_that_ends_by_itself(_Config) ->
    {ok, _} = start("core_lifespan:without", #{name => other}),
    Cycle = fun() ->
        Others = processes(),
        {ok, Server} = start("core_http:app", #{graceful_timeout => 100, metrics_bind => "127.0.0.1:0"}),
        Monitor = monitor(process, Server),
        Own = processes() -- Others,
        exit(Server, kill),
        receive {'DOWN', Monitor, process, Server, Reason} -> ?assertEqual(killed, Reason) end,
        await:until(fun() -> not hornbeam_servers:is_open(default) andalso not lists:any(fun is_process_alive/1, Own) end)
    end,
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => critical}),
    try
        Cycle(),
        leaves_nothing(Cycle),
        ?assertMatch([#{msg := {"the server ~ts has ended by itself" ++ _, [default, killed]}}, _], logged())
    after
        ok = logger:remove_handler(?MODULE)
    end,
    ?assertEqual(<<"hello, state []">>, get(url(other), "/")).

%% By its restart limit, as it would; and the next start comes with the message of the end.
a_server_that_ended_is_started_again(_Config) ->
    [begin
        {ok, Server} = start("core_http:app", #{}),
        Monitor = monitor(process, Server),
        kill_listener(Server, none),
        receive {'DOWN', Monitor, process, Server, Reason} -> ?assertEqual(shutdown, Reason) end,
        {ok, _} = start("core_http:app", #{}),
        ?assertEqual(<<"hello">>, get(url(default), "/hello")),
        ?assertMatch({ok, #{}}, hornbeam_servers:config(default)),
        ok = hornbeam:stop()
     end || _ <- lists:seq(1, 3)].

kill_listener(Server, Before) ->
    try hornbeam_server:listener(Server) of
        {ok, Listener} when Listener =/= Before -> exit(Listener, kill), kill_listener(Server, Listener);
        _ -> kill_listener(Server, Before)
    catch
        exit:{_, {gen_server, call, _}} -> ok
    end.

%%% Errors

errors(_Config) ->
    {ok, Taken} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Taken),
    Bind = lists:concat(["127.0.0.1:", Port]),
    [?assertMatch({App, Expected}, {App, reason(start(App, Options))})
     || {App, Options, Expected} <- [
        {"no_such_module:app", #{}, module_not_found},
        {"core_http:nothing", #{}, attribute_missing},
        {"core_http:reports", #{}, not_callable},
        {"core_broken:app", #{workers => 3}, import_failed},
        {"core_lifespan:fails", #{workers => 2}, lifespan_failed},
        {"core_lifespan:without", #{lifespan => on}, lifespan_failed},
        {"core_lifespan:never_ready", #{startup_timeout => 500}, startup_timeout},
        {"core_http:app", #{bind => Bind}, listen_failed},
        {"core_http:app", #{python => "/bin/false"}, python_exited},
        {"core_http:app", #{wrokers => 2}, bad_option},
        {"core_http:app", #{workers => 0}, bad_option},
        {"core_http:app", #{mounts => [{"/x", "no_such_module:app"}]}, module_not_found}]],
    ok = gen_tcp:close(Taken),
    ?assertEqual({error, {lifespan_failed, <<"the database is not there">>}}, start("core_lifespan:fails", #{})),
    {error, {import_failed, Trace}} = start("core_broken:app", #{}),
    ?assertMatch([<<"Traceback (most recent call last):">> | _], binary:split(Trace, <<"\n">>)),
    {error, {listen_failed, _, eaddrnotavail}} = start("core_http:app", #{bind => "192.0.2.1:0"}),
    ?assertEqual({error, not_found}, hornbeam:info()).

reason({error, Reason}) -> element(1, Reason).

errors_leave_nothing(_Config) ->
    Failing = fun() ->
        {error, {lifespan_failed, _}} = start("core_lifespan:fails", #{workers => 2}),
        {error, {listen_failed, _, _}} = start("core_http:app", #{bind => "192.0.2.1:0"})
    end,
    Failing(),
    leaves_nothing(Failing).

%% The reason is the caller's: no crash report, no supervisor report, no line in the log.
errors_are_reported_once(_Config) ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => notice}),
    try
        [{error, _} = start(App, Options)
         || {App, Options} <- [{"core_broken:app", #{workers => 3}}, {"no_such_module:app", #{}},
                               {"core_lifespan:fails", #{workers => 3}},
                               {"core_http:app", #{bind => "192.0.2.1:0"}},
                               {"core_http:app", #{bind => ["127.0.0.1:0", "192.0.2.1:0"]}},
                               {"core_http:app", #{python => "/bin/false", workers => 2}}]],
        ?assertEqual([], logged())
    after
        ok = logger:remove_handler(?MODULE)
    end.

%% As a logger handler: every event goes to the test, but for what only says that the machine is busy.
log(#{msg := {"worker ~b: its Erlang process" ++ _, _}}, _Config) -> ok;
log(Event, #{config := Pid}) -> Pid ! {logged, Event}.

logged() ->
    receive {logged, Event} -> [Event | logged()] after 100 -> [] end.

%%% Mounts that are added

%% Whatever is killed meanwhile.
mounts_come_and_go(_Config) ->
    Cycle = fun() ->
        {ok, Server} = start("core_http:app", #{graceful_timeout => 1000}),
        ok = hornbeam:mount(default, {"/api", "core_http:app"}, #{workers => 2}),
        <<"hello">> = get(url(default), "/api/hello"),
        Killed = child(added(Server, <<"/api">>), pool),
        exit(Killed, kill),
        await:until(fun() -> not lists:member(child(added(Server, <<"/api">>), pool), [Killed, restarting]) end),
        await:until(fun() -> maps:get(ready, hornbeam_pool:stats({default, <<"/api">>})) =:= 2 end),
        <<"hello">> = get(url(default), "/api/hello"),
        %% What was being added when the process that does it died goes with the next change.
        _ = spawn(fun() -> hornbeam:mount(default, {"/slow", "mounts_app:app"}, #{env => ["STARTS_IN=60"]}) end),
        await:until(fun() -> hornbeam_mounts:hidden(default) =/= [] end),
        exit(child(Server, hornbeam_server_pools), kill),
        await:until(fun() -> child(Server, hornbeam_server_pools) =:= none end),
        ok = hornbeam:mount(default, "/b=core_http:app", #{}),
        await:until(fun() -> hornbeam_mounts:hidden(default) =:= [] end),
        ?assertEqual([<<"/api">>, <<"/b">>, <<"/">>], [hornbeam_mounts:place(Mount) || Mount <- hornbeam_mounts:all(default)]),
        ok = hornbeam:unmount(default, "/api"),
        ok = hornbeam:unmount(default, "b"),
        await:until(fun() -> supervisor:which_children(child(Server, hornbeam_pools_sup)) =:= [] end),
        ?assertEqual({error, {no_mount, <<"/b">>}}, hornbeam:unmount(default, "/b")),
        ok = hornbeam:stop(),
        ?assertEqual({error, not_found}, hornbeam:mount(default, "/b=core_http:app", #{}))
    end,
    Cycle(),
    leaves_nothing(Cycle).

%% It is as much the server as one that it was started with.
a_mount_that_was_added_fails_too_often(_Config) ->
    {ok, Server} = start("core_http:app", #{}),
    ok = hornbeam:mount(default, "/api=core_http:app", #{}),
    Monitor = monitor(process, Server),
    fail(Server, none),
    receive {'DOWN', Monitor, process, Server, Reason} -> ?assertEqual(shutdown, Reason) end.

fail(Server, Before) ->
    try added(Server, <<"/api">>) of
        Sup when is_pid(Sup), Sup =/= Before -> exit(Sup, kill), fail(Server, Sup);
        _ -> fail(Server, Before)
    catch
        exit:_ -> ended
    end.

added(Server, Place) ->
    child(child(Server, hornbeam_pools_sup), {pool, {default, Place}}).

child(Sup, Id) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Sup)) of
        {_, Pid, _, _} -> Pid;
        false -> none
    end.

%%% What stays behind

stop_returns_everything(_Config) ->
    Cycle = fun() ->
        {ok, _} = start("core_http:app", #{workers => 2, mounts => [{"/api", "core_http:app"}]}),
        [<<"hello">> = get(url(default), Path) || Path <- ["/hello", "/api/hello", "/hello"]],
        ok = hornbeam:stop()
    end,
    Cycle(),
    leaves_nothing(fun() -> Cycle(), Cycle() end).

stop_while_clients_are_connected(_Config) ->
    Cycle = fun() ->
        {ok, _} = start("core_http:app", #{graceful_timeout => 300}),
        Sockets = [connect(url(default)) || _ <- lists:seq(1, 5)],
        [ok = gen_tcp:send(Socket, request("/ticks")) || Socket <- tl(Sockets)],
        [{ok, _} = gen_tcp:recv(Socket, 100, 60000) || Socket <- tl(Sockets)],
        ok = hornbeam:stop(),
        [gen_tcp:close(Socket) || Socket <- Sockets]
    end,
    Cycle(),
    leaves_nothing(Cycle).

leaves_nothing(Fun) ->
    Before = footprint(),
    Fun(),
    await(fun() -> is_back(footprint(), Before) end, 1200, fun() ->
        [{Key, {before, maps:get(Key, Before)}, {now, After}}
         || {Key, After} <- maps:to_list(footprint()), After =/= maps:get(Key, Before)]
    end).

%% A file may be closed meanwhile that others have opened.
is_back(#{fds := Now} = Footprint, #{fds := Before} = Wanted) -> Footprint#{fds := Before} =:= Wanted andalso Now =< Before.

%% Everything that a server takes: its own processes are told by where they begin.
footprint() ->
    {ok, Fds} = file:list_dir("/proc/self/fd"),
    #{processes => lists:sort([Initial || Pid <- processes(), Initial <- [initial(Pid)], Initial =/= gone]),
      ports => length(erlang:ports()), fds => length(Fds), tables => length(ets:all()),
      pools => ets:tab2list(hornbeam_pools),
      terms => [Key || {{hornbeam_mounts, _} = Key, _} <- persistent_term:get()],
      ranch => lists:sort([Ref || {{_, {hornbeam, _, _} = Ref}, _} <- ets:tab2list(ranch_server)]),
      children => os:cmd("pgrep -c -P " ++ os:getpid() ++ " 2>/dev/null; true")}.

initial(Pid) ->
    case proc_lib:translate_initial_call(Pid) of
        {Module, _, _} when Module =:= logger_std_h; Module =:= ct_logs -> gone;
        {proc_lib, init_p, 5} -> gone;
        {Module, Function, _} ->
            case is_process_alive(Pid) of true -> {Module, Function}; false -> gone end
    end.

await(Condition, 0, Why) -> ?assert(Condition(), Why());
await(Condition, Left, Why) ->
    case Condition() of
        true -> ok;
        false -> timer:sleep(50), await(Condition, Left - 1, Why)
    end.

%%% A server and a client

start(App, Options) -> hornbeam:start(App, maps:merge(options(), Options)).

options() ->
    Root = root(),
    #{bind => "127.0.0.1:0", python => filename:join(Root, ".venv/bin/python"),
      pythonpath => [filename:join(Root, "python_tests/apps")]}.

%% The project: what _build/test/lib/hornbeam stands in.
root() ->
    filename:absname(filename:join([code:lib_dir(hornbeam), "..", "..", "..", ".."])).

%% With what every worker says: on a busy machine one may not answer in time.
info() ->
    #{applications := [#{workers := Workers}]} = Info = hornbeam:info(),
    case [busy || #{state := busy} <- Workers] of
        [] -> Info;
        _ -> info()
    end.

url(Name) ->
    #{binds := [Url]} = hornbeam:info(Name),
    Url.

get(Url, Path) ->
    Socket = connect(Url),
    ok = gen_tcp:send(Socket, request(Path)),
    Answer = until_closed(Socket, <<>>),
    [<<"HTTP/1.1 200 OK", _/binary>>, Body] = binary:split(Answer, <<"\r\n\r\n">>),
    Body.

connect(Url) ->
    #{port := Port} = uri_string:parse(Url),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    Socket.

request(Path) -> ["GET ", Path, " HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"].

until_closed(Socket, Answer) ->
    case gen_tcp:recv(Socket, 0, 60000) of
        {ok, Data} -> until_closed(Socket, <<Answer/binary, Data/binary>>);
        {error, closed} -> ok = gen_tcp:close(Socket), Answer
    end.
