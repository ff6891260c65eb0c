%%% Spans as OTLP has them (opentelemetry-proto 1.x: trace.proto, common.proto, resource.proto), as protobuf or as JSON.
%%%
%%% Called by: hornbeam_trace_exporter. Calls: hornbeam_json. Pure.
%%%
%%%     ExportTraceServiceRequest { 1 resource_spans { 1 resource { 1 attributes }
%%%                                                    2 scope_spans { 1 scope { 1 name, 2 version }, 2 spans } } }
%%%     Span   1 trace_id, 2 span_id: bytes   3 trace_state   4 parent_span_id   5 name   6 kind   7 start, 8 end: fixed64, ns
%%%            9 attributes { 1 key, 2 value { 1 string, 2 bool, 3 int, 4 double } }   15 status { 3 code }   16 flags: fixed32
%%%
%%% As JSON: names in camel case, ids as hexadecimal digits, 64-bit numbers as text, enumerations as numbers (OTLP, "JSON Protobuf Encoding").
-module(hornbeam_trace_otlp).

-export([encode/4, content_type/1]).
-export_type([format/0, span/0, attribute/0]).

-type format() :: protobuf | json.
-type attribute() :: {binary(), binary() | integer() | boolean() | float()}.
%% ids: hexadecimal. Times: ns since 1970. remote: whether the parent is in another process.
-type span() :: #{trace_id := binary(), span_id := binary(), parent := binary() | none, remote := boolean(), state := binary() | none,
                  flags := 0..3, name := binary(), kind := internal | server, start := integer(), 'end' := integer(),
                  attributes := [attribute()], failed := boolean()}.

-define(VARINT, 0).
-define(FIXED64, 1).
-define(BYTES, 2).
-define(FIXED32, 5).
-define(ERROR, 2).
%% Of a span's flags: it is known whether the parent is remote, and it is.
-define(HAS_REMOTE, 16#100).
-define(IS_REMOTE, 16#200).

-spec content_type(format()) -> binary().
content_type(protobuf) -> <<"application/x-protobuf">>;
content_type(json) -> <<"application/json">>.

%% @doc The body of a request to /v1/traces.
-spec encode(format(), Resource :: [attribute()], Version :: binary(), [span()]) -> iodata().
encode(protobuf, Resource, Version, Spans) ->
    Scope = [field(1, <<"hornbeam">>), field(2, Version)],
    field(1, [field(1, attributes(1, Resource)), field(2, [field(1, Scope) | [field(2, iolist_to_binary(span(Span))) || Span <- Spans]])]);
encode(json, Resource, Version, Spans) ->
    Scope = #{name => <<"hornbeam">>, version => Version},
    hornbeam_json:encode(#{'resourceSpans' => [#{resource => #{attributes => json_attributes(Resource)},
                                                 'scopeSpans' => [#{scope => Scope, spans => [json_span(Span) || Span <- Spans]}]}]}).

%%% Protobuf: fields with their default value are left out. What a field is in says how long it is: so a span is made one binary, which nobody counts again

span(#{trace_id := Trace, span_id := Id, parent := Parent, state := State, name := Name, kind := Kind, start := Start, 'end' := End,
       attributes := Attributes, failed := Failed} = Span) ->
    [field(1, id(Trace)), field(2, id(Id)), [field(3, State) || State =/= none],
     [field(4, id(Parent)) || Parent =/= none], field(5, Name), number(6, kind(Kind)), fixed64(7, Start), fixed64(8, End),
     attributes(9, Attributes), [field(15, number(3, ?ERROR)) || Failed], key(16, ?FIXED32), <<(flags(Span)):32/little>>].

%% As one number: binary:decode_hex/1 takes each byte by itself, ten times as long.
id(Digits) -> <<(binary_to_integer(Digits, 16)):(byte_size(Digits) * 4)>>.

kind(internal) -> 1;
kind(server) -> 2.

flags(#{flags := Flags, remote := true}) -> Flags bor ?HAS_REMOTE bor ?IS_REMOTE;
flags(#{flags := Flags}) -> Flags bor ?HAS_REMOTE.

attributes(Number, Attributes) ->
    [field(Number, [field(1, Key), field(2, value(Value))]) || {Key, Value} <- Attributes].

%% One of several kinds: here the default value is not left out.
value(Text) when is_binary(Text) -> field(1, Text);
value(true) -> number(2, 1);
value(false) -> number(2, 0);
value(N) when is_integer(N) -> number(3, N band 16#ffffffffffffffff);
value(N) when is_float(N) -> [key(4, ?FIXED64), <<N:64/float-little>>].

field(Number, Content) -> [key(Number, ?BYTES), varint(iolist_size(Content)) | Content].

number(Number, N) -> [key(Number, ?VARINT), varint(N)].

fixed64(Number, N) -> [key(Number, ?FIXED64), <<N:64/little>>].

key(Number, Type) -> varint(Number bsl 3 bor Type).

varint(N) when N < 128 -> [N];
varint(N) -> [N band 127 bor 128 | varint(N bsr 7)].

%%% JSON

json_span(#{trace_id := Trace, span_id := Id, parent := Parent, state := State, name := Name, kind := Kind, start := Start, 'end' := End,
            attributes := Attributes, failed := Failed} = Span) ->
    maps:from_list(
        [{'traceId', Trace}, {'spanId', Id}, {name, Name}, {kind, kind(Kind)}, {'startTimeUnixNano', integer_to_binary(Start)},
         {'endTimeUnixNano', integer_to_binary(End)}, {attributes, json_attributes(Attributes)}, {flags, flags(Span)}]
        ++ [{'traceState', State} || State =/= none] ++ [{'parentSpanId', Parent} || Parent =/= none]
        ++ [{status, #{code => ?ERROR}} || Failed]).

json_attributes(Attributes) ->
    [#{key => Key, value => json_value(Value)} || {Key, Value} <- Attributes].

json_value(Text) when is_binary(Text) -> #{'stringValue' => Text};
json_value(Flag) when is_boolean(Flag) -> #{'boolValue' => Flag};
json_value(N) when is_integer(N) -> #{'intValue' => integer_to_binary(N)};
json_value(N) when is_float(N) -> #{'doubleValue' => N}.
