%%% Where the spans of a server go, and what they say of it: from the options and the environment variables of OpenTelemetry.
%%%
%%% Called by: hornbeam_trace (is_exported/1), hornbeam_trace_exporter (export/1). Calls: nothing.
%%%
%%% The variables are read with the option trace only, so that those of an application that exports its own spans change nothing.
%%% OTEL_EXPORTER_OTLP_TRACES_X goes before OTEL_EXPORTER_OTLP_X; an option goes before both. OTEL_SDK_DISABLED=true and
%%% OTEL_TRACES_EXPORTER=none turn the export off. What OTLP over gRPC asks for is sent over HTTP, with a warning.
-module(hornbeam_trace_settings).

-export([is_exported/1, export/1]).
-export_type([export/0]).

%% certificate: file of authorities; none: those of the machine. timeout: of one try, in ms.
-type export() :: #{url := binary(), format := hornbeam_trace_otlp:format(), headers := [{binary(), binary()}], gzip := boolean(),
                    certificate := string() | none, timeout := pos_integer(), resource := [hornbeam_trace_otlp:attribute()]}.

-define(TIMEOUT, 10000).

-spec is_exported(Config :: map()) -> boolean().
is_exported(#{trace := true} = Config) -> url(Config) =/= none;
is_exported(_Config) -> false.

-spec export(Config :: map()) -> none | export().
export(Config) ->
    case is_exported(Config) of
        true ->
            #{url => url(Config), format => format(Config), headers => headers(Config), gzip => otlp("COMPRESSION") =:= "gzip",
              certificate => case otlp("CERTIFICATE") of "" -> none; File -> File end, timeout => timeout(otlp("TIMEOUT")),
              resource => resource(Config)};
        false ->
            none
    end.

url(#{trace_endpoint := Given}) ->
    Off = string:lowercase(os:getenv("OTEL_SDK_DISABLED", "")) =:= "true" orelse os:getenv("OTEL_TRACES_EXPORTER", "") =:= "none",
    case {Off, Given, os:getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""), os:getenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")} of
        {true, _, _, _} -> none;
        {_, <<_, _/binary>>, _, _} -> Given;
        {_, _, [_ | _] = Traces, _} -> valid(Traces);
        {_, _, _, [_ | _] = All} -> valid(string:trim(All, trailing, "/") ++ "/v1/traces");
        _ -> none
    end.

valid(Text) ->
    Url = unicode:characters_to_binary(Text),
    case uri_string:parse(Url) of
        #{scheme := Scheme, host := Host} when Scheme =:= <<"http">>, Host =/= <<>>; Scheme =:= <<"https">>, Host =/= <<>> -> Url;
        _ -> none
    end.

format(#{trace_protocol := Format}) when Format =/= auto -> Format;
format(_) ->
    case otlp("PROTOCOL") of
        "http/json" -> json;
        Known when Known =:= ""; Known =:= "http/protobuf" -> protobuf;
        Other -> logger:warning("spans are sent by OTLP over HTTP as protobuf: OTEL_EXPORTER_OTLP_PROTOCOL says ~ts", [Other]), protobuf
    end.

headers(#{trace_headers := Given}) ->
    Own = [pair(Text) || Text <- Given],
    Of = [Pair || Text <- string:split(otlp("HEADERS"), ",", all), {_, _} = Pair <- [listed(Text)]],
    Own ++ [Pair || {Name, _} = Pair <- Of, not lists:keymember(Name, 1, Own)].

pair(Text) ->
    [Name, Value] = binary:split(Text, <<"=">>),
    {string:lowercase(Name), Value}.

%% As W3C Baggage has it: NAME=VALUE, percent-encoded.
listed(Text) ->
    case string:split(string:trim(Text), "=") of
        [[_ | _] = Name, Value] -> {unicode:characters_to_binary(string:lowercase(string:trim(Name))), decoded(string:trim(Value))};
        _ -> none
    end.

decoded(Value) ->
    Text = unicode:characters_to_binary(Value),
    case uri_string:percent_decode(Text) of
        Decoded when is_binary(Decoded) -> Decoded;
        _ -> Text
    end.

timeout(Text) ->
    case string:to_integer(Text) of
        {Time, ""} when is_integer(Time), Time > 0 -> Time;
        _ -> ?TIMEOUT
    end.

otlp(Name) ->
    case os:getenv("OTEL_EXPORTER_OTLP_TRACES_" ++ Name, "") of
        "" -> os:getenv("OTEL_EXPORTER_OTLP_" ++ Name, "");
        Value -> Value
    end.

%% The service's name: the option, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, the application's module.
resource(#{trace_service := Option, app := App, name := Server}) ->
    Given = [Pair || Text <- string:split(os:getenv("OTEL_RESOURCE_ATTRIBUTES", ""), ",", all), {_, _} = Pair <- [listed(Text)]],
    Variable = unicode:characters_to_binary(os:getenv("OTEL_SERVICE_NAME", "")),
    Names = [Name || Name <- [Option, Variable, proplists:get_value(<<"service.name">>, Given, <<>>), module(App), atom_to_binary(Server)], Name =/= <<>>],
    {ok, Host} = inet:gethostname(),
    Known = [{<<"service.name">>, hd(Names)}, {<<"host.name">>, list_to_binary(Host)}, {<<"process.pid">>, list_to_integer(os:getpid())},
             {<<"telemetry.sdk.name">>, <<"hornbeam">>}, {<<"telemetry.sdk.language">>, <<"erlang">>}]
        ++ [{<<"service.instance.id">>, atom_to_binary(node())} || node() =/= nonode@nohost],
    [{Key, proplists:get_value(Key, Given, Value)} || {Key, Value} <- tl(Known)] ++ [hd(Known)]
    ++ [Pair || {Key, _} = Pair <- Given, not lists:keymember(Key, 1, Known)].

module(App) -> hd(binary:split(App, <<":">>)).
