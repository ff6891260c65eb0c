%%% The rule of flow control does not stop, and holds its limit: whatever the window, the sizes and the order in which pieces and credit
%%% arrive. Once with models of both sides, once for each of Erlang's real ends (hornbeam_websocket_output; hornbeam_request as
%%% receiver of a response, and as sender of a request's body through a protocol) with a model of Python's. Run by properties_tests.
-module(prop_hornbeam_credit).

-include_lib("proper/include/proper.hrl").
-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-export([prop_any_order/0, prop_websocket_output/0, prop_response/0, prop_request_body/0]).

%% What is on its way stands in queues, oldest first. An order is a list of steps, after which all steps are taken in turn until
%% nothing moves any more.
-record(link, {
    window :: pos_integer(),
    left :: [non_neg_integer()],        % pieces not sent
    uncredited = 0 :: integer(),        % the sender's count
    more = 0 :: non_neg_integer(),      % by which the receiver widens the window
    pieces = [] :: [non_neg_integer()],
    credits = [] :: [pos_integer()],
    open = 0 :: integer(),              % the receiver's count of what it has not credited
    receiver :: term()                  % fun(taken, piece) -> {credit | none, receiver}
}).

prop_any_order() ->
    ?FORALL({Window, Sizes, Order}, {window(), sizes(), order()},
        finishes(#link{window = Window, left = Sizes, receiver = 0}, Order, fun taken/3)).

taken(Size, Window, Taken) ->
    case hornbeam_credit:is_due(Taken + Size, Window) of
        true -> {Taken + Size, 0};
        false -> {0, Taken + Size}
    end.

%% A WebSocket's output that writes to a stream of HTTP/2, whose alarms come and go; the test takes credit when the output gives it.
prop_websocket_output() ->
    ?FORALL({Window, Sizes, Order}, {window(), sizes(), order()},
        begin
            Output = hornbeam_websocket_output:new(hornbeam_websocket_socket:stream(self(), 1)),
            Holds = finishes(#link{window = Window, left = [hornbeam_credit:message(S) || S <- Sizes],
                                   receiver = Output}, Order, fun written/3),
            drop_messages(),
            Holds
        end).

written(stall, _Window, Output) ->
    {0, hornbeam_websocket_output:alarm(on, Output)};
written(flush, Window, Output) ->
    given(Window, hornbeam_websocket_output:alarm(off, Output));
written(Size, Window, Output) ->
    given(Window, hornbeam_websocket_output:count(Size, hornbeam_websocket_output:write(<<"x">>, Output))).

given(Window, Output) ->
    case hornbeam_websocket_output:credit(Window, Output) of
        none -> {0, Output};
        {Count, Next} -> {Count, Next}
    end.

drop_messages() ->
    receive _ -> drop_messages() after 0 -> ok end.

%% A response in pieces, with the alarms of HTTP/2; of a worker that is quiet, or not.
prop_response() ->
    ?FORALL({Window, Sizes, Order, Load}, {oneof([range(1024, 5000), range(250000, 1100000)]), sizes(), order(), load()},
        begin
            {_, Request} = request(#{window => Window}, 0, Load),
            More = case Load =< 32 of true -> hornbeam_credit:wide(Window) - Window; false -> 0 end,
            Start = <<0, 200:16, 1:32, 16#90>>,
            {_, Answering} = hornbeam_request:event({worker, response, Start}, Request),
            finishes(#link{window = Window, left = Sizes, receiver = Answering, more = More}, Order, fun responded/3)
        end).

responded(stall, _Window, Request) -> credited(hornbeam_request:event({alarm, on}, Request));
responded(flush, _Window, Request) -> credited(hornbeam_request:event({alarm, off}, Request));
responded(Size, _Window, Request) ->
    credited(hornbeam_request:event({worker, data, <<0, 0:Size/unit:8>>}, Request)).

credited({Effects, Request}) ->
    {lists:sum([Count || {send, _, Frame} <- Effects, <<_:32, 16#12, _:32, Count:32>> <- [iolist_to_binary(Frame)]]),
     Request}.

%% A request's body: the protocol, as a model with its way to forget what it has read too much, is the sender; Python, as a model,
%% the receiver. What the application has not consumed stays below the prefetch and one read.
prop_request_body() ->
    ?FORALL({Prefetch, Sizes, Order, Load}, {range(0, 3000), non_empty(list(range(1, 4000))), list(oneof([read, consume])), load()},
        begin
            {Effects, Request} = request(#{body_prefetch => Prefetch}, lists:sum(Sizes) + 1, Load),
            Most = case Load =< 32 of true -> hornbeam_credit:wide(Prefetch); false -> Prefetch end,
            uploads(Order, Sizes, #{flow => may_read(Effects), prefetch => max(1, Prefetch), most => max(1, Most), unread => [], taken => 0,
                                    request => Request})
        end).

uploads([read | Order], [Size | Sizes], #{flow := Flow, unread := Unread, most := Most} = World) when Flow > 0 ->
    true = lists:sum(Unread) + maps:get(taken, World) < Most,
    {_, Request} = hornbeam_request:event({body, nofin, <<0:Size/unit:8>>}, maps:get(request, World)),
    uploads(Order, Sizes, World#{flow := max(0, Flow - Size), unread := Unread ++ [Size], request := Request});
uploads([consume | Order], Sizes, #{unread := [Size | Unread], prefetch := Prefetch, taken := Taken0} = World) ->
    Taken = Taken0 + Size,
    uploads(Order, Sizes, case hornbeam_credit:is_due(Taken, Prefetch) of
        true -> demanded(Taken, World#{unread := Unread, taken := 0});
        false -> World#{unread := Unread, taken := Taken}
    end);
uploads([_ | Order], Sizes, World) ->
    uploads(Order, Sizes, World);
uploads([], [], #{unread := []}) ->
    true;
uploads([], _Sizes, #{unread := [], flow := 0}) ->
    false;
uploads([], Sizes, World) ->
    uploads([read, consume], Sizes, World).

demanded(Count, #{flow := Flow, request := Request0} = World) ->
    {Effects, Request} = hornbeam_request:event({worker, demand, <<0, Count:32>>}, Request0),
    World#{flow := Flow + may_read(Effects), request := Request}.

may_read(Effects) -> lists:sum([Octets || {read, Octets} <- Effects]).

%%% The steps

finishes(Link0, Order, Receive) ->
    Largest = lists:max([0 | Link0#link.left]),
    Link = lists:foldl(fun(Step, L) -> step(Step, Largest, Receive, L) end, Link0, Order),
    settle(Largest, Receive, Link).

settle(Largest, Receive, #link{left = Left, uncredited = Uncredited} = Link0) ->
    Steps = [send, arrive, flush, credit],
    case lists:foldl(fun(Step, L) -> step(Step, Largest, Receive, L) end, Link0, Steps) of
        #link{left = [], pieces = [], credits = []} ->
            true;
        #link{left = Left, uncredited = Uncredited, pieces = [], credits = []} = Link ->
            ?WHENFAIL(io:format("stopped: ~p~n", [Link#link{receiver = none}]), false);
        Link ->
            settle(Largest, Receive, Link)
    end.

step(send, Largest, _, #link{left = [Size | Left], uncredited = Uncredited, window = Window} = Link) ->
    case hornbeam_credit:may_send(Uncredited, Window) of
        true ->
            true = Uncredited + Size < Window + max(1, Largest),
            Link#link{left = Left, uncredited = Uncredited + Size, pieces = Link#link.pieces ++ [Size]};
        false ->
            Link
    end;
step(arrive, _, Receive, #link{pieces = [Size | Pieces], window = Window, open = Open} = Link) ->
    %% What the receiver may hold the sender to.
    true = Open < Window,
    received(Receive(Size, Window, Link#link.receiver), Link#link{pieces = Pieces, open = Open + Size});
step(credit, _, _, #link{credits = [Count | Credits], uncredited = Uncredited, more = More} = Link) ->
    true = Uncredited + More >= Count,
    Link#link{credits = Credits, uncredited = Uncredited - Count};
step(Step, _, Receive, #link{receiver = Receiver, window = Window} = Link)
        when Step =:= stall orelse Step =:= flush, not is_integer(Receiver) ->
    received(Receive(Step, Window, Receiver), Link);
step(_, _, _, Link) ->
    Link.

received({0, Receiver}, Link) ->
    Link#link{receiver = Receiver};
received({Count, Receiver}, #link{open = Open, credits = Credits} = Link) ->
    Link#link{receiver = Receiver, open = Open - Count, credits = Credits ++ [Count]}.

%%% Generators

window() -> oneof([range(1, 10), range(1, 2000), return(262144)]).

%% Around the window and its quarter, small and large, as the issue's 1 and 262,143.
sizes() ->
    list(oneof([range(0, 3), range(200, 300), range(900, 1100), range(0, 6000), range(65530, 65540), range(262070, 262150)])).

order() -> list(oneof([send, send, arrive, arrive, credit, stall, flush])).

load() -> oneof([1, 32, 33, 1000]).

request(Options, Length, Load) ->
    {ok, Settings} = hornbeam_options:resolve(Options),
    Head = #head{method = <<"POST">>, path = <<"/">>, version = 'HTTP/1.1', length = Length},
    {Effects, New} = hornbeam_request:new(Head, <<16#90>>, Settings),
    {_, Placing} = hornbeam_request:event(submit, New),
    Slot = #slot{worker = self(), counters = atomics:new(?SLOT_SIZE, [])},
    {More, Sent} = hornbeam_request:event({placed, Slot, 1, Load}, Placing),
    {Effects ++ More, Sent}.
