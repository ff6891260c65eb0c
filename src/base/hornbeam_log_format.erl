%%% How an event of OTP's logger looks in the log: a line of text, its level in colour or not, or a JSON object. A formatter of
%%% OTP's logger.
%%%
%%% Called by: hornbeam_log (formatter/3, which it configures; traced/1), OTP's logger through hornbeam_log; hornbeam_log_ring, hornbeam_log_journal (fields/1). Calls: logger_formatter,
%%% hornbeam_json.
%%%
%%% JSON: one object per line (RFC 8259), the same for what Erlang and what Python logs: time (RFC 3339, UTC), level, logger, message, pid, and where
%%% there are such exception, request_id, trace_id, span_id, worker, node and crash, an object (hornbeam_worker_crash:fields/1). Records of workers bring theirs as metadata
%%% (hornbeam_worker_log): python_logger, python_record, python_pid.
-module(hornbeam_log_format).

-export([formatter/3, format/2, check_config/1, fields/1, traced/1]).

%% In a line -> in an event's metadata.
-define(META, [{crash, hornbeam_crash}, {request_id, request_id}, {trace_id, trace_id}, {span_id, span_id}, {worker, hornbeam_worker}, {pid, python_pid}]).

-type config() :: json | {colours, logger:formatter_config()}.

%% @doc The formatter for the options; Plain is the one that is configured.
-spec formatter(Format :: text | json, Colours :: boolean(), Plain) -> Plain when Plain :: {module(), logger:formatter_config()}.
formatter(json, _Colours, _Plain) -> {?MODULE, #{format => json}};
formatter(text, true, {logger_formatter, #{template := Template} = Config}) ->
    Coloured = [case Part of level -> hornbeam_level; _ -> Part end || Part <- Template],
    {?MODULE, #{format => {colours, Config#{template := Coloured}}}};
formatter(text, _Colours, Plain) -> Plain.

-spec check_config(#{format := config()}) -> ok | {error, term()}.
check_config(#{format := _}) -> ok;
check_config(Config) -> {error, {?MODULE, Config}}.

-spec format(logger:log_event(), #{format := config()}) -> unicode:chardata().
format(#{level := Level, meta := Meta} = Event, #{format := {colours, Config}}) ->
    logger_formatter:format(Event#{meta := Meta#{hornbeam_level => coloured(Level)}}, Config);
format(Event, #{format := json}) ->
    ["{", lists:join(",", [[$", Name, "\":", value(Value)] || {Name, Value} <- named(fields(Event))]), "}\n"].

named([{time_us, Time} | Fields]) ->
    Pid = case lists:keyfind(pid, 1, Fields) of false -> list_to_integer(os:getpid()); {pid, Given} -> Given end,
    [{"time", calendar:system_time_to_rfc3339(Time, [{unit, microsecond}, {offset, "Z"}])}
     | [{atom_to_list(Name), Value} || {Name, Value} <- Fields, Name =/= pid]]
    ++ [{"node", Node} || Node <- [node()], Node =/= nonode@nohost] ++ [{"pid", Pid}].

%% @doc What an event says, in the order of a line; pid is there where it is not the VM's.
-spec fields(logger:log_event()) -> [{atom(), term()}, ...].
fields(#{level := Level, meta := Meta0} = Event) ->
    Meta = traced(Meta0),
    {Message, Exception} = message(Event),
    Known = [{exception, Exception} | [{Name, maps:get(Key, Meta, none)} || {Name, Key} <- ?META]],
    [{time_us, maps:get(time, Meta)}, {level, Level}, {logger, bytes(logger(Meta))}, {message, bytes(Message)}
     | [{Name, given(Value)} || {Name, Value} <- Known, Value =/= none]].

%% @doc An event's metadata, with the ids of the trace that the process which logs it is a part of, where they are not there yet.
-spec traced(logger:metadata()) -> logger:metadata().
traced(#{trace_id := _} = Meta) -> Meta;
traced(#{traceparent := <<"00-", Trace:32/binary, $-, Span:16/binary, _/binary>>} = Meta) -> Meta#{trace_id => Trace, span_id => Span};
traced(Meta) -> Meta.

given(Value) when is_integer(Value); is_map(Value) -> Value;
given(Text) -> bytes(Text).

message(#{meta := #{python_record := {Message, Trace}}}) ->
    {Message, Trace};
message(Event) ->
    {string:trim(logger_formatter:format(Event, #{template => [msg], single_line => false}), trailing, "\n"), none}.

logger(#{python_logger := Name}) -> Name;
logger(#{domain := [otp | _]}) -> "otp";
logger(_) -> "hornbeam".

value(Number) when is_integer(Number) -> integer_to_binary(Number);
value(Map) when is_map(Map) -> hornbeam_json:encode(Map);
value(Atom) when is_atom(Atom) -> value(atom_to_binary(Atom));
value(Text) -> [$", hornbeam_json:escape(bytes(Text)), $"].

bytes(Text) ->
    case unicode:characters_to_binary(Text) of
        Bytes when is_binary(Bytes) -> Bytes;
        {_, Good, _} -> Good
    end.

coloured(Level) ->
    lists:append(["\e[", colour(Level), "m", atom_to_list(Level), "\e[0m"]).

colour(debug) -> "2";
colour(info) -> "32";
colour(notice) -> "32";
colour(warning) -> "33";
colour(error) -> "31";
colour(_) -> "1;31".
