%%% Properties of hornbeam_json, run by properties_tests.
-module(prop_hornbeam_json).

-include_lib("proper/include/proper.hrl").

-export([prop_round_trip/0, prop_spaces/0, prop_random/0, prop_changed/0, prop_cut/0]).

prop_round_trip() ->
    numtests(300, ?FORALL(Value, value(), hornbeam_json:decode(encoded(Value)) =:= {ok, Value})).

%% Between any two tokens.
prop_spaces() ->
    ?FORALL({Values, Space}, {list(value()), oneof([<<" ">>, <<"\t\n">>, <<"\r\n  ">>])},
            hornbeam_json:decode(iolist_to_binary([Space, $[, lists:join([Space, $,, Space], [[Space, encoded(Value)] || Value <- Values]), Space, $], Space]))
            =:= {ok, Values}).

%% Anything has an answer, and what is a value can be written again.
prop_random() ->
    numtests(2000, ?FORALL(Bytes, binary(), clean(Bytes))).

prop_changed() ->
    numtests(500, ?FORALL({Value, Byte, Where}, {value(), byte(), float(0.0, 0.999)}, clean(changed(encoded(Value), Byte, Where)))).

prop_cut() ->
    ?FORALL({Value, Where}, {oneof([list(value()), text()]), float(0.0, 0.999)},
            begin
                Text = encoded(Value),
                hornbeam_json:decode(binary:part(Text, 0, trunc(Where * byte_size(Text)))) =:= error
            end).

changed(Text, Byte, Where) ->
    At = trunc(Where * byte_size(Text)),
    <<Before:At/binary, _, After/binary>> = Text,
    <<Before/binary, Byte, After/binary>>.

clean(Text) ->
    case hornbeam_json:decode(Text) of
        error -> true;
        {ok, Value} -> hornbeam_json:decode(encoded(Value)) =:= {ok, Value}
    end.

encoded(Value) -> iolist_to_binary(hornbeam_json:encode(Value)).

value() -> ?SIZED(Size, value(Size)).

value(0) -> oneof([null, boolean(), integer(), float(), text()]);
value(Size) ->
    oneof([value(0), ?LAZY(resize(Size div 2, list(value(Size div 2)))),
           ?LET(Pairs, ?LAZY(resize(Size div 2, list({text(), value(Size div 2)}))), maps:from_list(Pairs))]).

text() -> ?LET(Chars, list(oneof([range(0, 16#7f), range(0, 16#d7ff), range(16#e000, 16#10ffff)])), unicode:characters_to_binary(Chars)).
