%%% hornbeam_http_hooks, hornbeam_http_hook_values, hornbeam_http_hook_modules: what a hook may return, and what is made of what it may not.
-module(hornbeam_http_hooks_tests).

-include_lib("eunit/include/eunit.hrl").
-include("../src/hornbeam_head.hrl").
-include("../src/hornbeam.hrl").

-export([on_request/1, on_response/3, log/2]).

%% A module that is a hook.
on_request(_Request) -> ok.
on_response(_Response, _Request, _Context) -> ok.

head() ->
    #head{method = <<"GET">>, path = <<"/a">>, query = <<"b">>, version = 'HTTP/1.1', host = <<"h">>,
          fields = [{<<"host">>, <<"h">>}, {<<"x">>, <<"1">>}, {<<"te">>, <<"trailers">>}], te = <<"trailers">>,
          peer = {{127, 0, 0, 1}, 5}, sock = {{127, 0, 0, 1}, 80}}.

hooks(Hooks) ->
    {hornbeam_http_hooks, Settings} = settings(Hooks),
    hornbeam_http_hooks:new(head(), Settings).

settings(Hooks) -> hornbeam_http_hooks:settings(?MODULE, #{http_hooks => Hooks}).

%% What a hook that returns this does to a request.
asked(Returned) -> asked(Returned, head()).

asked(Returned, Head) ->
    {hornbeam_http_hooks, Settings} = settings([#{on_request => fun(_) -> Returned end}]),
    case hornbeam_http_hooks:request(hornbeam_http_hooks:new(Head, Settings)) of
        {ok, Changed, _State} -> Changed;
        {reply, Reply, _State} -> Reply;
        {failed, Reason} -> Reason
    end.

quiet(Tests) ->
    {setup, fun() -> #{level := Level} = logger:get_primary_config(), ok = logger:set_primary_config(level, none), Level end,
     fun(Level) -> ok = logger:set_primary_config(level, Level) end, Tests}.

request() -> hornbeam_http_hook_values:request(head(), server).

changes_test_() ->
    Request = (request())#{server := ?MODULE},
    Changed = fun(Key, Value) -> asked({ok, Request#{Key := Value}}) end,
    quiet([
        ?_assertEqual(head(), asked(ok)),
        ?_assertEqual(head(), asked({ok, Request})),
        ?_assertEqual(head(), asked({ok, Request, context})),
        ?_assertMatch(#head{method = <<"PUT">>}, Changed(method, <<"PUT">>)),
        ?_assertMatch(#head{path = <<"/b/%20">>}, Changed(path, <<"/b/%20">>)),
        ?_assertMatch(#head{query = <<"">>}, Changed(query, <<"">>)),
        ?_assertMatch(#head{scheme = <<"https">>}, Changed(scheme, <<"https">>)),
        ?_assertMatch(#head{peer = {{0, 0, 0, 0, 0, 0, 0, 1}, 0}}, Changed(peer, {{0, 0, 0, 0, 0, 0, 0, 1}, 0})),
        %% The host is one thing, wherever it is said.
        ?_assertMatch(#head{host = <<"n:1">>, fields = [{<<"host">>, <<"n:1">>}, {<<"x">>, _}, _]}, Changed(host, <<"n:1">>)),
        ?_assertMatch(#head{host = <<"m">>}, Changed(fields, [{<<"Host">>, <<"m">>}, {<<"te">>, <<"trailers">>}])),
        ?_assertMatch(#head{host = undefined}, Changed(fields, [{<<"te">>, <<"trailers">>}]))
    ]).

wrong_requests_test_() ->
    Request = (request())#{server := ?MODULE},
    Te = {<<"te">>, <<"trailers">>},
    Wrong = [{method, get}, {method, <<"get">>}, {method, <<"A B">>}, {method, <<"HEAD">>}, {method, <<"CONNECT">>}, {method, <<"TRACE">>},
             {path, <<"a">>}, {path, "/a"}, {path, <<"/a b">>}, {path, <<"/a?b">>}, {path, <<"/a#b">>}, {path, <<"/\r\n">>},
             {query, <<"a b">>}, {query, undefined}, {query, "a"}, {scheme, <<"ftp">>}, {scheme, https}, {host, undefined}, {host, <<"a/b">>},
             {peer, undefined}, {peer, {{1, 2, 3}, 4}}, {peer, {{1, 2, 3, 4}, 70000}}, {peer, {"::1", 4}},
             {fields, none}, {fields, [{<<"x">>, "1"}]}, {fields, [{<<"a b">>, <<"1">>}, Te]}, {fields, [{<<"x">>, <<"a\nb">>}, Te]},
             {fields, [{<<"x">>, <<0>>}, Te]}, {fields, [{<<"x">>, <<1>>}, Te]}, {fields, []}, {fields, [Te, {<<"content-length">>, <<"1">>}]},
             {fields, [Te, {<<"host">>, <<"a">>}, {<<"host">>, <<"b">>}]}, {fields, [Te, {<<"host">>, <<"a b">>}]}, {fields, [Te | improper]},
             {fields, [Te | lists:duplicate(10000, {<<"x">>, <<>>})]},
             {version, 'HTTP/2'}, {sock, undefined}, {server, other}, {mount, <<"/m">>}, {websocket, true}],
    Returned = [nothing, {ok, []}, {ok, maps:remove(path, Request)}, {ok, Request#{more => 1}}, {error, x}, {ok, Request, a, b}]
               ++ [{ok, Request#{Key := Value}} || {Key, Value} <- Wrong],
    quiet([?_assertEqual({One, hook_failed}, {One, asked(One)}) || One <- Returned]
          ++ [?_assertEqual(hook_failed, asked({ok, (hornbeam_http_hook_values:request(Head, ?MODULE))#{method := <<"PUT">>}}, Head))
              || Head <- [(head())#head{method = <<"HEAD">>}, (head())#head{upgrade = <<"websocket">>},
                          (head())#head{method = <<"CONNECT">>, protocol = <<"websocket">>}]]).

replies_test_() ->
    quiet([?_assertEqual({reply, 200, [{<<"x-a">>, <<"1">>}], 3, <<"abc">>}, asked({reply, 200, [{<<"X-A">>, <<"1">>}], ["a", <<"bc">>]})),
           ?_assertEqual({reply, 204, [], none, <<>>}, asked({reply, 204, [], <<"dropped">>})),
           ?_assertEqual({reply, 200, [], 3, <<>>}, asked({reply, 200, [], <<"abc">>}, (head())#head{method = <<"HEAD">>}))]
          ++ [?_assertEqual({One, hook_failed}, {One, asked(One)})
              || One <- [{reply, 199, [], <<>>}, {reply, 600, [], <<>>}, {reply, ok, [], <<>>}, {reply, 200, x, <<>>},
                         {reply, 200, [{<<"a">>, <<"\r">>}], <<>>}, {reply, 200, [{a, <<>>}], <<>>}, {reply, 200, [], none}, {reply, 200, [], [300]},
                         {reply, 200, [], {file, <<"/no/such/file">>}}, {reply, 200, [], {file, <<"/">>}}, {reply, 200, [], {file, 1}},
                         {reply, 200, []}]]).

responses_test_() ->
    Fields = [{<<"x">>, <<"1">>}],
    Answered = fun(Status, Returned) -> hornbeam_http_hooks:response(Status, Fields, hooks([#{on_response => fun(_, _, _) -> Returned end}])) end,
    Response = #{status => 200, fields => Fields},
    quiet([?_assertEqual({ok, 200, Fields}, Answered(200, ok)),
           ?_assertEqual({ok, 999, []}, Answered(999, {ok, #{status => 999, fields => []}})),
           ?_assertEqual({ok, 599, Fields}, Answered(200, {ok, Response#{status := 599}})),
           ?_assertEqual({ok, 101, []}, Answered(101, {ok, #{status => 101, fields => []}})),
           ?_assertEqual({failed, hook_failed}, Answered(101, {ok, Response}))]
          ++ [?_assertEqual({failed, hook_failed}, Answered(200, One))
              || One <- [default, {ok, []}, {ok, Response#{body => <<>>}}, {ok, Response#{status := 101}}, {ok, Response#{status := 600}},
                         {ok, Response#{fields := [{<<"x">>, <<"\r\n">>}]}}, {reply, 200, [], <<>>}]]).

errors_test_() ->
    Own = {reply, 404, [{<<"x">>, <<"1">>}], 9, <<"Not Found">>},
    Page = fun(Returned) -> #{on_error => fun(#{reason := not_found, status := 404}, #{path := <<"/a">>}, undefined) -> Returned end} end,
    Made = fun(Hooks) -> hornbeam_http_hooks:own_answer(not_found, Own, hooks(Hooks)) end,
    quiet([?_assertEqual(Own, Made([Page(default), #{on_request => fun(_) -> ok end}])),
           ?_assertEqual({reply, 410, [], 1, <<"a">>}, Made([Page(default), Page({reply, 410, [], "a"}), Page({reply, 411, [], "b"})])),
           ?_assertEqual({failed, hook_failed}, Made([Page(ok)])),
           ?_assertEqual({failed, hook_failed}, Made([Page({reply, 100, [], "a"})]))]).

%% Contexts are each hook's own, and responses go the other way.
order_test_() ->
    Hook = fun(Name, Asked) ->
        #{on_request => fun(_) -> Asked end,
          on_response => fun(#{fields := Fields} = Response, _, Context) ->
                             {ok, Response#{fields := Fields ++ [{Name, atom_to_binary(Context)}]}}
                         end}
    end,
    quiet([fun() ->
        Request = (request())#{server := ?MODULE},
        {ok, _, State} = hornbeam_http_hooks:request(hooks([Hook(<<"a">>, {ok, Request, one}), Hook(<<"b">>, ok), Hook(<<"c">>, {ok, Request, three})])),
        ?assertEqual({ok, 200, [{<<"c">>, <<"three">>}, {<<"b">>, <<"undefined">>}, {<<"a">>, <<"one">>}]}, hornbeam_http_hooks:response(200, [], State))
    end]).

%% The name and where it was, and nothing of what it was given.
log_test() ->
    Self = self(),
    {ok, #{level := Level}} = logger:get_handler_config(default),
    ok = logger:set_handler_config(default, level, none),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => Self}),
    try
        Secret = fun(#{fields := [{<<"host">>, _} | _] = Fields}) -> error({badmatch, Fields}) end,
        {failed, hook_failed} = hornbeam_http_hooks:request(hooks([#{on_request => Secret}])),
        {failed, hook_failed} = hornbeam_http_hooks:request(hooks([#{on_request => {?MODULE, not_exported}}])),
        [First, Second] = [receive {logged, Text} -> lists:flatten(Text) after 5000 -> error(not_logged) end || _ <- [1, 2]],
        ?assertMatch({match, _}, re:run(First, "^GET /a: the hook hornbeam_http_hooks_tests:-log_test/0-.*/1 failed in on_request: error:{badmatch, ...}\n"
                                               "    hornbeam_http_hooks_tests:.*hornbeam_http_hooks_tests.erl, line")),
        ?assertEqual(nomatch, string:find(First, "trailers")),
        ?assertMatch({match, _}, re:run(Second, "the hook hornbeam_http_hooks_tests:not_exported/1 failed in on_request: error:undef\n"))
    after
        ok = logger:remove_handler(?MODULE),
        ok = logger:set_handler_config(default, level, Level)
    end.

log(#{level := error, msg := {Format, Arguments}}, #{config := Pid}) -> Pid ! {logged, io_lib:format(Format, Arguments)};
log(_Event, _Config) -> ok.

%% Kept by a reload, of which there is one more here.
figures_test_() ->
    quiet([fun() ->
        Hooks = [#{on_request => fun(_) -> {reply, 200, [], <<>>} end, on_response => fun(_, _, _) -> wrong end}],
        _ = [begin
                 {hornbeam_http_hooks, Settings} = Published = settings(Hooks),
                 ok = hornbeam_mounts:publish(?MODULE, []),
                 ok = hornbeam_mounts:set_hooks(?MODULE, Published),
                 {reply, _, State} = hornbeam_http_hooks:request(hornbeam_http_hooks:new(head(), Settings)),
                 ?assertEqual({failed, hook_failed}, hornbeam_http_hooks:response(200, [], State))
             end || _ <- [started, reloaded]],
        ?assertMatch({[{on_request, 2, Seconds, 0}, {on_response, 2, _, 2}, {on_error, 0, Nothing, 0}], 2} when Seconds > 0 andalso Nothing == 0,
                     hornbeam_http_hooks:figures(element(2, hornbeam_mounts:hooks(?MODULE)))),
        ok = hornbeam_mounts:forget(?MODULE)
    end]).

modules_test_() ->
    Check = fun(Hooks) -> hornbeam_http_hook_modules:check(#{http_hooks => Hooks, erlang_path => []}) end,
    Text = fun(Hooks) -> {error, {bad_option, http_hooks, Why}} = Check(Hooks), Why end,
    [?_assertEqual(ok, Check([?MODULE, #{on_request => {?MODULE, on_request}, on_response => fun(_, _, _) -> ok end}])),
     ?_assertMatch(#{on_request := F, on_response := G} when is_function(F, 1) andalso is_function(G, 3), hornbeam_http_hook_modules:hook(?MODULE)),
     ?_assertEqual(<<"names the module no_such_module, which is in no folder of the code path (erlang_path)">>, Text([no_such_module])),
     ?_assertEqual(<<"names the module lists, which exports none of on_request/1, on_response/3 and on_error/3">>, Text([?MODULE, lists])),
     ?_assertEqual(<<"names lists:reverse/3, which is not exported">>, Text([#{on_error => {lists, reverse}}])),
     ?_assertMatch({error, _}, Check([#{on_error => {no_such_module, reverse}}]))].

option_test_() ->
    Fun = fun(_) -> ok end,
    Good = [{my_hooks, my_hooks, <<"my_hooks">>}, {"my_hooks", my_hooks, <<"my_hooks">>},
            {<<"on_request=a:b">>, #{on_request => {a, b}}, <<"on_request=a:b">>},
            {"on_error=a:b; on_request=c:d", #{on_request => {c, d}, on_error => {a, b}}, <<"on_request=c:d;on_error=a:b">>},
            {#{on_request => Fun}, #{on_request => Fun}, <<"on_request=(fun)">>}],
    Bad = ["", "My Hooks", "a:b", "on_start=a:b", "on_request=a", "on_request=a:b:c", "on_request=A:b", 1, #{}, #{on_request => 1},
           #{on_response => Fun}, #{on_start => Fun}, [1000], {a, b}],
    [[?_assertEqual({ok, Value}, hornbeam_option_hook:check(Given)), ?_assertEqual({ok, Value}, hornbeam_option_hook:check(Value)),
      ?_assertEqual(Format, hornbeam_option_hook:format(Value))] || {Given, Value, Format} <- Good]
    ++ [?_assertMatch({Given, Error} when element(1, Error) =:= error, {Given, hornbeam_option_hook:check(Given)}) || Given <- Bad].

fields_test_() ->
    Request = (request())#{fields := [{<<"x_user">>, <<"eve">>}, {<<"cookie">>, <<"a=1; b = 2;c">>}, {<<"x-user">>, <<"eve">>},
                                      {<<"cookie">>, <<"b=3">>}]},
    [?_assertEqual([<<"cookie">>, <<"cookie">>, <<"x-user">>], names(hornbeam_http_hook:with_field(<<"x-user">>, <<"ada">>, Request))),
     ?_assertEqual(<<"ada">>, hornbeam_http_hook:field(<<"x-user">>, hornbeam_http_hook:with_field(<<"x-user">>, <<"ada">>, Request))),
     ?_assertEqual(undefined, hornbeam_http_hook:field(<<"x-user">>, hornbeam_http_hook:without_field(<<"x-user">>, Request))),
     ?_assertEqual([<<"1">>, <<"2">>, undefined], [hornbeam_http_hook:cookie(Name, Request) || Name <- [<<"a">>, <<"b">>, <<"c">>]]),
     ?_assertEqual(<<"/admin">>, hornbeam_http_hook:path(Request#{path := <<"/%61dmin">>}))].

names(#{fields := Fields}) -> [Name || {Name, _} <- Fields].

%% A part of the snapshot: other mounts keep them, and a request of any connection meets those that there are.
snapshot_test() ->
    Gate = #{memory => hornbeam_memory:flag(), plain => true, trusted => [], drop => false, versions => []},
    Admit = fun() -> hornbeam_gate:admit((head())#head{method = <<"put">>}, ?MODULE, Gate) end,
    Mount = #mount{prefix = <<>>, app = <<"a:b">>, settings = #{}},
    ok = hornbeam_mounts:publish(?MODULE, [Mount]),
    ?assertMatch({ok, _, Mount}, Admit()),
    ok = hornbeam_mounts:set_hooks(?MODULE, {runner, settings}),
    ok = hornbeam_mounts:publish(?MODULE, [Mount]),
    ?assertMatch({hooks, {runner, settings}, #head{method = <<"PUT">>}, <<>>}, Admit()),
    ?assertEqual(Mount, hornbeam_gate:route(head(), ?MODULE, <<>>)),
    %% By the host that hooks have left.
    Own = Mount#mount{host = <<"own.example.org">>},
    ok = hornbeam_mounts:publish(?MODULE, [Own, Mount]),
    Route = fun(Host) -> hornbeam_gate:route((head())#head{host = Host}, ?MODULE, <<>>) end,
    ?assertEqual([Mount, Own], [Route(<<"h">>), Route(<<"OWN.example.org:80">>)]),
    ok = hornbeam_mounts:set_hooks(?MODULE, none),
    ?assertMatch({ok, _, Mount}, Admit()),
    ok = hornbeam_mounts:forget(?MODULE).
