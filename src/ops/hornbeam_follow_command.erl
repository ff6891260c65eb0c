%%% `hornbeam trace': requests of a running server, as they end.
%%%
%%% Called by: hornbeam_control, for a client's process (run/3). Calls: hornbeam_follow, hornbeam_observe and hornbeam_connection (a server whose requests nobody
%%% looks at gets an observer while somebody follows; connections that are open already go on without), hornbeam_servers, hornbeam_option_text.
%%%
%%%     --path /items     this path and those below it; /items* what begins so
%%%     --slow 200ms      those that took as long, or longer (us, ms, s)
%%%     --status 5xx,404  by the status of the answer
%%%     --method GET
%%%     -n 10             so many, then the end
-module(hornbeam_follow_command).

-export([run/3, filter/1]).

-type more() :: #{filter := hornbeam_follow:filter(), number := pos_integer() | infinity}.

%% How often it is looked whether the client is still there, while there is nothing to say.
-define(LOOK, 1000).

%% @doc Sends a line for each request that fits, until there are enough, or Send says that nobody wants more. It is called with "" while there is nothing.
-spec run(Name :: atom(), more(), fun((iodata()) -> ok | gone)) -> ok | {error, iodata()}.
run(Name, #{filter := Filter, number := Number}, Send) ->
    case hornbeam_follow:subscribe(Name, Filter) of
        {ok, Ref, Subscription} ->
            ok = watched(Name),
            ok = follow(Ref, Subscription, Number, Send),
            ok = hornbeam_follow:unsubscribe(Subscription),
            watched(Name);
        {error, too_many} ->
            {error, "too many follow the requests of this server"}
    end.

%% An observer where there is none, as long as somebody follows. One after the other.
watched(Name) ->
    global:trans({{?MODULE, Name}, self()}, fun() ->
        Followed = hornbeam_follow:is_followed(hornbeam_follow:watch(Name)),
        case hornbeam_servers:config(Name) of
            {ok, Config} -> hornbeam_connection:observe(Name, hornbeam_observe:observer(Name, Config, Followed));
            error -> ok
        end
    end, [node()]).

follow(_Ref, _Subscription, 0, _Send) ->
    ok;
follow(Ref, Subscription, Number, Send) ->
    receive
        {hornbeam_follow, Ref, Ended, Missed} ->
            ok = hornbeam_follow:taken(Subscription),
            go_on(Send([[io_lib:format("(~b more were not shown)\n", [Missed]) || Missed > 0], line(Ended)]), Ref, Subscription, less(Number), Send)
    after ?LOOK ->
        go_on(Send(""), Ref, Subscription, Number, Send)
    end.

go_on(ok, Ref, Subscription, Number, Send) -> follow(Ref, Subscription, Number, Send);
go_on(gone, _Ref, _Subscription, _Number, _Send) -> ok.

less(infinity) -> infinity;
less(Number) -> Number - 1.

%% Of what a client chose nothing but what can be printed is shown.
line(#{time_us := Time, method := Method, path := Path, query := Query, status := Status, duration_us := Duration, queue_us := Queue, sent := Sent,
       client := Client} = Ended) ->
    Names = [{request_id, "request_id"}, {trace_id, "trace_id"}],
    [calendar:system_time_to_rfc3339(Time div 1000, [{unit, millisecond}, {offset, "Z"}]), $\s, integer_to_binary(Status), $\s, shown(Method), $\s,
     shown(Path), [[$?, shown(Query)] || Query =/= <<>>], $\s, milliseconds(Duration),
     [[" (queue ", milliseconds(Queue), ")"] || Queue > 0], $\s, integer_to_binary(Sent), " bytes", client(Client),
     [[$\s, Name, $=, maps:get(Key, Ended)] || {Key, Name} <- Names, is_map_key(Key, Ended)], $\n].

milliseconds(Time) -> io_lib:format("~.1f ms", [Time / 1000]).

client({Ip, _}) when is_tuple(Ip), tuple_size(Ip) > 2 -> [$\s, inet:ntoa(Ip)];
client(_) -> [].

shown(Text) -> << <<(case C >= $! andalso C =< $~ of true -> C; false -> $? end)>> || <<C>> <= Text >>.

%% @doc Of the command line.
-spec filter([string()]) -> {ok, more()} | {error, iodata()}.
filter(Arguments) -> filter(Arguments, #{filter => #{}, number => infinity}).

filter([], More) ->
    {ok, More};
filter([Flag, Value | Rest], More) ->
    case flag(Flag, Value, More) of
        error -> {error, ["trace: ", Flag, " cannot be ", hornbeam_option_text:show(Value)]};
        unknown -> {error, ["trace takes --path, --slow, --status, --method and -n; what is ", hornbeam_option_text:show(Flag), "?"]};
        Next -> filter(Rest, Next)
    end;
filter([Flag], _More) ->
    {error, ["trace: ", Flag, " has no value"]}.

flag("--path", [$/ | _] = Path, More) -> with(path, unicode:characters_to_binary(Path), More);
flag("--method", [_ | _] = Method, More) -> with(method, list_to_binary(string:uppercase(Method)), More);
flag("--slow", Value, More) ->
    case string:to_integer(Value) of
        {N, Unit} when is_integer(N), N >= 0, Unit =:= "ms" orelse Unit =:= "" -> with(slow_us, N * 1000, More);
        {N, "us"} when is_integer(N), N >= 0 -> with(slow_us, N, More);
        {N, "s"} when is_integer(N), N >= 0 -> with(slow_us, N * 1000000, More);
        _ -> error
    end;
flag("--status", Value, More) ->
    Ranges = [range(Text) || Text <- string:split(Value, ",", all)],
    case lists:member(error, Ranges) of
        false -> with(status, Ranges, More);
        true -> error
    end;
flag("-n", Value, More) ->
    case string:to_integer(Value) of
        {N, ""} when is_integer(N), N > 0 -> More#{number := N};
        _ -> error
    end;
flag(Flag, _Value, _More) ->
    case lists:member(Flag, ["--path", "--method"]) of
        true -> error;
        false -> unknown
    end.

with(Key, Value, #{filter := Filter} = More) -> More#{filter := Filter#{Key => Value}}.

range([C, X, X]) when C >= $1, C =< $5, X =:= $x -> {(C - $0) * 100, (C - $0) * 100 + 99};
range(Text) ->
    case string:to_integer(Text) of
        {N, ""} when is_integer(N), N >= 100, N =< 999 -> {N, N};
        _ -> error
    end.
