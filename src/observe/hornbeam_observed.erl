%%% What a request was, once it is over: for its spans, and for those who follow.
%%%
%%% Called by: hornbeam_observe. Calls: nothing. Pure, but for the clock.
-module(hornbeam_observed).

-export([facts/2, ended/3]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").
-include("hornbeam_observed.hrl").

%% @doc For its spans. Over: when it was, as os:perf_counter/0 has it.
-spec facts(Over :: integer(), #observed{}) -> hornbeam_trace_spans:facts().
facts(Over, #observed{begun = #begun{head = Head, started = Started}, placed = Placed, answers = Answers, route = Route} = Observed) ->
    #head{method = Method, path = Path, query = Query, scheme = Scheme, version = Version, host = Host, fields = Fields, peer = Peer} = Head,
    #observed{status = Status, received = Received, sent = Sent} = Observed,
    #{method => Method, path => Path, query => Query, scheme => Scheme, version => Version, host => Host, client => Peer,
      user_agent => case lists:keyfind(<<"user-agent">>, 1, Fields) of {_, Agent} -> Agent; false -> undefined end,
      route => case Route of <<>> -> none; _ -> Route end, status => Status, received => Received, sent => Sent,
      %% Against the end: only what lies between two readings is told by that clock.
      offset => os:system_time(), started => before(Started, Over), waits => before(waits(Observed), Over),
      placed => before(Placed, Over), answers => before(Answers, Over), over => 0}.

before(Time, Over) when is_integer(Time) -> erlang:convert_time_unit(Time - Over, perf_counter, native);
before(_, _Over) -> none.

%% Since when, with all that it has waited as one.
waits(#observed{waits = undefined, queued = 0}) -> none;
waits(#observed{waits = undefined, queued = Queued, placed = Placed}) -> Placed - Queued;
waits(#observed{waits = Since, queued = Queued}) -> Since - Queued.

%% @doc For those who follow.
-spec ended(Over :: integer(), {TraceId :: binary(), SpanId :: binary()} | none, #observed{}) -> hornbeam_follow:ended().
ended(Over, Ids, #observed{begun = #begun{head = Head, started = Started, id = Id}, route = Route} = Observed) ->
    #head{method = Method, path = Path, query = Query, version = Version, peer = Peer} = Head,
    #observed{status = Status, received = Received, sent = Sent, python = Python} = Observed,
    Known = [{request_id, Id} || Id =/= undefined] ++ [{trace_id, element(1, Ids)} || Ids =/= none] ++ [{route, Route} || Route =/= <<>>]
        ++ [{python_us, Python} || Python > 0],
    maps:from_list(Known ++ [{time_us, os:system_time(microsecond)}, {method, Method}, {path, Path}, {query, Query}, {version, Version}, {client, Peer},
                             {status, Status}, {duration_us, us(Over - Started)}, {queue_us, us(queued(Over, Observed))},
                             {received, Received}, {sent, Sent}]).

queued(_Over, #observed{waits = undefined, queued = Queued}) -> Queued;
queued(Over, #observed{waits = Since, queued = Queued}) -> Queued + Over - Since.

us(Time) -> erlang:convert_time_unit(Time, perf_counter, microsecond).
