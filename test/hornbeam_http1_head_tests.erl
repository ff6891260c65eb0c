%%% Heads of HTTP/1 requests, without a socket: what is understood, every limit at N-1, N and N+1, what a piece costs. That any split gives the
%%% same answer: prop_hornbeam_http1; every rule as bytes over sockets: python_tests/http/test_hygiene.py.
-module(hornbeam_http1_head_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

limits() ->
    #{max_request_line => 100, max_headers => 12, max_header_size => 300, max_head_size => 1000, strict_target => false}.

feed(Bytes) -> feed(Bytes, limits()).

feed(Bytes, Limits) ->
    case hornbeam_http1_head:feed(Bytes, hornbeam_http1_head:new(Limits)) of
        {ok, Head, Rest, _Next} -> {ok, Head, Rest};
        Other -> Other
    end.

%% Octet by octet, until there is an answer.
one_by_one(Bytes, Limits) -> one_by_one(Bytes, hornbeam_http1_head:new(Limits), 0).

one_by_one(<<C, Rest/binary>>, Parser, Count) ->
    case hornbeam_http1_head:feed(<<C>>, Parser) of
        {more, Next} -> one_by_one(Rest, Next, Count + 1);
        {ok, Head, <<>>, _Next} -> {ok, Head, Rest};
        {refuse, Reason} -> {refuse, Reason, Count + 1}
    end;
one_by_one(<<>>, Parser, _Count) ->
    {more, Parser}.

head(Bytes) -> {ok, Head, <<>>} = feed(Bytes), Head.

request(Fields) -> [<<"GET / HTTP/1.1\r\nHost: a\r\n">>, Fields, <<"\r\n">>].

bytes(Parts) -> iolist_to_binary(Parts).

%%% What is understood

every_part_test() ->
    {ok, Head, <<"rest">>} = feed(<<"PATCH /a%20b/?c=d&e HTTP/1.1\r\nHost: A.example:80\r\nX-Odd:\t 1 \r\nCookie: a=1\r\nX-ODD:2\r\n"
                                    "Cookie: b=2\r\nTE: trailers\r\n\r\nrest">>),
    ?assertEqual(#head{method = <<"PATCH">>, path = <<"/a%20b/">>, query = <<"c=d&e">>, version = 'HTTP/1.1', host = <<"A.example:80">>,
                       fields = [{<<"host">>, <<"A.example:80">>}, {<<"x-odd">>, <<"1">>}, {<<"cookie">>, <<"a=1">>}, {<<"x-odd">>, <<"2">>},
                                 {<<"cookie">>, <<"b=2">>}, {<<"te">>, <<"trailers">>}],
                       length = 0, te = <<"trailers">>, persistent = true}, Head).

