%%% hornbeam_log: what is left out of the log.
-module(hornbeam_log_tests).

-include_lib("eunit/include/eunit.hrl").

%% What OTP's supervisor says of a child that was gone when it was to be stopped, and what it says of others.
children_that_were_gone_test() ->
    Event = fun(Reason) ->
        #{level => error, meta => #{}, msg => {report, #{label => {supervisor, shutdown_error}, report => [{supervisor, s}, {reason, Reason}]}}}
    end,
    ?assertEqual([stop, ignore], [hornbeam_log:without_gone(Event(Reason), []) || Reason <- [noproc, killed]]),
    ?assertEqual(ignore, hornbeam_log:without_gone(#{level => error, meta => #{}, msg => {string, "noproc"}}, [])).
