%%% The page of `hornbeam top': two takes of figures to lines of text. Pure.
%%%
%%% Called by: hornbeam_top. Calls: hornbeam_metrics (ranked/3).
-module(hornbeam_top_screen).

-export([lines/3, order/1]).
-export_type([figures/0, order/0]).

-type figures() :: #{binary() => term()}.
%% By what workers are ordered.
-type order() :: name | requests | in_flight | memory | lag.

%% @doc What a key orders by.
-spec order(char()) -> {ok, order()} | error.
order($n) -> {ok, name};
order($r) -> {ok, requests};
order($i) -> {ok, in_flight};
order($m) -> {ok, memory};
order($l) -> {ok, lag};
order(_) -> error.

%% @doc Before: an earlier take of the same server, the same one where there is none yet.
-spec lines(Before :: figures(), Now :: figures(), order()) -> [unicode:chardata()].
lines(Before, #{<<"name">> := Name, <<"binds">> := Binds} = Now, Order) ->
    Seconds = max(0.001, (number(<<"at">>, Now) - number(<<"at">>, Before)) / 1000),
    Rates = rates(Before, Now, Seconds),
    [io_lib:format("hornbeam ~ts on ~ts, up ~ts", [Name, lists:join(", ", Binds), age(number(<<"at">>, Now))]),
     io_lib:format("requests/s ~.1f   ~ts", [lists:sum([0.0 | [Rate || {_, Rate} <- maps:values(Rates)]]), answered(Before, Now, Seconds)]),
     io_lib:format("in flight ~b   waiting ~b   refused/s ~.1f   connections ~b   websockets ~b   restarts ~b   crashes ~b",
                   [number(<<"in_flight">>, Now), number(<<"waiting">>, Now), rate(<<"refused">>, Before, Now, Seconds), number(<<"connections">>, Now),
                    number(<<"websockets">>, Now), number(<<"restarts">>, Now), number(<<"crashes">>, Now)]),
     io_lib:format("VM: memory ~ts   processes ~b   run queue ~b", [megabytes(number(<<"memory">>, Now)), number(<<"processes">>, Now), number(<<"run_queue">>, Now)]),
     "",
     row([mark(Text, Key, Order) || {Text, Key} <- [{"worker", name}, {"state", none}, {"pid", none}, {"in flight", in_flight}, {"req/s", requests}, {"requests", none},
                                                   {"memory", memory}, {"lag", lag}, {"queue", none}, {"age", none}, {"restarts", none}, {"application", none}]])
     | [worker(Worker, maps:get(key(Worker), Rates)) || Worker <- ordered(Order, workers(Now), Rates)]].

mark(Text, Order, Order) -> Text ++ "*";
mark(Text, _, _) -> Text.

workers(#{<<"workers">> := Workers}) -> Workers.

number(Key, Map) ->
    case Map of
        #{Key := N} when is_integer(N) -> N;
        #{} -> 0
    end.

rate(Key, Before, Now, Seconds) -> max(0, number(Key, Now) - number(Key, Before)) / Seconds.

%% A successor has the number of the one before it, and counts from its beginning.
key(#{<<"name">> := Name} = Worker) -> {Name, number(<<"os_pid">>, Worker)}.

%% By worker: its place in the list as it was told, and its rate.
rates(Before, Now, Seconds) ->
    Old = maps:from_list([{key(Worker), number(<<"requests">>, Worker)} || Worker <- workers(Before)]),
    maps:from_list([{key(Worker), {N, max(0, number(<<"requests">>, Worker) - maps:get(key(Worker), Old, number(<<"requests">>, Worker))) / Seconds}}
                    || {N, Worker} <- lists:enumerate(workers(Now))]).

ordered(name, Workers, _Rates) -> Workers;
ordered(requests, Workers, Rates) -> descending(fun(Worker) -> element(2, maps:get(key(Worker), Rates)) end, Workers);
ordered(Order, Workers, _Rates) -> descending(fun(Worker) -> number(atom_to_binary(Order), Worker) end, Workers).

descending(By, Workers) ->
    [Worker || {_, Worker} <- lists:sort(fun({A, _}, {B, _}) -> A >= B end, [{By(Worker), Worker} || Worker <- Workers])].

%% What only a server knows that counts its requests.
answered(#{<<"answered">> := Before}, #{<<"answered">> := Now}, Seconds) ->
    New = [{Class, Requests - Old, subtract(Buckets, OldBuckets)} || {[Class, Requests, Buckets], [_, Old, OldBuckets]} <- lists:zip(Now, Before)],
    case lists:sum([Requests || [_, Requests, _] <- Now]) of
        0 ->
            "errors and durations are not counted (metrics_bind)";
        _ ->
            Errors = lists:sum([N || {<<"5xx">>, N, _} <- New]) / Seconds,
            Total = lists:sum([N || {_, N, _} <- New]),
            Buckets = lists:foldl(fun({_, _, Each}, Sum) -> add(Each, Sum) end, [], New),
            [io_lib:format("errors/s ~.1f", [Errors]),
             [io_lib:format("   p~b ~ts", [P, duration(hornbeam_metrics:ranked(P * Total / 100, Buckets, Total))]) || P <- [50, 90, 99]]]
    end.

subtract(A, B) -> [X - Y || {X, Y} <- lists:zip(A, B)].
add(A, []) -> A;
add(A, B) -> [X + Y || {X, Y} <- lists:zip(A, B)].

duration(none) -> "-";
duration(more) -> "more";
duration(Us) when Us < 1000000 -> io_lib:format("~.1f ms", [Us / 1000]);
duration(Us) -> io_lib:format("~.2f s", [Us / 1.0e6]).

worker(#{<<"name">> := Name, <<"state">> := State, <<"app">> := App} = Worker, {_, Rate}) ->
    Known = fun(Key, Show) -> case Worker of #{Key := Value} -> Show(Value); #{} -> "-" end end,
    row([Name, State, Known(<<"os_pid">>, fun integer_to_list/1), Known(<<"in_flight">>, fun integer_to_list/1), io_lib:format("~.1f", [Rate]),
         Known(<<"requests">>, fun integer_to_list/1), Known(<<"memory">>, fun megabytes/1), Known(<<"lag">>, fun(Ms) -> [integer_to_list(Ms), " ms"] end),
         Known(<<"queue">>, fun integer_to_list/1), Known(<<"age">>, fun age/1), Known(<<"restarts">>, fun integer_to_list/1), App]).

row(Cells) -> io_lib:format("~-12ts ~-9ts ~8ts ~10ts ~9ts ~10ts ~11ts ~8ts ~6ts ~9ts ~9ts  ~ts", Cells).

megabytes(Bytes) -> io_lib:format("~.1f MB", [Bytes / 1.0e6]).

age(Ms) when Ms < 60000 -> io_lib:format("~b s", [Ms div 1000]);
age(Ms) when Ms < 3600000 -> io_lib:format("~b min", [Ms div 60000]);
age(Ms) when Ms < 86400000 -> io_lib:format("~b h", [Ms div 3600000]);
age(Ms) -> io_lib:format("~b d", [Ms div 86400000]).
