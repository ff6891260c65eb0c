%%% Properties of the WebSocket codec. Run by properties_tests.
-module(prop_hornbeam_websocket_codec).

-include_lib("proper/include/proper.hrl").

-export([prop_cuts_do_not_matter/0, prop_garbage_is_no_crash/0]).

-define(MAX, 5000).

%% Messages in frames and fragments come out as they were put in, however the bytes are cut.
prop_cuts_do_not_matter() ->
    ?FORALL({Messages, Cuts}, {list(message()), list(range(1, 300))},
            begin
                Bytes = iolist_to_binary([frames(Message) || Message <- Messages]),
                Expected = [{Type, iolist_to_binary(Parts)} || {Type, Parts, _} <- Messages],
                Expected =:= feed_all(pieces(Bytes, Cuts))
            end).

%% Whatever comes: items, and at most one last one.
prop_garbage_is_no_crash() ->
    ?FORALL(Pieces, list(binary()),
            begin
                Items = feed_all(Pieces),
                Lasts = [Item || Item <- Items, is_tuple(Item), tuple_size(Item) =:= 3],
                length(Lasts) =< 1 andalso lists:suffix(Lasts, Items)
            end).

message() ->
    {oneof([text, binary]), non_empty(list(part())), range(0, 16#ffffffff)}.

part() ->
    ?LET(Text, list(range($a, $z)), list_to_binary(Text)).

frames({Type, Parts, Mask}) ->
    Last = length(Parts),
    [frame(Part, Mask, case Number of Last -> 1; _ -> 0 end,
           case {Number, Type} of {1, text} -> 1; {1, binary} -> 2; _ -> 0 end)
     || {Number, Part} <- lists:enumerate(Parts)].

frame(Part, Mask, Fin, Opcode) ->
    Length = case byte_size(Part) of
        Size when Size < 126 -> <<1:1, Size:7>>;
        Size -> <<1:1, 126:7, Size:16>>
    end,
    Key = binary:part(binary:copy(<<Mask:32>>, byte_size(Part) div 4 + 1), 0, byte_size(Part)),
    [<<Fin:1, 0:3, Opcode:4>>, Length, <<Mask:32>>, crypto:exor(Part, Key)].

pieces(Bytes, [Cut | Cuts]) when byte_size(Bytes) > Cut ->
    <<Piece:Cut/binary, Rest/binary>> = Bytes,
    [Piece | pieces(Rest, Cuts)];
pieces(Bytes, _) ->
    [Bytes].

feed_all(Pieces) ->
    feed_all(Pieces, hornbeam_websocket_codec:new(?MAX)).

feed_all([Piece | Rest], Codec) ->
    items(hornbeam_websocket_codec:next(hornbeam_websocket_codec:feed(Piece, Codec), none), Rest);
feed_all([], _Codec) ->
    [].

items({more, Codec}, Rest) -> feed_all(Rest, Codec);
items({{_, _, _} = Last, _}, _Rest) -> [Last];
items({Item, Codec}, Rest) -> [Item | items(hornbeam_websocket_codec:next(Codec, none), Rest)].