targets_test_() ->
    Target = fun(Method, Text) -> #head{path = P, query = Q, host = H} = head(bytes([Method, $\s, Text, " HTTP/1.1\r\nHost: a\r\n\r\n"])), {P, Q, H} end,
    [?_assertEqual({P, Q, <<"a">>}, Target(<<"GET">>, Text))
     || {Text, P, Q} <- [{"/", <<"/">>, <<>>}, {"/?", <<"/">>, <<>>}, {"/??", <<"/">>, <<"?">>}, {"//b", <<"//b">>, <<>>},
                         {"/a|b{c}\"^`\\<>?|{}\"^`\\<>", <<"/a|b{c}\"^`\\<>">>, <<"|{}\"^`\\<>">>},
                         {[$/, 16#c3, 16#a4, $?, 16#ff], <<$/, 16#c3, 16#a4>>, <<16#ff>>},
                         {"http://a", <<"/">>, <<>>}, {"http://a?b", <<"/">>, <<"b">>}, {"HTTPS://A/b?c/?d", <<"/b">>, <<"c/?d">>}]]
    ++ [?_assertEqual({<<"*">>, <<>>, <<"a">>}, Target(<<"OPTIONS">>, "*"))].

persistence_test_() ->
    [?_assertEqual(Expected, (head(bytes(["GET / ", Version, "\r\nHost: a\r\n", [["Connection: ", C, "\r\n"] || C <- Connection], "\r\n"])))#head.persistent)
     || {Version, Connection, Expected} <- [
            {"HTTP/1.1", [], true}, {"HTTP/1.0", [], false},
            {"HTTP/1.1", ["close"], false}, {"HTTP/1.1", ["keep-alive"], true}, {"HTTP/1.1", ["x, Close"], false},
            {"HTTP/1.1", [""], true}, {"HTTP/1.1", [","], true}, {"HTTP/1.0", ["Keep-Alive"], true}, {"HTTP/1.0", ["x"], false},
            %% Several lines are one list (RFC 9110, 5.3); "close" wins wherever it stands (RFC 9112, 9.3).
            {"HTTP/1.1", ["close", "keep-alive"], false}, {"HTTP/1.1", ["keep-alive", "close"], false},
            {"HTTP/1.0", ["x", "keep-alive"], true}, {"HTTP/1.0", ["keep-alive", "x"], true},
            {"HTTP/1.0", ["keep-alive", "close"], false}, {"HTTP/1.0", ["close", "keep-alive"], false}]].

bodies_test_() ->
    [?_assertEqual(Length, (head(bytes(request(Field))))#head.length)
     || {Field, Length} <- [{"", 0}, {"Content-Length: 0\r\n", 0}, {"content-length: 0012\r\n", 12}, {"CONTENT-LENGTH: 999999999999999999\r\n", 999999999999999999},
                            {"Transfer-Encoding: chunked\r\n", unknown}, {"tRANSFER-eNCODING:Chunked\r\n", unknown}]].

%% RFC 9112, 6.1 and 6.3: without chunked at the end there is no telling where the body ends (400); with it there is, but not here (501).
codings_test_() ->
    [?_assertEqual({refuse, Reason}, feed(bytes(request(["Transfer-Encoding: ", Value, "\r\n"]))))
     || {Value, Reason} <- [{"gzip, chunked", not_implemented}, {"a,b ,chunked", not_implemented},
                            {"gzip", malformed}, {"identity", malformed}, {"chunked, gzip", malformed}, {"chunked, chunked", malformed},
                            {"chunked, gzip, chunked", malformed}, {"", malformed}, {",", malformed}, {"chunked,", malformed},
                            {"chunked;q=1", malformed}, {"xchunked", malformed}]].

expectations_test_() ->
    Expect = fun(Version, Value) -> feed(bytes(["GET / ", Version, "\r\nHost: a\r\nExpect: ", Value, "\r\n\r\n"])) end,
    [?_assertMatch({ok, #head{expect = continue}, <<>>}, Expect("HTTP/1.1", "100-Continue")),
     ?_assertEqual({refuse, expectation_failed}, Expect("HTTP/1.1", "200-ok")),
     ?_assertEqual({refuse, expectation_failed}, Expect("HTTP/1.1", "100-continue, x")),
     %% RFC 9110, 10.1.1: HTTP/1.0 knows none.
     ?_assertMatch({ok, #head{expect = none}, <<>>}, Expect("HTTP/1.0", "100-continue"))].

refused_test_() ->
    [{binary_to_list(Bytes), ?_assertEqual({refuse, Reason}, feed(Bytes))}
     || {Reason, Line} <- [{not_implemented, "CONNECT a:80 HTTP/1.1"}, {not_implemented, "TRACE / HTTP/1.1"}, {http_version, "GET / HTTP/2.0"},
                           {http_version, "GET / HTTP/0.9"}, {http_version, "GET / HTTP/2.1"}, {malformed, "GET / http/1.1"}, {malformed, "GET / HTTP/11"}, {malformed, "GET /a#b HTTP/1.1"},
                           {malformed, "GET * HTTP/1.1"}, {malformed, "GET  / HTTP/1.1"}, {malformed, " / HTTP/1.1"}, {malformed, "GET http:///a HTTP/1.1"}],
        Bytes <- [bytes([Line, "\r\nHost: a\r\n\r\n"])]].

%% RFC 9110, 2.5.
a_higher_minor_version_is_read_as_1_1_test_() ->
    Text = fun(Minor) -> bytes(["GET /a?b HTTP/1.", Minor, "\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"]) end,
    [?_assertEqual(head(Text($1)), head(Text(Minor))) || Minor <- lists:seq($2, $9)].

%% Of HTTP/2, whatever the pieces. What begins like it and is none is a request of another version, at its first wrong octet.
the_preface_test() ->
    Preface = <<"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n">>,
    ?assertEqual({http2, Preface}, feed(Preface)),
    ?assertEqual({http2, <<Preface/binary, "abc">>}, feed(<<Preface/binary, "abc">>)),
    lists:foreach(fun(At) ->
        <<Before:At/binary, C, After/binary>> = Preface,
        {more, Parser} = feed(Before),
        ?assertEqual({http2, Preface}, hornbeam_http1_head:feed(<<C, After/binary>>, Parser)),
        ?assert(hornbeam_http1_head:is_begun(Parser)),
        At >= 16 andalso ?assertEqual({refuse, http_version}, hornbeam_http1_head:feed(<<(C bxor 1)>>, Parser))
    end, lists:seq(1, byte_size(Preface) - 1)),
    ?assertEqual({refuse, http_version}, feed(<<"\r\n", Preface/binary>>)).

%% As soon as the octet is there, and not when its line is complete.
wrong_octets_are_refused_at_once_test_() ->
    [?_assertEqual({refuse, malformed}, feed(bytes(Text)))
     || Text <- ["G@", [22, 3, 1, 2], "GET  ", "GET /\x7f", "GET / X", "GET / HTTP/1.1\n", "GET / HTTP/1.1\rX", "GET / HTTP/1.1\r\nA B", "GET / HTTP/1.1\r\nA: \x01",
                 "GET / HTTP/1.1\r\nA: b\rc", "GET / HTTP/1.1\r\n: ", "GET / HTTP/1.1\r\n A", "\n", "\r\r"]].

strict_targets_test_() ->
    Strict = (limits())#{strict_target := true},
    Get = fun(Target) -> feed(bytes(["GET ", Target, " HTTP/1.1\r\nHost: a\r\n\r\n"]), Strict) end,
    [?_assertEqual({refuse, malformed}, Get(Target)) || Target <- ["/|", "/?{", [$/, 16#c3, 16#a4], "http://a/^"]]
    ++ [?_assertMatch({ok, _, _}, Get(Target)) || Target <- ["/[]@:;%41", "/?a[]=b&c=?/", "http://a/%20"]].

%% RFC 9112, 2.2: some clients send CRLF after a body; they do not begin a head.
empty_lines_test() ->
    {more, Parser} = feed(<<"\r\n\r\n">>),
    ?assertNot(hornbeam_http1_head:is_begun(Parser)),
    ?assertMatch({ok, _, <<>>, _}, hornbeam_http1_head:feed(bytes(request("")), Parser)),
    ?assertMatch({ok, _, <<>>}, feed(bytes([binary:copy(<<"\r\n">>, 5), request("")]))),
    ?assertEqual({refuse, malformed}, feed(bytes([binary:copy(<<"\r\n">>, 6), request("")]))),
    {more, Begun} = feed(<<"G">>),
    ?assert(hornbeam_http1_head:is_begun(Begun)),
    {more, Fields} = feed(<<"GET / HTTP/1.1\r\n">>),
    ?assert(hornbeam_http1_head:is_begun(Fields)).

%% Common names are literals; whatever the case, a name means the same.
names_test_() ->
    Usual = [<<"Host">>, <<"Connection">>, <<"Content-Length">>, <<"Transfer-Encoding">>, <<"Expect">>, <<"Upgrade">>, <<"TE">>,
             <<"Accept">>, <<"Cookie">>, <<"User-Agent">>, <<"Sec-WebSocket-Key">>, <<"X-Forwarded-For">>, <<"X-Nobody-Knows">>],
    Plain = fun({special, Name}) -> {true, Name}; (Name) -> {false, Name} end,
    Special = fun(Name) -> lists:member(Name, lists:sublist(Usual, 7)) end,
    [?_assertEqual({Special(Name), hornbeam_headers:lower(Name)}, Plain(hornbeam_field_names:canonical(Case)))
     || Name <- Usual, Case <- [Name, hornbeam_headers:lower(Name), string:uppercase(Name), swapped(Name)]].

swapped(Name) -> << <<(if C >= $a, C =< $z -> C - 32; C >= $A, C =< $Z -> C + 32; true -> C end)>> || <<C>> <= Name >>.

%%% Limits

%% Fits: up to N. Above it the octet that is too much is the last one that is looked at, in one piece and in single octets alike.
limit_test_() ->
    A = fun(Count) -> binary:copy(<<"a">>, Count) end,
    Long = (limits())#{max_head_size := 100000, max_header_size := 100000, max_headers := 10000},
    Rows = [
        {"request line", limits(), uri_too_long, 100, fun(N) -> ["GET /", A(N - 14), " HTTP/1.1\r\nHost: a\r\n\r\n"] end},
        {"request line with a query", limits(), uri_too_long, 100, fun(N) -> ["GET /?", A(N - 15), " HTTP/1.1\r\nHost: a\r\n\r\n"] end},
        {"request line with an absolute target", limits(), uri_too_long, 100, fun(N) -> ["GET http://a/", A(N - 22), " HTTP/1.1\r\nHost: a\r\n\r\n"] end},
        {"method", limits(), uri_too_long, 100, fun(N) -> [A(N - 11), " / HTTP/1.1\r\nHost: a\r\n\r\n"] end},
        {"request line of another version", limits(), uri_too_long, 100, fun(N) -> ["GET /", A(N - 14), " HTTP/2.0\r\n"] end},
        {"value", limits(), header_too_large, 300, fun(N) -> request(["X: ", A(N), "\r\n"]) end},
        {"value that ends in spaces", limits(), header_too_large, 300, fun(N) -> request(["X: a", binary:copy(<<" ">>, N - 1), "\r\n"]) end},
        {"value without a space before it", limits(), header_too_large, 300, fun(N) -> request(["X:", A(N), "\r\n"]) end},
        {"name", Long, header_too_large, 256, fun(N) -> request([A(N), ": b\r\n"]) end},
        {"number of fields", Long#{max_headers := 12}, header_too_large, 12, fun(N) -> request(lists:duplicate(N - 1, "X: a\r\n")) end},
        {"all of them", limits(), header_too_large, 1000, fun(N) -> request([lists:duplicate(4, ["X: ", A(195), "\r\n"]), "X: ", A(N - 9 - 800 - 5), "\r\n"]) end},
        {"spaces count with all of them", limits(), header_too_large, 1000, fun(N) -> request(["X:", binary:copy(<<" ">>, N - 9 - 5), "a\r\n"]) end},
        {"name that is the last straw", (limits())#{max_head_size := 1000, max_header_size := 1000}, header_too_large, 1000,
         fun(N) -> request(["X: ", A(900), "\r\n", A(N - 9 - 905 - 3), ":\r\n"]) end}
    ],
    [{lists:concat([Name, " ", N - Limit]), fun() -> limit(bytes(Make(N)), N > Limit, Reason, Limits) end}
     || {Name, Limits, Reason, Limit, Make} <- Rows, N <- [Limit - 1, Limit, Limit + 1, Limit + 50, 5000], N =< 10000].

limit(Bytes, false, _Reason, Limits) ->
    Whole = feed(Bytes, Limits),
    Whole =/= {refuse, http_version} andalso ?assertMatch({ok, _, <<>>}, Whole),
    ?assertEqual(Whole, case one_by_one(Bytes, Limits) of {refuse, R, _} -> {refuse, R}; Other -> Other end);
limit(Bytes, true, Reason, Limits) ->
    ?assertEqual({refuse, Reason}, feed(Bytes, Limits)),
    {refuse, Reason, At} = one_by_one(Bytes, Limits),
    %% Known with this octet, and not before.
    ?assertEqual({refuse, Reason}, feed(binary:part(Bytes, 0, At), Limits)),
    ?assertMatch({more, _}, feed(binary:part(Bytes, 0, At - 1), Limits)).

%% A limit that is passed in the middle of a line needs no end of the line.
limits_in_the_middle_test_() ->
    Start = <<"GET / HTTP/1.1\r\nHost: a\r\n">>,
    [?_assertEqual({refuse, Reason}, feed(bytes(Text)))
     || {Reason, Text} <- [{uri_too_long, ["GET /", binary:copy(<<"a">>, 96)]}, {uri_too_long, binary:copy(<<"a">>, 101)},
                           {header_too_large, [Start, "X: ", binary:copy(<<"a">>, 301)]}, {header_too_large, [Start, binary:copy(<<"x">>, 257)]},
                           {header_too_large, [Start, lists:duplicate(11, "X: a\r\n"), "Y"]},
                           {header_too_large, [Start, lists:duplicate(4, ["X: ", binary:copy(<<"a">>, 245), "\r\n"])]}]]
    ++ [?_assertMatch({more, _}, feed(bytes(Text)))
        || Text <- [["GET /", binary:copy(<<"a">>, 95)], binary:copy(<<"a">>, 100), [Start, "X: ", binary:copy(<<"a">>, 300)],
                    [Start, binary:copy(<<"x">>, 256)], [Start, lists:duplicate(11, "X: a\r\n"), "\r"],
                    [Start, lists:duplicate(3, ["X: ", binary:copy(<<"a">>, 245), "\r\n"]), "X: ", binary:copy(<<"a">>, 238)]]].

%% Of two things that are wrong with a line the first is the answer.
what_came_first_test_() ->
    A = fun(Count) -> binary:copy(<<"a">>, Count) end,
    [?_assertEqual({refuse, Reason}, feed(bytes(Text)))
     || {Reason, Text} <- [{malformed, ["GET /", A(90), "#", A(90)]}, {uri_too_long, ["GET /", A(97), "#", A(90)]},
                           {malformed, request(["X: ", A(300), 1])}, {header_too_large, request(["X: ", A(301), 1])},
                           {malformed, request([A(256), "("])}, {header_too_large, request([A(257), "("])}]].

%%% Cost: single octets take a small multiple of what one piece takes, and twice as many twice as much. Reductions do not depend on the machine.

cost_test_() ->
    Limits = #{max_request_line => 1000000, max_headers => 1000, max_header_size => 1000000, max_head_size => 10000000, strict_target => false},
    [{Name, fun() ->
        [OfN, OfTwoN] = [reductions(fun() -> {ok, _, <<>>} = feed(bytes(Make(N)), Limits) end) || N <- [4000, 8000]],
        [SinglyN, SinglyTwoN] = [reductions(fun() -> {ok, _, <<>>} = one_by_one(bytes(Make(N)), Limits) end) || N <- [4000, 8000]],
        ?assert(OfTwoN < 3 * OfN),
        ?assert(SinglyTwoN < 3 * SinglyN),
        %% Nine to fifteen for an octet: the call, its copy, and twice its own reading.
        ?assert(SinglyN < 30 * byte_size(bytes(Make(4000))))
      end}
     || {Name, Make} <- [{"target", fun(N) -> ["GET /", binary:copy(<<"a">>, N), " HTTP/1.1\r\nHost: a\r\n\r\n"] end},
                         {"value", fun(N) -> request(["X: ", binary:copy(<<"a">>, N), "\r\n"]) end},
                         {"spaces", fun(N) -> request(["X: ", binary:copy(<<" ">>, N), "\r\n"]) end},
                         {"fields", fun(N) -> request([["X-", integer_to_list(F), ": abcdefghij\r\n"] || F <- lists:seq(1, N div 20)]) end}]].

reductions(Fun) ->
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        {_, Before} = process_info(self(), reductions),
        Fun(),
        {_, After} = process_info(self(), reductions),
        Self ! {self(), After - Before}
    end),
    receive
        {Pid, Count} -> demonitor(Monitor, [flush]), Count;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

%% What is held of a head that is not complete does not keep the read alive in which it came.
held_bytes_are_copied_test() ->
    Large = <<(binary:copy(<<"\r\n">>, 1))/binary, "GET /", (binary:copy(<<"a">>, 60))/binary>>,
    Read = <<(bytes(request("")))/binary, Large/binary, (binary:copy(<<"b">>, 1))/binary>>,
    {ok, _, Rest} = feed(Read),
    {more, Parser} = feed(Rest),
    [?assertEqual(byte_size(Part), binary:referenced_byte_size(Part)) || Part <- tuple_to_list(Parser), is_binary(Part), Part =/= <<>>].

%% What a browser sends: each octet is looked at once, for one reduction.
cost_of_a_browser_s_test() ->
    Request = bytes(["GET /a/path/of/some/length?page=1&size=20 HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n",
                     "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n",
                     "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n",
                     "Accept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.org/a/page\r\nCookie: ", binary:copy(<<"session=0123456789;">>, 5),
                     "\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nCache-Control: max-age=0\r\n\r\n"]),
    Parser = hornbeam_http1_head:new((limits())#{max_head_size := 65536, max_headers := 100, max_request_line := 8192}),
    Times = 1000,
    Cost = reductions(fun() -> [{ok, _, _, _} = hornbeam_http1_head:feed(Request, Parser) || _ <- lists:seq(1, Times)] end),
    ?assert(Cost < 2 * Times * byte_size(Request)).

%% The fields of the head before, octet by octet, are not read again, and not held beyond forget/1.
repeated_test() ->
    Request = fun(Line) -> bytes([Line, "\r\nHost: a\r\nX-Some: ", binary:copy(<<"x">>, 1000), "\r\n\r\n"]) end,
    New = hornbeam_http1_head:new((limits())#{max_header_size := 1000, max_head_size := 2000}),
    {ok, First, <<>>, Parser} = hornbeam_http1_head:feed(Request("GET / HTTP/1.1"), New),
    Again = fun(Line, P) -> reductions(fun() -> {ok, _, <<>>, _} = hornbeam_http1_head:feed(Request(Line), P) end) end,
    ?assertMatch({ok, #head{method = <<"PUT">>, path = <<"/b">>, query = <<"c">>, fields = Fields}, <<>>, Parser} when Fields =:= First#head.fields,
                 hornbeam_http1_head:feed(Request("PUT /b?c HTTP/1.1"), Parser)),
    Known = Again("PUT /b?c HTTP/1.1", Parser),
    ?assert(3 * Known < Again("PUT /b?c HTTP/1.1", hornbeam_http1_head:forget(Parser, New))),
    ?assert(3 * Known < Again("PUT /b?c HTTP/1.0", Parser)),
    ?assert(3 * Known < Again("PUT http://a/b?c HTTP/1.1", Parser)),
    ?assertEqual(New, hornbeam_http1_head:forget(Parser, New)),
    {more, Begun} = hornbeam_http1_head:feed(<<"\r\n">>, Parser),
    ?assertNotEqual(New, hornbeam_http1_head:forget(Begun, New)).
