%%% What a listening socket is opened with.
-module(hornbeam_socket_tests).

-include_lib("eunit/include/eunit.hrl").

backlog_test_() ->
    {ok, Options} = hornbeam_options:validate(#{backlog => 77}),
    {ok, Default} = hornbeam_options:validate(#{}),
    Bind = {tcp, {127, 0, 0, 1}, 0, <<"127.0.0.1">>},
    [?_assertEqual(77, proplists:get_value(backlog, hornbeam_socket:options(Bind, Options))),
     ?_assertEqual(2048, proplists:get_value(backlog, hornbeam_socket:options(Bind, Default)))].
