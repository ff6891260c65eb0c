%%% The pure parts of src/static: paths, preconditions (RFC 9110, 13), ranges (14), types.
-module(hornbeam_static_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

%% What names a file, and what names none in any way of writing it.
paths_test_() ->
    [[?_assertEqual({ok, Names, Kind}, hornbeam_static_path:resolve(Path, false))
      || {Path, Names, Kind} <- [{<<>>, [], file}, {<<"/">>, [], folder}, {<<"/a/b.js">>, [<<"a">>, <<"b.js">>], file},
                                 {<<"/a/">>, [<<"a">>], folder}, {<<"/a%20b;c=1,+">>, [<<"a b;c=1,+">>], file},
                                 {<<"/%61">>, [<<"a">>], file}, {<<"/%252e%252e/x">>, [<<"%2e%2e">>, <<"x">>], file},
                                 {<<"/%C3%A4">>, [<<"ä"/utf8>>], file}, {<<"/a..b">>, [<<"a..b">>], file}]],
     [?_assertEqual({Path, refused}, {Path, hornbeam_static_path:resolve(Path, false)}) || Path <- refused()],
     ?_assertEqual({ok, [<<".well-known">>, <<"x">>], file}, hornbeam_static_path:resolve(<<"/.well-known/x">>, true)),
     ?_assertEqual(refused, hornbeam_static_path:resolve(<<"/.well-known/.x">>, true)),
     ?_assertEqual(refused, hornbeam_static_path:resolve(<<"/a/.well-known/x">>, true))].

refused() ->
    [<<"/..">>, <<"/../etc/passwd">>, <<"/a/../../b">>, <<"/a/./b">>, <<"/.">>, <<"/.env">>, <<"/a/.git/config">>, <<"//">>, <<"//a">>, <<"/a//b">>,
     <<"/%2e%2e/x">>, <<"/%2E./x">>, <<"/.%2e/x">>, <<"/..%2fx">>, <<"/a%2fb">>, <<"/a%2Fb">>, <<"/%2fetc">>, <<"/..%5cx">>, <<"/a\\b">>,
     <<"/a%5Cb">>, <<"/a%00.js">>, <<"/a%0ab">>, <<"/a%7f">>, <<"/a\0b">>, <<"/%c0%ae%c0%ae/x">>, <<"/%c0%afetc">>, <<"/%e0%80%af">>,
     <<"/%f0%80%80%af">>, <<"/%ed%a0%80">>, <<"/%ff">>, <<"/%">>, <<"/%2">>, <<"/%zz">>, <<"/%u002e">>, <<"/.well-known/x">>, <<"/..;/x">>,
     <<"*">>, <<"http://a/x">>, <<"/", (binary:copy(<<"a">>, 256))/binary>>].

%% RFC 9110, 13.2.2: which one counts where there are several.
preconditions_test_() ->
    Tag = <<"\"a-1\"">>, Time = 784111777, At = <<"Sun, 06 Nov 1994 08:49:37 GMT">>,
    Before = <<"Sun, 06 Nov 1994 08:49:36 GMT">>,
    [?_assertEqual({Fields, Expected}, {Fields, hornbeam_static_conditional:check(Fields, Tag, Time)})
     || {Expected, Fields} <- [
        {ok, []},
        {not_modified, [{<<"if-none-match">>, Tag}]}, {not_modified, [{<<"if-none-match">>, <<"\"b\", W/\"a-1\"">>}]},
        {not_modified, [{<<"if-none-match">>, <<"*">>}]}, {ok, [{<<"if-none-match">>, <<"\"b\"">>}]},
        {not_modified, [{<<"if-none-match">>, <<"\"b\"">>}, {<<"if-none-match">>, Tag}]},
        {ok, [{<<"if-none-match">>, <<"\"b\"">>}, {<<"if-modified-since">>, At}]},
        {not_modified, [{<<"if-modified-since">>, At}]}, {ok, [{<<"if-modified-since">>, Before}]}, {ok, [{<<"if-modified-since">>, <<"yesterday">>}]},
        {ok, [{<<"if-match">>, Tag}]}, {ok, [{<<"if-match">>, <<"*">>}]}, {failed, [{<<"if-match">>, <<"\"b\"">>}]},
        {failed, [{<<"if-match">>, <<"W/\"a-1\"">>}]}, {ok, [{<<"if-match">>, Tag}, {<<"if-unmodified-since">>, Before}]},
        {failed, [{<<"if-unmodified-since">>, Before}]}, {ok, [{<<"if-unmodified-since">>, At}]}, {ok, [{<<"if-unmodified-since">>, <<"x">>}]},
        {not_modified, [{<<"if-match">>, Tag}, {<<"if-none-match">>, Tag}]}]].

dates_test_() ->
    [?_assertEqual({Text, Expected}, {Text, hornbeam_static_conditional:parse_date(Text)})
     || {Text, Expected} <- [{<<"Sun, 06 Nov 1994 08:49:37 GMT">>, 784111777}, {<<"Sunday, 06-Nov-94 08:49:37 GMT">>, 784111777},
                             {<<"Sun Nov  6 08:49:37 1994">>, 784111777}, {<<"Sun, 31 Feb 1994 08:49:37 GMT">>, error},
                             {<<"Sun, 06 nov 1994 08:49:37 GMT">>, error}, {<<"Sun, 06 ovD 1994 08:49:37 GMT">>, error},
                             {<<"Sun, 06 Nov 1994 25:49:37 GMT">>, error}, {<<"Sun, -6 Nov 1994 08:49:37 GMT">>, error},
                             {<<"Sun, 06 Nov 1994 08:49:37 CET">>, error}, {<<>>, error}]].

if_range_test() ->
    Same = fun(Value) -> hornbeam_static_conditional:is_same([{<<"if-range">>, Value}], <<"\"a\"">>, <<"Sun, 06 Nov 1994 08:49:37 GMT">>) end,
    ?assert(Same(<<"\"a\"">>)),
    ?assert(Same(<<"Sun, 06 Nov 1994 08:49:37 GMT">>)),
    ?assertNot(Same(<<"W/\"a\"">>)),
    ?assertNot(Same(<<"Sun, 06 Nov 1994 08:49:38 GMT">>)),
    ?assert(hornbeam_static_conditional:is_same([], <<"\"a\"">>, <<>>)).

ranges_test_() ->
    [?_assertEqual({Range, Expected}, {Range, hornbeam_static_ranges:select(Range, Size)})
     || {Range, Size, Expected} <- [
        {<<"bytes=0-9">>, 100, [{0, 10}]}, {<<"bytes=90-">>, 100, [{90, 10}]}, {<<"bytes=-5">>, 100, [{95, 5}]}, {<<"bytes=-500">>, 100, [{0, 100}]},
        {<<"bytes=95-300">>, 100, [{95, 5}]}, {<<"BYTES=0-0">>, 100, [{0, 1}]}, {<<"bytes=0-0, ,5-6">>, 100, [{0, 1}, {5, 2}]},
        {<<"bytes=5-6,0-0">>, 100, [{5, 2}, {0, 1}]}, {<<"bytes=100-">>, 100, unsatisfiable}, {<<"bytes=-0">>, 100, unsatisfiable},
        {<<"bytes=0-0,200-">>, 100, [{0, 1}]}, {<<"bytes=0-">>, 0, unsatisfiable}, {<<"bytes=-1">>, 0, unsatisfiable},
        {<<"bytes=9-5">>, 100, whole}, {<<"bytes=">>, 100, whole}, {<<"bytes=,">>, 100, whole}, {<<"bytes=a-b">>, 100, whole}, {<<"bytes=5">>, 100, whole},
        {<<"bytes=--5">>, 100, whole}, {<<"bytes=1-2-3">>, 100, whole}, {<<"items=0-9">>, 100, whole}, {<<"bytes 0-9">>, 100, whole},
        {<<"bytes=0-,0-">>, 100, whole}, {<<"bytes=0-60,20-80">>, 100, whole}, {<<"bytes=99999999999999999999-">>, 100, whole},
        {iolist_to_binary(["bytes=0-0", [",0-0" || _ <- lists:seq(1, 16)]]), 100, whole},
        {iolist_to_binary(["bytes=0-0", [$, || _ <- lists:seq(1, 1000)]]), 100, whole}]].

parts_test() ->
    {<<"multipart/byteranges; boundary=", Boundary/binary>>, Length, Pieces} =
        hornbeam_static_ranges:parts([{0, 2}, {5, 1}], <<"text/plain">>, 10),
    Content = <<"0123456789">>,
    Body = iolist_to_binary([case Piece of {Offset, Size} -> binary:part(Content, Offset, Size); _ -> Piece end || Piece <- Pieces]),
    ?assertEqual(Length, byte_size(Body)),
    ?assertEqual([<<"\r\n">>, <<"\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-1/10\r\n\r\n01\r\n">>,
                  <<"\r\ncontent-type: text/plain\r\ncontent-range: bytes 5-5/10\r\n\r\n5\r\n">>, <<"--\r\n">>],
                 binary:split(Body, <<"--", Boundary/binary>>, [global])).

types_test() ->
    Table = hornbeam_static_types:table(<<"# comment\nnonsense x\ntext/x-own own OWN2\n\napplication/x-js  js\n">>),
    [?assertEqual(Type, hornbeam_static_types:find(Name, Table))
     || {Name, Type} <- [{<<"a.html">>, <<"text/html; charset=utf-8">>}, {<<"a.PNG">>, <<"image/png">>}, {<<"a.own2">>, <<"text/x-own; charset=utf-8">>},
                         {<<"a.js">>, <<"application/x-js">>}, {<<"a.x">>, <<"application/octet-stream">>}, {<<"a">>, <<"application/octet-stream">>},
                         {<<"a.tar.gz">>, <<"application/gzip">>}]].

%% The default pattern: names with a hash of bundlers and of Django, and those that only look alike.
immutable_test_() ->
    #{immutable := Pattern} = hornbeam_option_static:with_defaults(#{}),
    [?_assertEqual({Path, Expected}, {Path, re:run(Path, Pattern, [{capture, none}])})
     || {Expected, Paths} <- [
        {match, ["/static/css/app.55e7cbb9ba48.css", "/static/js/main.3f2a1b4c.js", "/main.3f2a1b4c5d6e7f8a9b0c.chunk.js", "/x-3f2a1b4c.js.map",
                 "/assets/index-BfK3x9dP.js", "/assets/index-BfK3x9dP.css"]},
        {nomatch, ["/index.html", "/jquery-3.6.0.min.js", "/my-homepage.js", "/assets/my-homepage.js", "/report.20240101.pdf", "/a.deadbeef.js",
                   "/assets/photo-Summer21.jpg", "/bootstrap.min.css", "/3f2a1b4c.js"]}],
        Path <- Paths].

options_test_() ->
    Check = fun(Given) -> hornbeam_option_types:check({list, {custom, hornbeam_option_static}}, Given) end,
    [?_assertEqual({ok, [{<<"/assets">>, <<"dist">>, #{}}]}, Check(Given))
     || Given <- ["/assets=dist", #{"/assets" => "dist"}, [{"/assets/", "dist"}], {<<"/assets">>, <<"dist">>, []}, #{"/assets" => #{folder => "dist"}}]]
    ++ [?_assertEqual({ok, [{<<"/">>, <<"site">>, #{fallback => <<"app.html">>, precompressed => false, cache_control => <<"public, max-age=60">>}}]},
                      Check(Given))
        || Given <- ["/=site; fallback=app.html;precompressed=off;cache-control=public, max-age=60",
                     {"/", "site", #{fallback => "app.html", precompressed => false, cache_control => "public, max-age=60"}}]]
    ++ [?_assertMatch({error, _}, single(Check(Given)))
        || Given <- ["assets=dist", "/assets", "/a?=b", "/a=b;nonsense=1", "/a=b;index=../x", "/a=b;index=.env", "/a=b;fallback=/x", "/a=b;fallback=a/../b",
                     "/a=b;immutable=(", "/a=b;fallthrough=maybe", "/a=", 7, {"/a", "b", 7}, "/a=b;cache_control=a\nb"]]
    ++ [?_assertEqual(["/a=b;cache_control=public, max-age=1", "/c=d"],
                      hornbeam_option_types:split({list, {custom, hornbeam_option_static}}, "/a=b;cache_control=public, max-age=1, /c=d"))].

single({error, Text}) -> {error, Text};
single({error, Text, _}) -> {error, Text};
single(Other) -> Other.

%% As a configuration file has them, and the environment.
sources_test_() ->
    Settings = fun(Value) -> hornbeam_options:from_file([{<<"static">>, Value}], "hornbeam.toml") end,
    Expected = {ok, #{static => [{<<"/a">>, <<"dist">>, #{}}, {<<"/b">>, <<"site">>, #{index => <<"x.html">>, well_known => true}}]}},
    [?_assertEqual(Expected, Settings(#{<<"/a">> => <<"dist">>, <<"/b">> => #{<<"folder">> => <<"site">>, <<"index">> => <<"x.html">>,
                                                                             <<"well-known">> => true}})),
     ?_assertEqual(Expected, Settings([<<"/a=dist">>, #{<<"prefix">> => <<"/b">>, <<"folder">> => <<"site">>, <<"index">> => <<"x.html">>,
                                                        <<"well_known">> => true}])),
     ?_assertEqual(Expected, hornbeam_options:from_env(fun("HORNBEAM_STATIC") -> "/a=dist, /b=site;index=x.html;well_known=yes"; (_) -> false end)),
     ?_assertMatch({error, {bad_option, static, _}}, Settings(#{<<"/a">> => 7})),
     ?_assertMatch({error, {bad_option, static, _}}, Settings(#{<<"/a">> => #{<<"folder">> => <<"x">>, <<"folders">> => 7}})),
     ?_assertMatch({error, {bad_option, static, _}}, hornbeam_options:validate(#{static => #{"/a" => "no such folder"}})),
     ?_assertMatch({error, {bad_option, static, <<"has two folders at", _/binary>>}}, hornbeam_options:validate(#{static => ["/a=src", "/a/=test"]})),
     fun() ->
         {ok, #{static := [{_, Folder, #{}}] = Static} = Options} = hornbeam_options:validate(#{static => #{"/a" => "/"}}),
         ?assertEqual({<<"/">>, {ok, Options}}, {Folder, hornbeam_options:validate(Options)}),
         ?assertEqual({table, [{<<"prefix">>, <<"/a">>}, {<<"folder">>, <<"/">>}]}, hornbeam_option_static:format(hd(Static)))
     end].

%% The longest prefix of folders and mounts; and a folder that is exchanged for a link while its file is being opened.
folders_test_() ->
    {setup, fun make/0, fun remove/1, fun(Top) -> [fun() -> prefixes(Top) end, fun() -> exchanged(Top) end, fun() -> forgets(Top) end] end}.

make() ->
    Top = list_to_binary(string:trim(os:cmd("mktemp -d"))),
    _ = [file:make_dir(filename:join(Top, Folder)) || Folder <- ["site", "site/a", "other"]],
    _ = [ok = file:write_file(filename:join(Top, File), File) || File <- ["site/x", "site/a/x", "other/x"]],
    {ok, _} = application:ensure_all_started(hornbeam),
    {ok, _} = hornbeam_descriptors:keep([]),
    Top.

remove(Top) ->
    ok = hornbeam_static:forget(static_tests),
    ok = application:stop(hornbeam),
    file:del_dir_r(Top).

prefixes(Top) ->
    Site = filename:join(Top, "site"),
    ok = hornbeam_static:publish(static_tests, [{<<"/">>, Site, #{}}, {<<"/a">>, filename:join(Top, "other"), #{fallthrough => true}},
                                                {<<"/b">>, Site, #{}}]),
    Said = fun(Path, Mount) ->
        Head = #head{method = <<"HEAD">>, path = Path, version = 'HTTP/1.1', peer = undefined, sock = undefined},
        case hornbeam_static:answer(Head, Mount, static_tests) of
            pass -> pass;
            {refused, _, {reply, Status, _, Size, <<>>}} -> {Status, Size};
            {reply, Status, _, Size, <<>>} -> {Status, Size}
        end
    end,
    ?assertEqual({404, 9}, Said(<<"/b/none">>, <<>>)),
    ?assertEqual(pass, Said(<<"/b/x">>, <<"/b/x">>)),
    ?assertEqual(pass, Said(<<"/none">>, <<>>)),
    ?assertEqual({404, 9}, Said(<<"/none">>, none)),
    ?assertEqual(pass, Said(<<"/b/none">>, <<"/b">>)),
    ?assertEqual(pass, Said(<<"/a/none">>, <<>>)).

%% What is seen of a folder that has become a link out of the folder.
exchanged(Top) ->
    Site = filename:join(Top, "site"),
    ?assertMatch({file, [{identity, _}]}, hornbeam_static_files:find(Site, [<<"a">>, <<"x">>], true)),
    ok = file:rename(filename:join(Site, "a"), filename:join(Site, "b")),
    ok = file:make_symlink("../other", filename:join(Site, "a")),
    %% It is still remembered, but what would be opened is looked at first.
    ?assertMatch({file, _}, hornbeam_static_files:find(Site, [<<"a">>, <<"x">>], true)),
    ?assertEqual(none, hornbeam_static_files:open({Site, [<<"a">>, <<"x">>], true}, identity)).

forgets(Top) ->
    Site = filename:join(Top, "site"),
    Name = fun(N) -> iolist_to_binary(["f", integer_to_list(N)]) end,
    ok = lists:foreach(fun(N) ->
        ok = file:make_link(filename:join(Site, "x"), filename:join(Site, Name(N))),
        {file, _} = hornbeam_static_files:find(Site, [Name(N)], false)
    end, lists:seq(1, 2100)),
    ?assert(ets:info(hornbeam_static_files, size) =< 2048),
    %% As much of their contents as there is room for: 32 MiB are 512 of these.
    ok = file:write_file(filename:join(Site, "x"), binary:copy(<<"x">>, 65536)),
    ok = hornbeam_static_files:forget(),
    Ask = fun(N) ->
        {file, [One]} = hornbeam_static_files:find(Site, [Name(N)], false),
        {ok, _} = hornbeam_static_files:content({Site, [Name(N)], false}, One)
    end,
    Kept = fun() -> length([Content || {_, _, {file, [{_, {file, _, _, _, _, Content}}]}} <- ets:tab2list(hornbeam_static_files),
                                       is_binary(Content)]) end,
    %% One that was changed just now may be changed again within its second.
    _ = Ask(1),
    ?assertEqual(0, Kept()),
    ok = file:change_time(filename:join(Site, "x"), {{2020, 1, 1}, {0, 0, 0}}),
    ok = hornbeam_static_files:forget(),
    _ = Ask(1),
    ?assertEqual(1, Kept()),
    ok = lists:foreach(fun(N) -> {ok, _} = Ask(N) end, lists:seq(2, 600)),
    ?assert(Kept() =< 512),
    ?assertEqual(none, hornbeam_static_files:find(Site, [<<"none">>], false)),
    ?assertEqual([], ets:lookup(hornbeam_static_files, {Site, [<<"none">>], false})).
