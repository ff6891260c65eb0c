%%% The context of a trace as it travels: the fields traceparent and tracestate (W3C Trace Context, level 1 with the flags of level 2), read and written.
%%%
%%% Called by: hornbeam_trace (of a request), hornbeam_trace_spans (hex/1); hornbeam_service_calls, hornbeam_hook_run, hornbeam_service_callbacks, hornbeam_service_rpc,
%%% hornbeam_rpc, hornbeam_rpc_traced (join/1, current/0: the trace of a process, which its logger metadata have). Calls: nothing. The rest is pure.
%%%
%%%     traceparent   version "-" trace-id "-" parent-id "-" flags       00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
%%%                   2 digits    32 digits    16 digits     2 digits    all hexadecimal and lower-case; ids are not all zero
%%%     tracestate    key "=" value, separated by commas, 32 at most
%%%
%%% What is malformed is as if it were not there: without a good traceparent both fields are, with a bad tracestate only that. Of a version that
%%% is not known yet what the first one has is read (3.2.4). Of members with the same key the first one stays, which is the latest on the trace's
%%% way (3.3.1.3): the list of a client that did not look is worth more than none. A key may begin with a digit, as level 2 has it.
-module(hornbeam_trace_context).

-export([read/1, parse/1, state/1, traceparent/3, metadata/3, join/1, current/0, hex/1, digits/1]).
-export_type([id/0, flags/0, parent/0]).

