%%% What may stand in a head, octet by octet. What the protocols do with it: hornbeam_http1_head_tests, hornbeam_http2_head_tests; as bytes
%%% over sockets: python_tests/http/test_hygiene.py.
-module(hornbeam_hygiene_tests).

-include_lib("eunit/include/eunit.hrl").
-include("hornbeam_head.hrl").

%% The URL standard of the WHATWG lets browsers send everything else; RFC 3986, 2 names what a URI has.
targets_test() ->
    Uri = "-._~:/?[]@!$&'()*+,;=%" ++ lists:seq($a, $z) ++ lists:seq($A, $Z) ++ lists:seq($0, $9),
    [?assertEqual({C, C > 32 andalso C =/= 127 andalso C =/= $#, lists:member(C, Uri)},
                  {C, hornbeam_hygiene:is_target(Text), hornbeam_hygiene:is_uri(Text)})
     || C <- lists:seq(0, 255), Text <- [<<C>>, <<"/abc", C>>, <<C, "abc">>]],
    ?assert(hornbeam_hygiene:is_target(<<>>)),
    ?assert(hornbeam_hygiene:is_uri(<<>>)).

%% RFC 9110, 5.5; in each of the four places that are looked at together, and beyond.
values_test() ->
    [?assertEqual({C, At, C =:= $\t orelse C >= 32 andalso C =/= 127},
                  {C, At, hornbeam_hygiene:is_value(<<(binary:copy(<<"a">>, At))/binary, C, (binary:copy(<<"b">>, 8 - At))/binary>>)})
     || C <- lists:seq(0, 255), At <- lists:seq(0, 8)],
    ?assert(hornbeam_hygiene:is_value(<<>>)).

underscores_test() ->
    Head = #head{method = <<"GET">>, path = <<"/">>, version = 'HTTP/1.1',
                 fields = [{<<"host">>, <<"a">>}, {<<"x_a">>, <<>>}, {<<"x-a">>, <<"1">>}, {<<"_">>, <<>>}, {<<"x-a">>, <<"2">>}]},
    #head{fields = Fields} = hornbeam_hygiene:without_underscores(Head),
    ?assertEqual([{<<"host">>, <<"a">>}, {<<"x-a">>, <<"1">>}, {<<"x-a">>, <<"2">>}], Fields).
