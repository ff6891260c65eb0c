%%% What the streams of an HTTP/2 connection have to send, and which of it may be sent now (RFC 9113, 5.2 and 6.9).
%%%
%%% Called by: hornbeam_http2_streams. Calls: cow_http2 (heads of frames). Pure.
%%%
%%% A stream's output waits in order: octets, pieces of a file, then perhaps the end, which may be a trailer section. next/2 gives one
%%% frame, of the stream whose turn it is: those that have something to send and a window for it take turns, one frame of up to ?PIECE
%%% octets each, so that a large response does not keep a small one waiting, and one whose client takes nothing is not among them. The end
%%% of a stream needs no window (6.9.1).
%%%
%%% Windows are integers that may be negative (6.9.2), and none may pass 2^31-1 (6.9.1): `error'.
%%%
%%% Limits: what waits is bounded by the credit of who gives it (hornbeam_credit), which is withheld while is_held/2. `since' says for how
%%% long a stream has had something to send and no octet of it could be sent.
-module(hornbeam_http2_output).

-export([new/0, open/2, close/2, initial/2, credit/3, put/5, put_all/4, is_ready/1, is_held/2, next/2, stalled/2]).
-export_type([output/0, frame/0, fin/0, item/0]).

%% The largest frame that every peer takes (RFC 9113, 4.2).
-define(PIECE, 16384).
-define(MAX_WINDOW, 16#7fffffff).
%% What may wait for its turn without its giver's being told.
-define(TURN, 65536).

-type id() :: pos_integer().
-type fin() :: nofin | fin | {trailers, hornbeam_headers:headers()}.
-type item() :: binary() | {file, file:fd(), Offset :: non_neg_integer(), Left :: pos_integer()}.
%% What is left of the stream's output behind the frame.
-type left() :: more | none | ended.
-type frame() :: {data, id(), iodata(), left()}
               | {file, id(), Fin :: nofin | fin, {file:fd(), IsLast :: boolean()}, Offset :: non_neg_integer(), Size :: pos_integer(), left()}
               | {trailers, id(), hornbeam_headers:headers()}.

-record(out, {
    window :: integer(),
    items = [] :: [item()],                 % the first of them; then what came later, newest first
    later = [] :: [item()],
    size = 0 :: non_neg_integer(),
    fin = nofin :: fin(),
    since = 0 :: integer(),                 % the last progress, monotonic ms
    queued = false :: boolean()             % among those that take turns
}).
-record(output, {
    window = 65535 :: integer(),            % of the connection
    initial = 65535 :: non_neg_integer(),   % of a new stream
    streams = #{} :: #{id() => #out{}},
    turns = queue:new() :: queue:queue(id())
}).
-opaque output() :: #output{}.

-spec new() -> output().
new() -> #output{}.

-spec open(id(), output()) -> output().
open(Id, #output{streams = Streams, initial = Initial} = Output) ->
    Output#output{streams = Streams#{Id => #out{window = Initial}}}.

%% @doc The stream has ended; what it still has is thrown away.
-spec close(id(), output()) -> output().
close(Id, #output{streams = Streams} = Output) ->
    case maps:take(Id, Streams) of
        {#out{items = Items, later = Later}, Rest} ->
            _ = [file:close(Fd) || {file, Fd, _, _} <- Items ++ Later],
            Output#output{streams = Rest};
        error ->
            Output
    end.

%% @doc The client's SETTINGS_INITIAL_WINDOW_SIZE, which changes the windows of all streams that there are.
-spec initial(non_neg_integer(), output()) -> {ok, output()} | error.
initial(Window, #output{initial = Before, streams = Streams} = Output) ->
    Widened = maps:map(fun(_, #out{window = W} = Out) -> Out#out{window = W + Window - Before} end, Streams),
    case lists:any(fun(#out{window = W}) -> W > ?MAX_WINDOW end, maps:values(Widened)) of
        true -> error;
        false -> {ok, maps:fold(fun(Id, Out, Acc) -> turn(Id, Out, Acc) end, Output#output{initial = Window, streams = Widened}, Widened)}
    end.

%% @doc WINDOW_UPDATE; one of a stream that has ended changes nothing.
-spec credit(connection | id(), pos_integer(), output()) -> {ok, output()} | error.
credit(connection, Increment, #output{window = Window} = Output) ->
    case Window + Increment of
        Wider when Wider > ?MAX_WINDOW -> error;
        Wider -> {ok, Output#output{window = Wider}}
    end;
credit(Id, Increment, #output{streams = Streams} = Output) ->
    case Streams of
        #{Id := #out{window = Window}} when Window + Increment > ?MAX_WINDOW -> error;
        #{Id := #out{window = Window} = Out} -> {ok, turn(Id, Out#out{window = Window + Increment}, Output)};
        _ -> {ok, Output}
    end.

%% @doc More of a stream's output.
-spec put(id(), item(), fin(), Now :: integer(), output()) -> output().
put(Id, Item, Fin, Now, #output{streams = Streams} = Output) ->
    #{Id := #out{size = Size, since = Since} = Out} = Streams,
    Begun = case Size of 0 -> Now; _ -> Since end,
    turn(Id, add(Item, Out#out{fin = Fin, since = Begun}), Output).

%% @doc All that is left of a stream's output: octets and pieces of files, which are closed behind their last piece.
-spec put_all(id(), [item(), ...], Now :: integer(), output()) -> output().
put_all(Id, [Last], Now, Output) -> put(Id, Last, fin, Now, Output);
put_all(Id, [Item | Rest], Now, Output) -> put_all(Id, Rest, Now, put(Id, Item, nofin, Now, Output)).

add(<<>>, Out) -> Out;
add(Item, #out{items = [], size = 0} = Out) -> Out#out{items = [Item], size = size(Item, Out)};
add(Item, #out{later = Later} = Out) -> Out#out{later = [Item | Later], size = size(Item, Out)}.

size({file, _, _, Left}, #out{size = Size}) -> Size + Left;
size(Octets, #out{size = Size}) -> Size + byte_size(Octets).

%% Gives the stream its place among those that take turns, if it can send anything.
turn(Id, #out{queued = false, size = Size, window = Window, fin = Fin} = Out, #output{turns = Turns, streams = Streams} = Output)
        when Size > 0, Window > 0; Size =:= 0, Fin =/= nofin ->
    Output#output{streams = Streams#{Id := Out#out{queued = true}}, turns = queue:in(Id, Turns)};
turn(Id, Out, #output{streams = Streams} = Output) ->
    Output#output{streams = Streams#{Id := Out}}.

%% @doc Whether there may be something that can be sent now.
-spec is_ready(output()) -> boolean().
is_ready(#output{turns = Turns, window = Window, streams = Streams}) ->
    case queue:peek(Turns) of
        empty -> false;
        {value, _} when Window > 0 -> true;
        %% The end of a stream needs no window.
        {value, _} -> lists:any(fun(Id) -> is_map_key(Id, Streams) andalso (map_get(Id, Streams))#out.size =:= 0 end, queue:to_list(Turns))
    end.

%% @doc Whether the stream has more than will be sent soon: its giver should wait.
-spec is_held(id(), output()) -> boolean().
is_held(Id, #output{streams = Streams, window = Connection}) ->
    #{Id := #out{size = Size, window = Window}} = Streams,
    Size > ?TURN orelse Size > Window orelse Size > Connection.

%% @doc The next frame.
-spec next(Now :: integer(), output()) -> {frame() | none, output()}.
next(Now, #output{turns = Turns} = Output) ->
    next(queue:len(Turns), Now, Output).

next(0, _Now, Output) ->
    {none, Output};
next(Left, Now, #output{turns = Turns0, streams = Streams, window = Connection} = Output0) ->
    {{value, Id}, Turns} = queue:out(Turns0),
    Output = Output0#output{turns = Turns},
    case Streams of
        #{Id := #out{size = 0, fin = fin} = Out} ->
            {{data, Id, cow_http2:data_header(Id, fin, 0), ended}, Output#output{streams = Streams#{Id := Out#out{queued = false, fin = nofin}}}};
        #{Id := #out{size = 0, fin = {trailers, Fields}} = Out} ->
            {{trailers, Id, Fields}, Output#output{streams = Streams#{Id := Out#out{queued = false, fin = nofin}}}};
        #{Id := #out{size = Size, window = Window} = Out} when Size > 0, Window > 0, Connection > 0 ->
            frame(Id, Out#out{queued = false, since = Now}, min(min(Window, Connection), ?PIECE), Output);
        #{Id := #out{size = Size, window = Window}} when Size > 0, Window > 0 ->
            next(Left - 1, Now, Output#output{turns = queue:in(Id, Turns)});
        #{Id := Out} ->
            next(Left - 1, Now, Output#output{streams = Streams#{Id := Out#out{queued = false}}});
        _ ->
            next(Left - 1, Now, Output)
    end.

frame(Id, #out{items = [{file, Fd, Offset, Left} | Rest], size = Size, window = Window, fin = Fin} = Out0, Most, #output{window = Connection} = Output) ->
    Part = min(Most, Left),
    Items = case Left of Part -> Rest; _ -> [{file, Fd, Offset + Part, Left - Part} | Rest] end,
    Out = forward(Out0#out{items = Items, size = Size - Part, window = Window - Part}),
    {IsFin, Remains} = remains(Out, Fin),
    IsLast = not lists:any(fun({file, Other, _, _}) -> Other =:= Fd; (_) -> false end, Items ++ Out0#out.later),
    {{file, Id, IsFin, {Fd, IsLast}, Offset, Part, Remains}, again(Id, Out, Remains, Output#output{window = Connection - Part})};
frame(Id, #out{size = Size, window = Window, fin = Fin} = Out0, Most, #output{window = Connection} = Output) ->
    {Data, Part, Out1} = octets(Most, [], 0, Out0),
    Out = Out1#out{size = Size - Part, window = Window - Part},
    {IsFin, Remains} = remains(Out, Fin),
    {{data, Id, [cow_http2:data_header(Id, IsFin, Part) | Data], Remains}, again(Id, Out, Remains, Output#output{window = Connection - Part})}.

%% As many octets as fit, out of as many items as that takes.
octets(Most, Data, Part, Out0) ->
    case forward(Out0) of
        #out{items = [Item | Rest]} = Out when is_binary(Item), byte_size(Item) =< Most ->
            octets(Most - byte_size(Item), [Data | Item], Part + byte_size(Item), Out#out{items = Rest});
        #out{items = [Item | Rest]} = Out when is_binary(Item), Most > 0 ->
            <<Now:Most/binary, Later/binary>> = Item,
            {[Data | Now], Part + Most, Out#out{items = [Later | Rest]}};
        Out ->
            {Data, Part, Out}
    end.

forward(#out{items = [], later = [_ | _] = Later} = Out) -> Out#out{items = lists:reverse(Later), later = []};
forward(Out) -> Out.

remains(#out{size = 0}, fin) -> {fin, ended};
remains(#out{size = 0}, nofin) -> {nofin, none};
remains(_Out, _Fin) -> {nofin, more}.

again(Id, Out, more, Output) -> turn(Id, Out, Output);
again(Id, Out, none, #output{streams = Streams} = Output) -> Output#output{streams = Streams#{Id := Out}};
again(Id, Out, ended, #output{streams = Streams} = Output) -> Output#output{streams = Streams#{Id := Out#out{fin = nofin}}}.

%% @doc The streams of whose output nothing has been sent since, though it waits, and the earliest of the others' times.
-spec stalled(Since :: integer(), output()) -> {[id()], Earliest :: integer() | infinity}.
stalled(Since, #output{streams = Streams}) ->
    maps:fold(fun(_, #out{size = 0}, Acc) -> Acc;
                 (Id, #out{since = At}, {Ids, Earliest}) when At =< Since -> {[Id | Ids], Earliest};
                 (_, #out{since = At}, {Ids, Earliest}) -> {Ids, min(At, Earliest)}
              end, {[], infinity}, Streams).
