%%% What this node has asked at the homes of keys: for each of its computations that the cluster shares, where its home is and how it stands there.
%%%
%%% Called by: hornbeam_cache, in its process, once something is asked that is shared; hornbeam_cluster_cache_home (group/0), whose header has the messages.
%%% Calls: hornbeam_cluster_group, hornbeam_cluster_say.
%%%
%%%     ask ─▶ asking ──compute──▶ leading ──put, fail, leave──▶ nothing
%%%              └──alone, a value, an error, leave──▶ nothing
%%%
%%% A flight (of hornbeam_cache_flights, by its number) is at home in one place. When that ends, all that have theirs there ask the next one, those who
%%% compute as well: whichever asks first leads there, so what was being computed may be computed once more.
%%%
%%% A value that cannot be sent, since the link is congested, is not waited for: the home hears that this node has left, and another one computes.
-module(hornbeam_cluster_cache_asker).

-export([group/0, homes/1, new/0, ask/4, heard/3, is_asking/2, finish/3, ended/3, down/2, again/1]).
-export_type([asker/0]).

-record(ask, {home :: pid(), key :: hornbeam_cache_store:key(), mode :: hornbeam_cache_flights:mode(), is_leading = false :: boolean()}).
-record(asker, {
    session = make_ref() :: reference(),
    asks = #{} :: #{Flight :: pos_integer() => #ask{}},
    homes = #{} :: #{pid() => Monitor :: reference()},
    unsaid = [] :: hornbeam_cluster_say:unsaid()
}).
-opaque asker() :: #asker{}.
-type result() :: {packed, Packed :: binary(), Ttl :: pos_integer() | infinity, hits | waits} | {error, What :: [term()]}.

%% @doc The homes are the members of this group.
-spec group() -> hornbeam_cluster_group:group().
group() -> {cache, 1}.

%% @doc Where a key is at home, and who would be next.
-spec homes(hornbeam_cache_store:key()) -> [pid()].
homes(Key) ->
    [Pid || {_, Pid} <- lists:reverse(lists:sort([{erlang:phash2({Key, node(Pid)}), Pid} || Pid <- hornbeam_cluster_group:members(group())]))].

-spec new() -> asker().
new() -> #asker{}.

%% @doc Asks the home of a key. alone: no home can be asked.
-spec ask(Flight :: pos_integer(), hornbeam_cache_store:key(), hornbeam_cache_flights:mode(), asker()) -> {asking | alone, asker()}.
ask(Flight, Key, Mode, Asker) ->
    ask_first(homes(Key), Flight, #ask{home = self(), key = Key, mode = Mode}, Asker).

ask_first([], Flight, _Ask, #asker{asks = Asks} = Asker) ->
    {alone, Asker#asker{asks = maps:remove(Flight, Asks)}};
ask_first([Home | Next], Flight, #ask{key = Key, mode = Mode} = Ask, #asker{session = Session, asks = Asks} = Asker) ->
    case hornbeam_cluster_say:send(Home, {ask, self(), {Session, Flight}, Key, Mode}) of
        ok -> {asking, monitored(Home, Asker#asker{asks = Asks#{Flight => Ask#ask{home = Home}}})};
        noconnect -> ask_first(Next, Flight, Ask, Asker);
        nosuspend -> ask_first([], Flight, Ask, Asker)
    end.

monitored(Home, #asker{homes = Homes} = Asker) when is_map_key(Home, Homes) -> Asker;
monitored(Home, #asker{homes = Homes} = Asker) -> Asker#asker{homes = Homes#{Home => monitor(process, Home)}}.

%% @doc What a home's answer means: this node computes; or has a result; or nothing, since nobody here asks any more, or it computes already.
-spec heard({Session :: reference(), Flight :: pos_integer()}, compute | alone | result(), asker()) -> {compute | result() | nothing, asker()}.
heard({Session, Flight}, Answer, #asker{session = Session, asks = Asks} = Asker) when is_map_key(Flight, Asks) ->
    #{Flight := #ask{is_leading = Before} = Ask} = Asks,
    case Answer of
        compute -> {first(Before), Asker#asker{asks = Asks#{Flight := Ask#ask{is_leading = true}}}};
        alone -> {first(Before), Asker#asker{asks = maps:remove(Flight, Asks)}};
        Result -> {Result, Asker#asker{asks = maps:remove(Flight, Asks)}}
    end;
heard(_Who, _Answer, Asker) ->
    {nothing, Asker}.

first(true) -> nothing;
first(false) -> compute.

%% @doc Whether it is not known yet who computes.
-spec is_asking(Flight :: pos_integer() | none, asker()) -> boolean().
is_asking(Flight, #asker{asks = Asks}) ->
    case Asks of
        #{Flight := #ask{is_leading = IsLeading}} -> not IsLeading;
        #{} -> false
    end.

%% @doc A flight is over: its home hears how.
-spec finish(Flight :: pos_integer() | none, {put, Packed :: binary(), Ttl :: pos_integer() | infinity} | {fail, [term()]} | leave, asker()) -> asker().
finish(Flight, How, #asker{session = Session, asks = Asks, unsaid = Unsaid} = Asker) ->
    case maps:take(Flight, Asks) of
        {#ask{home = Home}, Left} ->
            Who = {Session, Flight},
            Message = case How of
                {put, Packed, Ttl} -> {put, Who, Packed, Ttl};
                {fail, What} -> {fail, Who, What};
                leave -> {leave, Who}
            end,
            Asker#asker{asks = Left, unsaid = hornbeam_cluster_say:say(Home, Message, {leave, Who}, {hornbeam_cluster_cache_asker, Unsaid})};
        error ->
            Asker
    end.

%% @doc Of these flights, or of all, those that are over have left their homes.
-spec ended([Flight :: pos_integer()] | all, IsOver :: fun((Flight :: pos_integer()) -> boolean()), asker()) -> asker().
ended(all, IsOver, #asker{asks = Asks} = Asker) ->
    ended(maps:keys(Asks), IsOver, Asker);
ended(Flights, IsOver, Asker) ->
    lists:foldl(fun(Flight, Before) -> finish(Flight, leave, Before) end, Asker, lists:filter(IsOver, Flights)).

%% @doc A home has ended: which flights have none now and wait. `other': it was none.
-spec down(pid(), asker()) -> {Alone :: [pos_integer()], asker()} | other.
down(Home, #asker{homes = Homes, asks = Asks} = Asker) when is_map_key(Home, Homes) ->
    There = [{Flight, Ask} || {Flight, #ask{home = Of} = Ask} <- maps:to_list(Asks), Of =:= Home],
    lists:foldl(fun({Flight, #ask{key = Key, is_leading = IsLeading} = Ask}, {Alone, Before}) ->
        case ask_first(homes(Key) -- [Home], Flight, Ask, Before) of
            {alone, Now} when not IsLeading -> {[Flight | Alone], Now};
            {_, Now} -> {Alone, Now}
        end
    end, {[], Asker#asker{homes = maps:remove(Home, Homes)}}, There);
down(_Other, _Asker) ->
    other.

%% @doc Says what could not be said.
-spec again(asker()) -> asker().
again(#asker{unsaid = Unsaid} = Asker) ->
    Asker#asker{unsaid = hornbeam_cluster_say:again(hornbeam_cluster_cache_asker, Unsaid)}.