-define(IS_HEX(C), (C >= $0 andalso C =< $9 orelse C >= $a andalso C =< $f)).
-define(IS_LOWER(C), (C >= $a andalso C =< $z)).
-define(IS_DIGIT(C), (C >= $0 andalso C =< $9)).
-define(IS_FIRST(C), (?IS_LOWER(C) orelse ?IS_DIGIT(C))).
-define(IS_KEY(C), (?IS_FIRST(C) orelse C =:= $_ orelse C =:= $- orelse C =:= $* orelse C =:= $/)).
%% The two digits of each byte: half the time of one after the other.
-define(HEX, {
    16#3030, 16#3031, 16#3032, 16#3033, 16#3034, 16#3035, 16#3036, 16#3037, 16#3038, 16#3039, 16#3061, 16#3062, 16#3063, 16#3064, 16#3065, 16#3066,
    16#3130, 16#3131, 16#3132, 16#3133, 16#3134, 16#3135, 16#3136, 16#3137, 16#3138, 16#3139, 16#3161, 16#3162, 16#3163, 16#3164, 16#3165, 16#3166,
    16#3230, 16#3231, 16#3232, 16#3233, 16#3234, 16#3235, 16#3236, 16#3237, 16#3238, 16#3239, 16#3261, 16#3262, 16#3263, 16#3264, 16#3265, 16#3266,
    16#3330, 16#3331, 16#3332, 16#3333, 16#3334, 16#3335, 16#3336, 16#3337, 16#3338, 16#3339, 16#3361, 16#3362, 16#3363, 16#3364, 16#3365, 16#3366,
    16#3430, 16#3431, 16#3432, 16#3433, 16#3434, 16#3435, 16#3436, 16#3437, 16#3438, 16#3439, 16#3461, 16#3462, 16#3463, 16#3464, 16#3465, 16#3466,
    16#3530, 16#3531, 16#3532, 16#3533, 16#3534, 16#3535, 16#3536, 16#3537, 16#3538, 16#3539, 16#3561, 16#3562, 16#3563, 16#3564, 16#3565, 16#3566,
    16#3630, 16#3631, 16#3632, 16#3633, 16#3634, 16#3635, 16#3636, 16#3637, 16#3638, 16#3639, 16#3661, 16#3662, 16#3663, 16#3664, 16#3665, 16#3666,
    16#3730, 16#3731, 16#3732, 16#3733, 16#3734, 16#3735, 16#3736, 16#3737, 16#3738, 16#3739, 16#3761, 16#3762, 16#3763, 16#3764, 16#3765, 16#3766,
    16#3830, 16#3831, 16#3832, 16#3833, 16#3834, 16#3835, 16#3836, 16#3837, 16#3838, 16#3839, 16#3861, 16#3862, 16#3863, 16#3864, 16#3865, 16#3866,
    16#3930, 16#3931, 16#3932, 16#3933, 16#3934, 16#3935, 16#3936, 16#3937, 16#3938, 16#3939, 16#3961, 16#3962, 16#3963, 16#3964, 16#3965, 16#3966,
    16#6130, 16#6131, 16#6132, 16#6133, 16#6134, 16#6135, 16#6136, 16#6137, 16#6138, 16#6139, 16#6161, 16#6162, 16#6163, 16#6164, 16#6165, 16#6166,
    16#6230, 16#6231, 16#6232, 16#6233, 16#6234, 16#6235, 16#6236, 16#6237, 16#6238, 16#6239, 16#6261, 16#6262, 16#6263, 16#6264, 16#6265, 16#6266,
    16#6330, 16#6331, 16#6332, 16#6333, 16#6334, 16#6335, 16#6336, 16#6337, 16#6338, 16#6339, 16#6361, 16#6362, 16#6363, 16#6364, 16#6365, 16#6366,
    16#6430, 16#6431, 16#6432, 16#6433, 16#6434, 16#6435, 16#6436, 16#6437, 16#6438, 16#6439, 16#6461, 16#6462, 16#6463, 16#6464, 16#6465, 16#6466,
    16#6530, 16#6531, 16#6532, 16#6533, 16#6534, 16#6535, 16#6536, 16#6537, 16#6538, 16#6539, 16#6561, 16#6562, 16#6563, 16#6564, 16#6565, 16#6566,
    16#6630, 16#6631, 16#6632, 16#6633, 16#6634, 16#6635, 16#6636, 16#6637, 16#6638, 16#6639, 16#6661, 16#6662, 16#6663, 16#6664, 16#6665, 16#6666}).
-define(DIGITS(Byte), element(Byte + 1, ?HEX)).
-define(MAX_MEMBERS, 32).
-define(MAX_STATE, 8192).

%% As hexadecimal digits.
-type id() :: binary().
%% 1: sampled. 2: the trace-id is random.
-type flags() :: 0..3.
-type parent() :: {TraceId :: id(), SpanId :: id(), flags()}.

%% @doc What the fields of a request say: of which span it is a child, and the tracestate.
-spec read([{binary(), binary()}]) -> {parent() | none, State :: binary() | none}.
read(Fields) ->
    case [Value || {<<"traceparent">>, Value} <- Fields] of
        [Value] ->
            case parse(Value) of
                {ok, Parent} -> {Parent, state([State || {<<"tracestate">>, State} <- Fields])};
                error -> {none, none}
            end;
        _ ->
            {none, none}
    end.

-spec parse(binary()) -> {ok, parent()} | error.
parse(<<Version:2/binary, $-, Trace:32/binary, $-, Span:16/binary, $-, Flags:2/binary, Rest/binary>>) ->
    Is = Version =/= <<"ff">> andalso is_hex(Version) andalso is_hex(Flags) andalso is_id(Trace) andalso is_id(Span)
        andalso is_rest(Version, Rest),
    case Is of
        true -> {ok, {Trace, Span, binary_to_integer(Flags, 16) band known(Version)}};
        false -> error
    end;
parse(_) ->
    error.

%% Of another version only the first flag is known.
known(<<"00">>) -> 3;
known(_) -> 1.

is_rest(_Version, <<>>) -> true;
is_rest(<<"00">>, _) -> false;
is_rest(_Later, <<$-, _/binary>>) -> true;
is_rest(_Later, _) -> false.

is_id(<<"00000000000000000000000000000000">>) -> false;
is_id(<<"0000000000000000">>) -> false;
is_id(Id) -> is_hex(Id).

is_hex(<<C, Rest/binary>>) when ?IS_HEX(C) -> is_hex(Rest);
is_hex(Rest) -> Rest =:= <<>>.

%% @doc The values of tracestate, in their order, as one (RFC 9110, 5.3); none where they say nothing or are not what they should be.
-spec state([binary()]) -> binary() | none.
state(Values) ->
    State = iolist_to_binary(lists:join($,, Values)),
    Members = members(State),
    Keys = [key(Member) || Member <- Members],
    case Keys =/= [] andalso length(Keys) =< ?MAX_MEMBERS andalso not lists:member(none, Keys) of
        true -> without_repeated(State, lists:zip(Keys, Members));
        false -> none
    end.

members(State) when byte_size(State) > ?MAX_STATE -> [];
members(State) ->
    [Member || Given <- binary:split(State, <<",">>, [global]), Member <- [string:trim(Given, both, " \t")], Member =/= <<>>].

%% As it came, where no key is there twice.
without_repeated(State, Members) ->
    case length(lists:ukeysort(1, Members)) =:= length(Members) of
        true -> State;
        false -> iolist_to_binary(lists:join($,, first_ones(Members)))
    end.

first_ones([]) -> [];
first_ones([{Key, Member} | Members]) -> [Member | first_ones([Other || {Another, _} = Other <- Members, Another =/= Key])].

key(Member) ->
    case binary:split(Member, <<"=">>) of
        [Key, Value] ->
            case is_key(Key) andalso is_value(Value) of
                true -> Key;
                false -> none
            end;
        _ ->
            none
    end.

%% A vendor's, or one of several of its tenants (3.3.1.3.1).
is_key(<<C, _/binary>> = Key) ->
    case binary:split(Key, <<"@">>) of
        [Name] -> ?IS_FIRST(C) andalso byte_size(Name) =< 256 andalso is_key_chars(Name);
        [Tenant, <<S, _/binary>> = System] ->
            ?IS_FIRST(C) andalso ?IS_FIRST(S) andalso byte_size(Tenant) =< 241 andalso byte_size(System) =< 14
                andalso is_key_chars(Tenant) andalso is_key_chars(System);
        _ -> false
    end;
is_key(<<>>) ->
    false.

is_key_chars(<<C, Rest/binary>>) when ?IS_KEY(C) -> is_key_chars(Rest);
is_key_chars(Rest) -> Rest =:= <<>>.

is_value(Value) -> Value =/= <<>> andalso byte_size(Value) =< 256 andalso is_value_chars(Value).

is_value_chars(<<C, Rest/binary>>) when C >= $\s, C =< $~, C =/= $, , C =/= $= -> is_value_chars(Rest);
is_value_chars(Rest) -> Rest =:= <<>>.

%% @doc The field for what is a child of this span.
-spec traceparent(id(), id(), flags()) -> binary().
traceparent(Trace, Span, Flags) ->
    <<"00-", Trace/binary, $-, Span/binary, "-0", ($0 + Flags)>>.

%% @doc The calling process is a part of that trace from now on: what it logs says so, and what it calls. As current/0 has it.
-spec join([term()]) -> ok.
join([Traceparent]) when is_binary(Traceparent) ->
    case parse(Traceparent) of
        {ok, {Trace, Span, Flags}} -> logger:update_process_metadata(metadata(Trace, Span, Flags));
        error -> ok
    end;
join(_) ->
    ok.

%% @doc Of log events.
-spec metadata(id(), id(), flags()) -> #{trace_id := id(), span_id := id(), traceparent := binary()}.
metadata(Trace, Span, Flags) ->
    #{trace_id => Trace, span_id => Span, traceparent => traceparent(Trace, Span, Flags)}.

%% @doc The traceparent of the calling process, where it has one.
-spec current() -> [binary()].
current() ->
    case logger:get_process_metadata() of
        #{traceparent := Traceparent} -> [Traceparent];
        _ -> []
    end.

%% @doc As ids are written.
-spec hex(binary()) -> binary().
hex(Bytes) -> << <<(?DIGITS(Byte)):16>> || <<Byte>> <= Bytes >>.

%% @doc The 14 digits of 56 bits.
-spec digits(0..16#FFFFFFFFFFFFFF) -> binary().
digits(Number) ->
    <<A, B, C, D, E, F, G>> = <<Number:56>>,
    <<(?DIGITS(A)):16, (?DIGITS(B)):16, (?DIGITS(C)):16, (?DIGITS(D)):16, (?DIGITS(E)):16, (?DIGITS(F)):16, (?DIGITS(G)):16>>.
