%%% Requests as they end, for whoever wants to see them: `hornbeam trace', the dashboard.
%%%
%%% Called by: hornbeam_observe in the connection's process (watch/1, ended/2), hornbeam_trace_command and the dashboard (subscribe/2, taken/1,
%%% unsubscribe/1), hornbeam_server_remains (forget/1). Calls: hornbeam_lasting, hornbeam_prefix.
%%%
%%% The subscriptions of a server are one persistent term, which changes with each of them: while nobody follows, a request finds none there
%%% and does no more (an atomics counter of them would be a barrier for each request). Each match is a message {hornbeam_follow, Ref, Ended, Missed} to the subscriber, who says
%%% taken/1 for it; one that is ?WINDOW behind misses what comes meanwhile, and is told how many with the next. So nobody's mailbox
%%% grows. A subscriber that has ended is removed by the next request that would have been told to it.
-module(hornbeam_follow).

-export([watch/1, forget/1, is_followed/1, ended/2, subscribe/2, taken/1, unsubscribe/1]).
-export_type([watch/0, filter/0, ended/0, subscription/0]).

-define(WINDOW, 1000).
-define(MAX_SUBSCRIBERS, 32).
-define(UNTAKEN, 1).
-define(MISSED, 2).
-define(GONE, 3).

%% Of a request. Without a route, id and the like where they are not known. status 499: the client left before there was one.
-type ended() :: #{time_us := integer(), method := binary(), path := binary(), status := pos_integer(), duration_us := non_neg_integer(),
                   received := non_neg_integer(), sent := non_neg_integer(), atom() => term()}.
%% path, not empty: this one and those below it, or what begins with it where it ends with `*'. status: from, to.
-type filter() :: #{path => binary(), method => binary(), slow_us => non_neg_integer(), status => [{pos_integer(), pos_integer()}]}.
-record(subscription, {ref :: reference(), server :: atom(), pid :: pid(), filter :: filter(), counts :: atomics:atomics_ref()}).
-opaque subscription() :: #subscription{}.
-opaque watch() :: {?MODULE, Server :: atom()}.

%% @doc What the observer of a server keeps.
-spec watch(Server :: atom()) -> watch().
watch(Server) ->
    Watch = {?MODULE, Server},
    _ = hornbeam_lasting:get(Watch, fun() -> [] end),
    Watch.

-spec forget(Server :: atom()) -> ok.
forget(Server) ->
    hornbeam_lasting:forget({?MODULE, Server}).

-spec is_followed(watch()) -> boolean().
is_followed(Watch) -> persistent_term:get(Watch, []) =/= [].

%% @doc A request is over; only where it is_followed.
-spec ended(watch(), ended()) -> ok.
ended(Watch, Ended) ->
    lists:foreach(fun(Subscription) -> tell(Subscription, Ended) end, persistent_term:get(Watch, [])).

tell(#subscription{filter = Filter} = Subscription, Ended) ->
    case fits(maps:to_list(Filter), Ended) of
        true -> send(Subscription, Ended);
        false -> ok
    end.

send(#subscription{ref = Ref, pid = Pid, counts = Counts} = Subscription, Ended) ->
    case atomics:add_get(Counts, ?UNTAKEN, 1) of
        Untaken when Untaken =< ?WINDOW ->
            Pid ! {?MODULE, Ref, Ended, atomics:exchange(Counts, ?MISSED, 0)},
            ok;
        _ ->
            atomics:sub(Counts, ?UNTAKEN, 1),
            atomics:add(Counts, ?MISSED, 1)
    end,
    is_process_alive(Pid) orelse gone(Subscription).

%% Removed once, and not by a connection's process, which would wait.
gone(#subscription{counts = Counts} = Subscription) ->
    case atomics:exchange(Counts, ?GONE, 1) of
        0 -> _ = spawn(fun() -> unsubscribe(Subscription) end), ok;
        1 -> ok
    end.

%% @doc For the calling process, on this node.
-spec subscribe(Server :: atom(), filter()) -> {ok, reference(), subscription()} | {error, too_many}.
subscribe(Server, Filter) ->
    Ref = make_ref(),
    Subscription = #subscription{ref = Ref, server = Server, pid = self(), filter = Filter, counts = atomics:new(3, [])},
    change(Server, fun(Before0) ->
        case [S || #subscription{pid = Pid} = S <- Before0, is_process_alive(Pid)] of
            Before when length(Before) >= ?MAX_SUBSCRIBERS -> {Before, {error, too_many}};
            Before -> {[Subscription | Before], {ok, Ref, Subscription}}
        end
    end).

%% @doc One request more may come.
-spec taken(subscription()) -> ok.
taken(#subscription{counts = Counts}) ->
    atomics:sub(Counts, ?UNTAKEN, 1).

-spec unsubscribe(subscription()) -> ok.
unsubscribe(#subscription{server = Server, ref = Ref}) ->
    change(Server, fun(Before) -> {lists:keydelete(Ref, #subscription.ref, Before), ok} end).

%% One after the other, on this node.
change(Server, Fun) ->
    global:trans({{?MODULE, Server}, self()}, fun() ->
        Before = persistent_term:get({?MODULE, Server}, []),
        {After, Answer} = Fun(Before),
        _ = After =:= Before orelse persistent_term:put({?MODULE, Server}, After),
        Answer
    end, [node()]).

fits([], _Ended) -> true;
fits([{Key, Wanted} | Rest], Ended) -> fits(Key, Wanted, Ended) andalso fits(Rest, Ended).

fits(path, Wanted, #{path := Path}) -> below(Wanted, Path);
fits(method, Wanted, #{method := Method}) -> Method =:= Wanted;
fits(slow_us, Least, #{duration_us := Duration}) -> Duration >= Least;
fits(status, Ranges, #{status := Status}) -> lists:any(fun({From, To}) -> Status >= From andalso Status =< To end, Ranges).

below(Wanted, Path) ->
    Size = byte_size(Wanted) - 1,
    case Wanted of
        <<Prefix:Size/binary, $*>> -> hornbeam_prefix:has(Path, Prefix);
        <<_:Size/binary, $/>> -> hornbeam_prefix:has(Path, Wanted);
        _ -> Path =:= Wanted orelse hornbeam_prefix:has(Path, <<Wanted/binary, $/>>)
    end.
