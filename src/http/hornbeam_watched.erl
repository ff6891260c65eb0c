%%% What an observer is told of one exchange, and what it changes of that: where one is asked for (hornbeam_observer.hrl).
%%%
%%% Called by: hornbeam_exchange. Calls: the functions of the observer, hornbeam_frame (measured/2). Without an observer there is nothing to do here.
%%%
%%%     opened ──▶ received, waits, placed, sends, in any order ──▶ over
%%%                └─ whole: a response in one piece, which is most of them, told at once and over
-module(hornbeam_watched).

-export([opened/2, happened/2, news/2, sends/2, last/2, whole/3, over/2]).
-export_type([observer/0, watched/0]).

-include("hornbeam_head.hrl").
-include("hornbeam_observer.hrl").

-type observer() :: none | {#observer{}, Settings :: term()}.
-type watched() :: none | {#observer{}, Observed :: term()}.
-type commands() :: [hornbeam_exchange:command()].

%% @doc A request whose head has been read, as the observer wants it to go on.
-spec opened(#head{}, observer()) -> {#head{}, watched()}.
opened(Head, none) ->
    {Head, none};
opened(Head0, {#observer{opened = Opened} = Observer, Settings}) ->
    {Head, Observed} = Opened(Head0, Settings),
    {Head, {Observer, Observed}}.

-spec happened(waits | placed | {answers, term()}, watched()) -> watched().
happened(_What, none) -> none;
happened(What, {#observer{happened = Happened} = Observer, Observed}) -> {Observer, Happened(What, Observed)}.

%% @doc What an event of the exchange is to an observer, if anything.
-spec news(hornbeam_request:event(), watched()) -> watched().
news(_Event, none) ->
    none;
news({placed, _Slot, _Id, _Load}, Watched) ->
    happened(placed, Watched);
news({body, _IsFin, Data}, {#observer{received = Received} = Observer, Observed}) ->
    {Observer, Received(iolist_size(Data), Observed)};
news({worker, Type, Payload}, Watched) when Type =:= response; Type =:= pathsend; Type =:= abort; Type =:= ws_accept; Type =:= ws_end ->
    happened({answers, hornbeam_frame:measured(Type, Payload)}, Watched);
news(_Event, Watched) ->
    Watched.

%% @doc Commands on their way to the client.
-spec sends(commands(), watched()) -> {commands(), watched()}.
sends(Commands, none) ->
    {Commands, none};
sends(Commands0, {#observer{sends = Sends} = Observer, Observed0}) ->
    {Commands, Observed} = lists:mapfoldl(fun(Command, Observed) -> sent(is_seen(Command), Sends, Command, Observed) end, Observed0, Commands0),
    {Commands, {Observer, Observed}}.

sent(true, Sends, Command, Observed) -> Sends(Command, Observed);
sent(false, _Sends, Command, Observed) -> {Command, Observed}.

is_seen({reply, _, _, _, _}) -> true;
is_seen({start, _, _, _}) -> true;
is_seen({data, _, _}) -> true;
is_seen({upgrade, _}) -> true;
is_seen(_) -> false.

%% @doc The same of an exchange that is over with them, and was on no worker.
-spec last(commands(), watched()) -> commands().
last(Commands0, Watched0) ->
    {Commands, Watched} = sends(Commands0, Watched0),
    ok = over(false, Watched),
    Commands.

%% @doc A response in one piece, from that frame of the worker's: the exchange is over.
-spec whole(Payload :: binary(), Reply, {#observer{}, Observed :: term()}) -> Reply when Reply :: hornbeam_exchange:command().
whole(Payload, Reply, {#observer{whole = Whole}, Observed}) ->
    Whole(hornbeam_frame:measured(response, Payload), Reply, Observed).

-spec over(WasPlaced :: boolean(), watched()) -> ok.
over(_WasPlaced, none) -> ok;
over(WasPlaced, {#observer{over = Over}, Observed}) -> Over(WasPlaced, Observed).
