%%% Figures as text: Prometheus' format (0.0.4) and OpenMetrics 1.0.
%%%
%%% Called by: hornbeam_metrics_text. Calls: hornbeam_preferences (choose/1). Pure.
%%%
%%% The two differ in little: OpenMetrics names a counter without `_total', which its samples have, escapes quotes in help texts,
%%% has exemplars, and ends with `# EOF'.
-module(hornbeam_metrics_format).

-export([render/2, choose/1, content_type/1]).
-export_type([format/0, family/0, sample/0]).

-type format() :: text | openmetrics.
%% A counter's name ends in `_total'.
-type family() :: {Name :: binary(), counter | gauge | histogram | summary, Help :: binary(), [sample()]}.
-type sample() :: {Suffix :: iodata(), Labels :: [{iodata(), iodata()}], number()}
                | {Suffix :: iodata(), Labels :: [{iodata(), iodata()}], number(), exemplar()}.
%% The id of a trace, the value that was observed in it, and when (ms since the epoch).
-type exemplar() :: {TraceId :: binary(), number(), Milliseconds :: integer()}.

-spec render(format(), [family()]) -> iodata().
render(Format, Families) ->
    [[family(Format, Family) || Family <- Families], [<<"# EOF\n">> || Format =:= openmetrics]].

family(Format, {Name, Type, Help, Samples}) ->
    Called = called(Format, Type, Name),
    [["# HELP ", Called, $\s, help(Format, Help), "\n# TYPE ", Called, $\s, atom_to_binary(Type), $\n],
     [line(Format, Name, Sample) || Sample <- Samples]].

called(openmetrics, counter, Name) -> binary:part(Name, 0, byte_size(Name) - byte_size(<<"_total">>));
called(_Format, _Type, Name) -> Name.

line(Format, Name, {Suffix, Labels, Value, {Trace, Observed, Time}}) when Format =:= openmetrics ->
    [Name, Suffix, labels(Labels), $\s, number(Value), " # {trace_id=\"", escape(Trace), "\"} ", number(Observed), $\s,
     io_lib:format("~.3f", [Time / 1000]), $\n];
line(_Format, Name, {Suffix, Labels, Value, _Exemplar}) ->
    [Name, Suffix, labels(Labels), $\s, number(Value), $\n];
line(_Format, Name, {Suffix, Labels, Value}) ->
    [Name, Suffix, labels(Labels), $\s, number(Value), $\n].

labels([]) -> [];
labels(Labels) -> [${, lists:join($,, [[Key, "=\"", escape(Value), $"] || {Key, Value} <- Labels]), $}].

help(openmetrics, Help) -> escape(Help);
help(text, Help) -> escaped(Help, [<<"\\">>, <<"\n">>]).

escape(Value) ->
    escaped(Value, [<<"\\">>, <<"\n">>, <<"\"">>]).

%% Most have nothing to escape.
escaped(Value, Special) ->
    Bytes = iolist_to_binary(Value),
    case binary:match(Bytes, Special) of
        nomatch -> Bytes;
        _ -> << <<(character(C, Special))/binary>> || <<C>> <= Bytes >>
    end.

character($\\, _Special) -> <<"\\\\">>;
character($\n, _Special) -> <<"\\n">>;
character($", [_, _, _]) -> <<"\\\"">>;
character(C, _Special) -> <<C>>.

number(Value) when is_integer(Value) -> integer_to_binary(Value);
number(Value) -> io_lib:format("~w", [Value]).

%% @doc What a client that sends these fields gets: OpenMetrics if it asks for that, and likes it no less than text.
-spec choose(hornbeam_headers:headers()) -> format().
choose(Fields) ->
    Offers = hornbeam_preferences:offers(<<"accept">>, Fields),
    Open = hornbeam_preferences:weight(<<"application/openmetrics-text">>, Offers, 0),
    case Open > 0 andalso Open >= hornbeam_preferences:weight(<<"text/plain">>, Offers, 0) of
        true -> openmetrics;
        false -> text
    end.

-spec content_type(format()) -> binary().
content_type(text) -> <<"text/plain; version=0.0.4; charset=utf-8">>;
content_type(openmetrics) -> <<"application/openmetrics-text; version=1.0.0; charset=utf-8">>.
