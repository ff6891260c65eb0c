%%% The context of a trace as it travels: the fields traceparent and tracestate (W3C Trace Context, level 1 with the flags of level 2), read and written.
%%%
%%% Called by: hornbeam_trace (of a request), hornbeam_trace_spans (drawn_span/0); hornbeam_service_calls, hornbeam_hook_run, hornbeam_service_callbacks, hornbeam_service_rpc,
%%% hornbeam_rpc, hornbeam_rpc_traced (join/1, current/0: the trace of a process, which its logger metadata have). Calls: nothing. What is not drawn, joined or current is pure.
%%%
%%%     traceparent   version "-" trace-id "-" parent-id "-" flags       00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
%%%                   2 digits    32 digits    16 digits     2 digits    all hexadecimal and lower-case; ids are not all zero
%%%     tracestate    key "=" value, separated by commas, 32 at most
%%%
%%% What is malformed is as if it were not there: without a good traceparent both fields are, with a bad tracestate only that. Of a version that
%%% is not known yet what the first one has is read (3.2.4). Of members with the same key the first one stays, which is the latest on the trace's
%%% way (3.3.1.3): the list of a client that did not look is worth more than none. A key may begin with a digit, as level 2 has it.
-module(hornbeam_trace_context).

-export([read/1, parse/1, state/1, drawn/0, drawn_span/0, traceparent/3, first/3, metadata/3, join/1, current/0, digits/1]).
-export_type([id/0, flags/0, parent/0, start/0]).

-define(IS_HEX(C), (C >= $0 andalso C =< $9 orelse C >= $a andalso C =< $f)).
-define(IS_LOWER(C), (C >= $a andalso C =< $z)).
-define(IS_DIGIT(C), (C >= $0 andalso C =< $9)).
-define(IS_FIRST(C), (?IS_LOWER(C) orelse ?IS_DIGIT(C))).
-define(IS_KEY(C), (?IS_FIRST(C) orelse C =:= $_ orelse C =:= $- orelse C =:= $* orelse C =:= $/)).
-define(MAX_56, 16#ffffffffffffff).
-define(MAX_MEMBERS, 32).
-define(MAX_STATE, 8192).

%% As hexadecimal digits.
-type id() :: binary().
%% What a field with what one process draws begins with, and what its span's id does with the dash before it.
-type start() :: {<<_:168>>, <<_:24>>}.
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

%% @doc Of a trace that begins, and of its first span: how their ids begin, and the last 56 bits of both: of each trace there is one such span. They are anew
%% each time, the rest is the calling process' own; of a span the first byte is not zero. They are not a secret, so the quickest generator will do.
-spec drawn() -> {start(), 1..?MAX_56}.
drawn() ->
    {Start, Numbers} = case get(?MODULE) of
        undefined -> start();
        Known -> Known
    end,
    Next = rand:mwc59(Numbers),
    put(?MODULE, {Start, Next}),
    {Start, max(1, rand:mwc59_value(Next) band ?MAX_56)}.

start() ->
    <<Trace:9/binary, Span, Numbers:56>> = rand:bytes(17),
    {{<<"00-", (hex(Trace))/binary>>, <<$-, (hex(<<(max(1, Span))>>))/binary>>}, Numbers + 1}.

hex(Bytes) -> string:lowercase(binary:encode_hex(Bytes)).

%% @doc The id of another span.
-spec drawn_span() -> id().
drawn_span() ->
    {{_, <<$-, Start/binary>>}, Span} = drawn(),
    <<Start/binary, (digits(Span))/binary>>.

%% @doc The field for what is a child of this span.
-spec traceparent(id(), id(), flags()) -> binary().
traceparent(Trace, Span, Flags) ->
    <<"00-", Trace/binary, $-, Span/binary, "-0", ($0 + Flags)>>.

%% @doc The same of what was drawn. All sizes are known, so that it is built at once, of few parts.
-spec first(start(), 1..?MAX_56, flags()) -> binary().
first({OfTraces, OfSpans}, Number, Flags) ->
    High = seven(Number bsr 28),
    Low = seven(Number band 16#fffffff),
    <<OfTraces:21/binary, High:56, Low:56, OfSpans:3/binary, High:56, Low:56, "-0", ($0 + Flags)>>.

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

%% @doc The 14 digits of 56 bits.
-spec digits(0..?MAX_56) -> binary().
digits(Number) ->
    <<(seven(Number bsr 28)):56, (seven(Number band 16#fffffff)):56>>.

%% The seven digits of 28 bits, each in its byte, all of them at once: half the time of one after the other. Numbers of 56 bits are small ones of the VM.
seven(Number) ->
    A = (Number bor (Number bsl 16)) band 16#fff0000ffff,
    B = (A bor (A bsl 8)) band 16#f00ff00ff00ff,
    C = (B bor (B bsl 4)) band 16#f0f0f0f0f0f0f,
    %% Letters are those that 6 more takes beyond four bits; from 9 to "a" it is 39 further than to 10.
    C + 16#30303030303030 + (((C + 16#06060606060606) bsr 4) band 16#01010101010101) * 39.
