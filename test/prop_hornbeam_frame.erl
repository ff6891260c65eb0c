%%% Properties of hornbeam_frame, run by properties_tests.
-module(prop_hornbeam_frame).

-include_lib("proper/include/proper.hrl").

-export([prop_any_split_gives_the_same_frames/0, prop_garbage/0, prop_parse_never_crashes/0]).

prop_any_split_gives_the_same_frames() ->
    numtests(300, ?FORALL({Frames, Cuts}, {list(frame()), list(non_neg_integer())},
        begin
            Bytes = iolist_to_binary([hornbeam_frame:encode(T, S, P) || {T, S, P} <- Frames]),
            feed_all(pieces(Bytes, Cuts)) =:= {ok, Frames, hornbeam_frame:new()}
        end)).

%% Some bytes are replaced: either an error, or frames and an unfinished rest; no more bytes than came.
prop_garbage() ->
    numtests(500, ?FORALL({Bytes, Cuts}, {binary(), list(non_neg_integer())},
        case feed_all(pieces(Bytes, Cuts)) of
            {ok, Frames, _Buffer} ->
                lists:sum([9 + byte_size(P) || {_, _, P} <- Frames]) =< byte_size(Bytes);
            {error, {frame_size, Size}} -> Size < 5 orelse Size > hornbeam_frame:max_size();
            {error, {frame_type, Type}} -> is_integer(Type)
        end)).

prop_parse_never_crashes() ->
    numtests(500, ?FORALL({Type, Payload}, {from_worker(), binary()},
        begin
            true = is_boolean(hornbeam_frame:is_last(Payload)),
            case hornbeam_frame:parse(Type, Payload) of
                {ok, _} -> true;
                error -> true
            end
        end)).

feed_all(Pieces) ->
    lists:foldl(fun
        (Piece, {ok, Frames, Buffer0}) ->
            case hornbeam_frame:feed(Piece, Buffer0) of
                {ok, More, Buffer} -> {ok, Frames ++ More, Buffer};
                Error -> Error
            end;
        (_, Error) ->
            Error
    end, {ok, [], hornbeam_frame:new()}, Pieces).

%% Cuts are sizes of pieces, modulo what is left.
pieces(Bytes, []) -> [Bytes];
pieces(<<>>, _) -> [];
pieces(Bytes, [Cut | Cuts]) ->
    Size = 1 + Cut rem byte_size(Bytes),
    <<Piece:Size/binary, Rest/binary>> = Bytes,
    [Piece | pieces(Rest, Cuts)].

frame() ->
    {from_worker(), oneof([0, 1, 16#ffffffff, integer(0, 16#ffffffff)]), payload()}.

payload() ->
    oneof([binary(), ?LET(Size, oneof([0, 255, 256, 65535, 65536, 200000]), binary:copy(<<"x">>, Size))]).

from_worker() ->
    oneof([hello, ready, failed, drained, pong, log, call, result, response, data, demand, abort,
           inform, trailers, pathsend, ws_accept, ws_send_text, ws_send_bytes, ws_end, ws_subscribe,
           ws_unsubscribe]).
