%%% What is taken of a client's offer of permessage-deflate (RFC 7692, 7.1).
-module(hornbeam_websocket_extensions_tests).

-include_lib("eunit/include/eunit.hrl").

-define(DEFLATE, "permessage-deflate").

agree_test_() ->
    [{Offer, ?_assertEqual(Agreed, agree(Offer, 12, true))} || {Offer, Agreed} <- [
        {?DEFLATE, #{server_bits => 12}},
        {?DEFLATE "; client_max_window_bits", #{server_bits => 12, client_bits => 12}},
        {?DEFLATE ";client_max_window_bits=10\t;  server_max_window_bits=9", #{server_bits => 9, client_bits => 10}},
        {?DEFLATE "; client_max_window_bits=15; server_max_window_bits=15", #{server_bits => 12, client_bits => 12}},
        {?DEFLATE "; server_max_window_bits=8; client_max_window_bits=8", #{server_bits => 8, client_bits => 8}},
        {?DEFLATE "; client_max_window_bits=\"10\"", #{server_bits => 12, client_bits => 10}},
        {?DEFLATE "; client_max_window_bits=\"1\\0\"", #{server_bits => 12, client_bits => 10}},
        {?DEFLATE "; server_no_context_takeover; client_no_context_takeover",
         #{server_bits => 12, server_takeover => no_takeover, client_takeover => no_takeover}},
        %% The first that can be agreed to.
        {"x-other; a=\"b, " ?DEFLATE ", c\", , " ?DEFLATE "; server_max_window_bits=10, " ?DEFLATE, #{server_bits => 10}},
        {?DEFLATE "; unknown, " ?DEFLATE, #{server_bits => 12}}
    ]].

declined_test_() ->
    [{Offer, ?_assertEqual(none, agree(Offer, 12, true))} || Offer <- [
        "", ",", "x-other", "x-" ?DEFLATE, ?DEFLATE "-frame", "\"" ?DEFLATE "\"",
        ?DEFLATE ";", ?DEFLATE "; unknown", ?DEFLATE "; server_max_window_bits",
        ?DEFLATE "; server_max_window_bits=7", ?DEFLATE "; server_max_window_bits=16", ?DEFLATE "; server_max_window_bits=09",
        ?DEFLATE "; client_max_window_bits=", ?DEFLATE "; client_max_window_bits=1", ?DEFLATE "; client_max_window_bits = 10",
        ?DEFLATE "; client_no_context_takeover=1",
        ?DEFLATE "; client_max_window_bits; client_max_window_bits=10",
        ?DEFLATE "; server_no_context_takeover; server_no_context_takeover"
    ]].

%% What the options say is asked for, though the client has not spoken of it, where that is allowed.
options_test_() ->
    [?_assertEqual(#{}, agree(?DEFLATE, 15, true)),
     ?_assertEqual(#{server_bits => 15}, agree(?DEFLATE "; server_max_window_bits=15", 15, true)),
     ?_assertEqual(#{server_takeover => no_takeover, client_takeover => no_takeover}, agree(?DEFLATE, 15, false)),
     ?_assertEqual(none, hornbeam_websocket_extensions:negotiate(<<?DEFLATE>>, self(), (settings(12, true))#{websocket_compress => false})),
     ?_assertEqual(none, hornbeam_websocket_extensions:negotiate(undefined, self(), settings(12, true)))].

%% Each pair of windows packs what the other side can unpack, with distances beyond the smaller one.
contexts_test_() ->
    Message = << <<(erlang:phash2(N, 50)), N:16>> || N <- lists:seq(1, 3000) >>,
    [{integer_to_list(Bits), fun() ->
         Offer = <<?DEFLATE "; server_max_window_bits=", (integer_to_binary(Bits))/binary>>,
         {Answer, #{deflate := Deflate}} = hornbeam_websocket_extensions:negotiate(Offer, self(), settings(15, true)),
         ?assertEqual(Offer, Answer),
         Client = zlib:open(),
         ok = zlib:inflateInit(Client, -Bits),
         ?assertEqual(Message, iolist_to_binary(zlib:inflate(Client, zlib:deflate(Deflate, Message, sync)))),
         ok = zlib:close(Client),
         ok = zlib:close(Deflate)
     end} || Bits <- lists:seq(8, 15)].

owner_test() ->
    Owner = spawn(fun() -> receive stop -> ok end end),
    {_, #{inflate := Inflate}} = hornbeam_websocket_extensions:negotiate(<<?DEFLATE>>, Owner, settings(12, true)),
    ?assertError(not_on_controlling_process, zlib:inflate(Inflate, <<>>)),
    Owner ! stop.

agree(Offer, Bits, Context) ->
    hornbeam_websocket_extensions:agree(list_to_binary(Offer), settings(Bits, Context)).

settings(Bits, Context) ->
    #{websocket_compress => true, websocket_compress_window_bits => Bits, websocket_compress_mem_level => 8,
      websocket_compress_context => Context}.
