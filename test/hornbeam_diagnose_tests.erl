%%% What src/diagnose is made of, without a server: questions and their answers, rows of streams, profiles as pictures, crashes that are kept.
%%% (With a server: python_tests/ops/test_diagnose.py.)
-module(hornbeam_diagnose_tests).

-include_lib("eunit/include/eunit.hrl").

%% Who asks is answered, in any order; nothing that was not asked for is taken.
questions_test() ->
    {Frame, One} = hornbeam_worker_questions:asked(from(a), #{what => <<"stacks">>}, hornbeam_worker_questions:new()),
    <<_:32, 16#09, 0:32, 1:32, Packed/binary>> = iolist_to_binary(Frame),
    ?assertEqual({ok, #{<<"what">> => <<"stacks">>}}, hornbeam_msgpack:decode(Packed)),
    {_, Two} = hornbeam_worker_questions:asked(from(b), #{what => <<"stacks">>}, One),
    {ok, Three} = hornbeam_worker_questions:answered({2, #{<<"text">> => <<"t">>}}, Two),
    ?assertEqual({ok, #{<<"text">> => <<"t">>}}, reply(b)),
    ?assertEqual(unknown, hornbeam_worker_questions:answered({2, #{}}, Three)),
    {ok, Four} = hornbeam_worker_questions:answered({1, #{<<"error">> => <<"e">>}}, Three),
    ?assertEqual({error, {python, <<"e">>}}, reply(a)),
    {_, Five} = hornbeam_worker_questions:asked(from(c), #{what => <<"x">>}, Four),
    ok = hornbeam_worker_questions:stop(Five),
    ?assertEqual({error, ended}, reply(c)).

too_many_questions_test() ->
    Ask = fun(N, Questions) -> element(2, hornbeam_worker_questions:asked(from(N), #{what => <<"x">>}, Questions)) end,
    Full = lists:foldl(Ask, hornbeam_worker_questions:new(), lists:seq(1, 16)),
    ?assertMatch({[], Full}, hornbeam_worker_questions:asked(from(last), #{what => <<"x">>}, Full)),
    ?assertEqual({error, busy}, reply(last)).

from(Tag) -> {self(), Tag}.

reply(Tag) -> receive {Tag, Answer} -> Answer after 0 -> none end.

%% What a request's row says; an open WebSocket is none.
rows_test() ->
    Streams = hornbeam_worker_streams:new(self(), 1000),
    Open = fun(Id, Frame) -> ok = hornbeam_worker_streams:open(Id, {self(), Id}, Frame, Streams) end,
    Open(1, hornbeam_frame:request(1, 1, scope(<<"GET">>, <<"/a">>), <<"body">>, 4)),
    Open(2, hornbeam_frame:encode(ws_open, 2, scope(<<"GET">>, <<"/ws">>))),
    Open(3, hornbeam_frame:perform(3, {0, 0}, <<"hook", 0, "action">>, <<>>)),
    Open(4, hornbeam_frame:encode(invoke, 4, <<16#90>>)),
    Rows = fun(Before) -> hornbeam_worker_rows:describe(hornbeam_worker_streams:rows(hornbeam_worker_streams:table(Streams), Before)) end,
    ?assertMatch([#{id := 1, kind := request, method := <<"GET">>, path := <<"/a">>, client := <<"127.0.0.1:80">>, request_id := <<"r1">>},
                  #{id := 2, kind := websocket, path := <<"/ws">>},
                  #{id := 3, kind := call, method := <<"CALL">>, path := <<"hook.action">>},
                  #{id := 4, kind := call, path := <<>>}], lists:sort(fun(#{id := A}, #{id := B}) -> A =< B end, Rows(erlang:monotonic_time()))),
    ?assertEqual([], Rows(erlang:monotonic_time() - erlang:convert_time_unit(3600, second, native))),
    true = hornbeam_worker_streams:adopt(2, {self(), open}, Streams),
    ?assertEqual([1, 3, 4], lists:sort([Id || #{id := Id} <- Rows(erlang:monotonic_time())])),
    3 + 1 = hornbeam_worker_streams:clear(Streams, died),
    ?assertEqual([], Rows(erlang:monotonic_time())).

scope(Method, Path) ->
    iolist_to_binary(hornbeam_msgpack:encode([Method, none, Path, <<>>, <<"1.1">>, <<"http">>, <<>>, [<<"127.0.0.1">>, 80], none,
                                              [[{bytes, <<"x-request-id">>}, {bytes, <<"r1">>}]], none])).

%% A client chooses it; it goes into lines of the log and to terminals.
rows_have_one_line_test_() ->
    [?_assertMatch([#{path := Shown}], hornbeam_worker_rows:describe([{1, self(), 0, scope(<<"GET">>, Path), request}]))
     || {Path, Shown} <- [{<<"/a\nb\r\e[2J", 0, 127>>, <<"/a%0Ab%0D%1B[2J%00%7F">>}, {<<"/é/日"/utf8>>, <<"/é/日"/utf8>>},
                          {<<"/", 16#9b/utf8, 16#2028/utf8>>, <<"/%C2%9B%E2%80%A8">>}, {<<"/", 255, "a">>, <<"/%FFa">>}]].

names_of_workers_test() ->
    ?assertEqual([<<"1">>, <<"/api/2">>, <<"model/3">>],
                 [hornbeam_worker_rows:name({s, Place}, N) || {Place, N} <- [{<<>>, 1}, {<<"/api">>, 2}, {{service, <<"model">>}, 3}]]).

profile() -> <<"# 12 samples\nmain;a (x.py:1);b 6\nmain;a (x.py:1) 3\nmain;<c> & \"d\" 1\nno number\n">>.

parse_test() ->
    ?assertEqual([{[<<"main">>, <<"a (x.py:1)">>, <<"b">>], 6}, {[<<"main">>, <<"a (x.py:1)">>], 3}, {[<<"main">>, <<"<c> & \"d\"">>], 1}],
                 hornbeam_flame:parse(profile())).

%% Whoever calls is below and as wide as all that it calls. It is XML, whatever the names are.
flame_graph_test() ->
    Svg = unicode:characters_to_list(hornbeam_flame:svg(hornbeam_flame:parse(profile()), "<t>")),
    {Xml, []} = xmerl_scan:string(Svg),
    At = fun(Path) -> [Value || {xmlAttribute, _, _, _, _, _, _, _, Value, _} <- xmerl_xpath:string(Path, Xml)] end,
    [Left | _] = Xs = At("//rect/@x"),
    [Bottom, Above, Above, Top] = At("//rect/@y"),
    Titles = [Text || {xmlText, _, _, _, Text, _} <- xmerl_xpath:string("//g/title/text()", Xml)],
    ?assertEqual("main (10, 100.0 %)<c> & \"d\" (1, 10.0 %)a (x.py:1) (9, 90.0 %)b (6, 60.0 %)", lists:append(Titles)),
    ?assertEqual(["0.00", "0.00", "120.00", "120.00"], Xs),
    ?assertEqual(["1200.00", "120.00", "1080.00", "720.00"], At("//rect/@width")),
    ?assertEqual("0.00", Left),
    ?assert(list_to_integer(Bottom) > list_to_integer(Above) andalso list_to_integer(Above) > list_to_integer(Top)).

nothing_seen_test() ->
    ?assertMatch({_, _}, binary:match(unicode:characters_to_binary(hornbeam_flame:svg([], "t")), <<"all threads waited">>)).

page_test() ->
    Page = unicode:characters_to_binary(hornbeam_flame:html(hornbeam_flame:parse(profile()), "t")),
    ?assertMatch({_, _}, binary:match(Page, <<"<td>6</td><td>main &gt; a (x.py:1) &gt; b</td>">>)).

crashes_test() ->
    Table = ets:whereis(hornbeam_crashes),
    _ = Table =:= undefined andalso ets:new(hornbeam_crashes, [named_table, public, ordered_set]),
    [ok = hornbeam_crashes:add(s, #{pid => N}) || N <- lists:seq(1, 25)],
    ok = hornbeam_crashes:add(other, #{pid => 0}),
    ?assertEqual(lists:seq(25, 6, -1), [N || #{pid := N} <- hornbeam_crashes:list(s)]),
    ok = hornbeam_crashes:forget(s),
    ?assertEqual({[], [#{pid => 0}]}, {hornbeam_crashes:list(s), hornbeam_crashes:list(other)}),
    ok = hornbeam_crashes:forget(other),
    _ = Table =:= undefined andalso ets:delete(hornbeam_crashes).
