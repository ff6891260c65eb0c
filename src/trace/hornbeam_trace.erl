%%% The trace of one request: of whom it is a child, whether its spans are sent, what the application and the client are told of it.
%%%
%%% Called by: hornbeam_observe, in the connection's process, where the option `trace' is on. Calls: hornbeam_trace_context, hornbeam_trace_settings,
%%% hornbeam_trace_exporter (put/2).
%%%
%%% Where spans go somewhere, the server's span is a child of the one that traceparent names, and what the application finds in its place
%%% names the server's. Where they do not, a traceparent of the client's stays as it is: a span that nobody gets must not be anybody's parent.
%%% Sampled is what the parent says; without one the share `trace_sample' of all, by the trace's id, so that all servers of one share agree.
%%%
%%% All requests have a trace, and of most nobody asks for more than its field: so that is what is kept, and ids are parts of it.
-module(hornbeam_trace).

-export([settings/2, open/2, metadata/1, respond/3, ids/1, is_sampled/1, sampled_id/1, ended/3]).
-export_type([settings/0, trace/0]).

-include("hornbeam_head.hrl").

-define(BITS_56, 16#100000000000000).
-define(PARENT, <<"traceparent">>).
-define(STATE, <<"tracestate">>).

%% below: ids whose last 56 bits are less than this are sampled.
-record(settings, {below :: non_neg_integer(), export :: none | hornbeam_trace_exporter:ref(), response :: boolean(), sentry :: boolean()}).
-opaque settings() :: #settings{}.

-compile({inline, [first/1, text/1, with_sentry/3]}).

-record(trace, {
    text :: binary(),                       % as traceparent has it
    flags :: hornbeam_trace_context:flags(),
    parent = none :: hornbeam_trace_context:id() | none,
    state = none :: binary() | none
}).
%% Of one that began here and is not sampled, as nearly all are, there is no more to keep than its field.
-opaque trace() :: binary() | #trace{}.

-spec settings(Name :: atom(), Config :: map()) -> none | settings().
settings(_Name, #{trace := false}) ->
    none;
settings(Name, #{trace := true, trace_sample := Share, trace_response := Response, trace_sentry := Sentry} = Config) ->
    Export = case hornbeam_trace_settings:is_exported(Config) of
        true -> hornbeam_trace_exporter:ref(Name);
        false -> none
    end,
    #settings{below = round(Share * ?BITS_56), export = Export, response = Response, sentry = Sentry}.

%% @doc The request as the application gets it, and its trace. traceparent stands before all other fields: who looks for it finds it at once.
-spec open(#head{}, settings()) -> {#head{}, trace()}.
open(#head{fields = Fields0} = Head, Settings) ->
    {Trace, Fields} = case is_told(Fields0) of
        false -> {first(Settings), Fields0};
        true -> child(hornbeam_trace_context:read(Fields0), [Field || {Name, _} = Field <- Fields0, Name =/= ?PARENT, Name =/= ?STATE], Settings)
    end,
    {Head#head{fields = [{?PARENT, text(Trace)} | with_sentry(Trace, Fields, Settings)]}, Trace}.

text(#trace{text = Text}) -> Text;
text(Text) -> Text.

flags(#trace{flags = Flags}) -> Flags;
flags(_Text) -> 0.

%% Most clients send neither field. Names are compared where their sizes are equal.
is_told([{Name, _} | Rest]) ->
    case byte_size(Name) of
        11 -> Name =:= ?PARENT orelse is_told(Rest);
        10 -> Name =:= ?STATE orelse is_told(Rest);
        _ -> is_told(Rest)
    end;
is_told([]) -> false.

first(#settings{below = Below}) ->
    case hornbeam_trace_context:drawn() of
        {Start, Number} when Number < Below -> #trace{text = hornbeam_trace_context:first(Start, Number, 1), flags = 1};
        {Start, Number} -> hornbeam_trace_context:first(Start, Number, 0)
    end.

child({none, _}, Fields, Settings) ->
    {first(Settings), Fields};
child({{Id, Parent, Flags}, State}, Fields, #settings{export = Export}) ->
    Trace = case Export of
        none -> #trace{text = hornbeam_trace_context:traceparent(Id, Parent, Flags), flags = Flags};
        _ -> #trace{text = hornbeam_trace_context:traceparent(Id, hornbeam_trace_context:drawn_span(), Flags), flags = Flags, parent = Parent}
    end,
    {Trace#trace{state = State}, [{?STATE, State} || State =/= none] ++ Fields}.

with_sentry(_Trace, Fields, #settings{sentry = false}) -> Fields;
with_sentry(Trace, Fields, _Settings) ->
    case lists:keymember(<<"sentry-trace">>, 1, Fields) of
        true -> Fields;
        false ->
            {Id, Span} = ids(Trace),
            [{<<"sentry-trace">>, <<Id/binary, $-, Span/binary, $-, ($0 + flags(Trace) band 1)>>} | Fields]
    end.

%% @doc For what is logged meanwhile. Ids are made of it where something is (hornbeam_log_format:traced/1): most requests log nothing.
-spec metadata(trace()) -> #{traceparent := binary()}.
metadata(Trace) ->
    #{traceparent => text(Trace)}.

-spec ids(trace()) -> {hornbeam_trace_context:id(), hornbeam_trace_context:id()}.
ids(Trace) ->
    Text = text(Trace),
    {binary_part(Text, 3, 32), binary_part(Text, 36, 16)}.

%% @doc Whether its spans can be looked at.
-spec is_sampled(trace()) -> boolean().
is_sampled(#trace{flags = Flags}) -> Flags band 1 =:= 1;
is_sampled(_Text) -> false.

%% @doc The id of one whose spans can be.
-spec sampled_id(trace()) -> hornbeam_trace_context:id() | none.
sampled_id(Trace) ->
    case is_sampled(Trace) of
        true -> binary:copy(element(1, ids(Trace)));
        false -> none
    end.

%% @doc The response's fields, with traceresponse where it is wanted and the application has not said it.
-spec respond([{binary(), iodata()}], trace(), settings()) -> [{binary(), iodata()}].
respond(Headers, _Trace, #settings{response = false}) ->
    Headers;
respond(Headers, Trace, _Settings) ->
    case lists:keymember(<<"traceresponse">>, 1, Headers) of
        true -> Headers;
        false -> Headers ++ [{<<"traceresponse">>, text(Trace)}]
    end.

%% @doc The request is over, and this is what it was. Of one that is sampled.
-spec ended(hornbeam_trace_spans:facts(), trace(), settings()) -> ok.
ended(_Facts, _Trace, #settings{export = none}) ->
    ok;
ended(Facts, #trace{flags = Flags, parent = Parent, state = State} = Trace, #settings{export = Ref}) ->
    {Id, Span} = ids(Trace),
    hornbeam_trace_exporter:put(Ref, {{Id, Span, Parent, Flags, State}, Facts}).
