%%% The wait for the next of a row of synchronous calls.
%%%
%%% Called by: hornbeam_worker_session, when Python has made two calls within ?ROW and waits for each before it makes the next.
%%%
%%% While a scheduler sleeps its core does too, and to wake both for each call is most of what a call costs: 25 us of 40
%%% (two cores of a virtual machine). So after the second call of a row this process stays runnable for a while, as Python
%%% does while it waits (transport.py, `exchange'). Each turn of it is one erlang:yield/0: others run in between, and
%%% with something else in the mailbox it ends at once.
-module(hornbeam_worker_poll).

-export([is_row/2, next/2]).

%% Calls that are further apart than this, in us, are no row.
-define(ROW, 100).

-spec is_row(Before :: integer(), Now :: integer()) -> boolean().
is_row(Before, Now) ->
    Now - Before =< ?ROW.

%% @doc What the port sends next, or none when it is quiet until then (monotonic us) or somebody else wants something.
-spec next(port(), Until :: integer()) -> {port(), {data, binary()}} | none.
next(Port, Until) ->
    receive
        {Port, {data, _}} = Message -> Message
    after 0 ->
        case erlang:monotonic_time(microsecond) < Until andalso process_info(self(), message_queue_len) of
            {message_queue_len, 0} ->
                true = erlang:yield(),
                next(Port, Until);
            _ ->
                none
        end
    end.
