%%% Properties of hornbeam_channel_codec, run by properties_tests.
-module(prop_hornbeam_channel_codec).

-include_lib("proper/include/proper.hrl").

-export([prop_text/0, prop_binary/0, prop_random/0, prop_cut/0]).

%% Whatever a client's JSON library writes is read as it was meant, and the payload is what stands there.
prop_text() ->
    ?FORALL({JoinRef, Ref, Topic, Event, Payload}, {ref(), ref(), name(), name(), payload()},
            begin
                Text = iolist_to_binary([$[, lists:join($,, [hornbeam_json:encode(Part) || Part <- [JoinRef, Ref, Topic, Event]] ++ [Payload]), $]]),
                is_message(hornbeam_channel_codec:decode(text, Text), JoinRef, Ref, Topic, Event, {json, Payload})
            end).

prop_binary() ->
    ?FORALL({JoinRef, Ref, Topic, Event, Payload}, {text(64), text(64), name(), name(), binary()},
            is_message(hornbeam_channel_codec:decode(binary, binary_message(JoinRef, Ref, Topic, Event, Payload)), JoinRef, Ref, Topic, Event, {bytes, Payload})).

%% The next octet that is wrong is refused, never a crash.
prop_random() ->
    numtests(2000, ?FORALL({Type, Bytes}, {oneof([text, binary]), oneof([binary(), ?LET(Rest, binary(), <<0, Rest/binary>>), ?LET(Rest, binary(), <<"[\"", Rest/binary, "\"]">>)])},
                           case hornbeam_channel_codec:decode(Type, Bytes) of
                               error -> true;
                               {ok, #{topic := <<_, _/binary>>, event := _}} -> true
                           end)).

%% Without an end in its names it is none.
prop_cut() ->
    ?FORALL({JoinRef, Ref, Topic, Event, Where}, {text(64), text(64), name(), name(), float(0.0, 0.999)},
            begin
                Whole = binary_message(JoinRef, Ref, Topic, Event, <<>>),
                hornbeam_channel_codec:decode(binary, binary:part(Whole, 0, trunc(Where * byte_size(Whole)))) =:= error
            end).

binary_message(JoinRef, Ref, Topic, Event, Payload) ->
    <<0, (byte_size(JoinRef)), (byte_size(Ref)), (byte_size(Topic)), (byte_size(Event)), JoinRef/binary, Ref/binary, Topic/binary, Event/binary, Payload/binary>>.

is_message({ok, #{join_ref := JoinRef, ref := Ref, topic := Topic, event := Event, payload := Payload}}, JoinRef, Ref, Topic, Event, Payload) -> true;
is_message(_Other, _JoinRef, _Ref, _Topic, _Event, _Payload) -> false.

payload() -> oneof([<<"{}">>, <<"null">>, <<"{\"a\":\"]\"}">>, ?LET(Text, text(40), iolist_to_binary(hornbeam_json:encode(Text)))]).
ref() -> oneof([null, text(64)]).
name() -> ?SUCHTHAT(Text, text(255), Text =/= <<>>).
text(Max) -> ?SUCHTHAT(Text, ?LET(Chars, list(oneof([range(0, 16#7f), range(0, 16#d7ff), range(16#e000, 16#10ffff)])), unicode:characters_to_binary(Chars)), byte_size(Text) =< Max).
