%%% The trace of one request: of whom it is a child, whether its spans are sent, what the application and the client are told of it.
%%%
%%% Called by: hornbeam_observe, in the connection's process, where the option `trace' is on. Calls: hornbeam_trace_context, hornbeam_trace_settings,
%%% hornbeam_trace_exporter (put/2).
%%%
%%% Where spans go somewhere, the server's span is a child of the one that traceparent names, and what the application finds in its place
%%% names the server's. Where they do not, a traceparent of the client's stays as it is: a span that nobody gets must not be anybody's parent.
%%% Sampled is what the parent says; without one the share `trace_sample' of all, by the trace's id, so that all servers of one share agree.
-module(hornbeam_trace).

-export([settings/2, open/2, metadata/1, respond/2, ids/1, sampled_id/1, ended/2]).
-export_type([settings/0, trace/0]).

-include("hornbeam_head.hrl").

-define(BITS_56, 16#100000000000000).

%% below: ids whose last 56 bits are less than this are sampled.
-type settings() :: #{below := non_neg_integer(), export := none | hornbeam_trace_exporter:ref(), response := boolean(), sentry := boolean()}.

-record(trace, {
    trace_id :: hornbeam_trace_context:id(),
    span_id :: hornbeam_trace_context:id(),
    parent :: hornbeam_trace_context:id() | none,
    flags :: hornbeam_trace_context:flags(),
    state :: binary() | none,
    settings :: settings(),
    text :: binary()                        % as traceparent has it
}).
-opaque trace() :: #trace{}.

-spec settings(Name :: atom(), Config :: map()) -> none | settings().
settings(_Name, #{trace := false}) ->
    none;
settings(Name, #{trace := true, trace_sample := Share, trace_response := Response, trace_sentry := Sentry} = Config) ->
    Export = case hornbeam_trace_settings:is_exported(Config) of
        true -> hornbeam_trace_exporter:ref(Name);
        false -> none
    end,
    #{below => round(Share * ?BITS_56), export => Export, response => Response, sentry => Sentry}.

%% @doc The request as the application gets it, and its trace.
-spec open(#head{}, settings()) -> {#head{}, trace()}.
open(#head{fields = Fields} = Head, Settings) ->
    {Parent, State} = hornbeam_trace_context:read(Fields),
    Trace = begun(Parent, State, Settings),
    {Head#head{fields = fields(Trace, State, Fields)}, Trace}.

begun(none, _State, #{below := Below} = Settings) ->
    {Connection, Low, Span} = random(),
    Flags = case Low < Below of true -> 1; false -> 0 end,
    Id = <<Connection/binary, (hornbeam_trace_context:digits(Low))/binary>>,
    begun({Id, Span, Flags}, none, none, Settings);
begun({_, _, _} = Parent, State, #{export := none} = Settings) ->
    begun(Parent, none, State, Settings);
begun({Id, Parent, Flags}, State, Settings) ->
    {_, _, Span} = random(),
    begun({Id, Span, Flags}, Parent, State, Settings).

begun({Id, Span, Flags}, Parent, State, Settings) ->
    #trace{trace_id = Id, span_id = Span, parent = Parent, flags = Flags, state = State, settings = Settings,
           text = hornbeam_trace_context:traceparent(Id, Span, Flags)}.

%% Of an id of a trace the last 56 bits are anew for each request, and all others for each connection; so it is with those of spans, of which the
%% first byte is not zero. Not a secret, so the quick generator will do.
random() ->
    Connection = case get(?MODULE) of
        undefined ->
            Made = {hornbeam_trace_context:hex(rand:bytes(9)), hornbeam_trace_context:hex(<<(rand:uniform(255))>>)},
            put(?MODULE, Made),
            Made;
        Known ->
            Known
    end,
    {OfTraces, OfSpans} = Connection,
    {OfTraces, draw(), <<OfSpans/binary, (hornbeam_trace_context:digits(draw()))/binary>>}.

%% An id of a trace is not all zero either.
draw() -> rand:uniform(?BITS_56 - 1).

fields(#trace{settings = #{sentry := Sentry}} = Trace, State, Fields0) ->
    Given = [{<<"traceparent">>, traceparent(Trace)} | [{<<"tracestate">>, State} || State =/= none]],
    Fields = [Field || {Name, _} = Field <- Fields0, Name =/= <<"traceparent">>, Name =/= <<"tracestate">>],
    Fields ++ Given ++ [{<<"sentry-trace">>, sentry(Trace)} || Sentry, not lists:keymember(<<"sentry-trace">>, 1, Fields)].

traceparent(#trace{text = Text}) -> Text.

sentry(#trace{trace_id = Id, span_id = Span, flags = Flags}) -> <<Id/binary, $-, Span/binary, $-, ($0 + Flags band 1)>>.

%% @doc For what is logged meanwhile.
-spec metadata(trace()) -> map().
metadata(#trace{trace_id = Id, span_id = Span, text = Text}) -> #{trace_id => Id, span_id => Span, traceparent => Text}.

-spec ids(trace()) -> {hornbeam_trace_context:id(), hornbeam_trace_context:id()}.
ids(#trace{trace_id = Id, span_id = Span}) -> {Id, Span}.

%% @doc The id of one whose spans can be looked at.
-spec sampled_id(trace()) -> hornbeam_trace_context:id() | none.
sampled_id(#trace{trace_id = Id, flags = Flags}) when Flags band 1 =:= 1 -> Id;
sampled_id(_Trace) -> none.

%% @doc The response's fields, with traceresponse where it is wanted and the application has not said it.
-spec respond([{binary(), iodata()}], trace()) -> [{binary(), iodata()}].
respond(Headers, #trace{settings = #{response := true}} = Trace) ->
    case lists:keymember(<<"traceresponse">>, 1, Headers) of
        true -> Headers;
        false -> Headers ++ [{<<"traceresponse">>, traceparent(Trace)}]
    end;
respond(Headers, _Trace) ->
    Headers.

%% @doc The request is over; what it was is asked for where its spans are sent.
-spec ended(fun(() -> hornbeam_trace_spans:facts()), trace()) -> ok.
ended(Facts, #trace{settings = #{export := Ref}, flags = Flags, trace_id = Id, span_id = Span, parent = Parent, state = State})
        when Ref =/= none, Flags band 1 =:= 1 ->
    hornbeam_trace_exporter:put(Ref, {{Id, Span, Parent, Flags, State}, Facts()});
ended(_Facts, _Trace) ->
    ok.
