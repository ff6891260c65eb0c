%%% How an event of OTP's logger looks in the log: a line of text, its level in colour or not, or a JSON object. A formatter of
%%% OTP's logger.
%%%
%%% Called by: hornbeam_log (formatter/3, which it configures), OTP's logger through hornbeam_log. Calls: logger_formatter,
%%% hornbeam_json.
%%%
%%% JSON: one object per line (RFC 8259), with time (RFC 3339, UTC), level, logger, message, pid, and where there are such traceback,
%%% worker and request_id. Records of workers bring theirs as metadata (hornbeam_worker_log): python_logger, python_record, python_pid.
-module(hornbeam_log_format).

-export([formatter/3, format/2, check_config/1]).

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
format(#{level := Level, meta := Meta} = Event, #{format := json}) ->
    {Message, Trace} = message(Event),
    Time = calendar:system_time_to_rfc3339(maps:get(time, Meta), [{unit, microsecond}, {offset, "Z"}]),
    Fields = [{"time", Time}, {"level", atom_to_binary(Level)}, {"logger", logger(Meta)}, {"message", Message}, {"traceback", Trace},
              {"request_id", maps:get(request_id, Meta, none)}, {"worker", maps:get(hornbeam_worker, Meta, none)},
              {"pid", maps:get(python_pid, Meta, list_to_integer(os:getpid()))}],
    ["{", lists:join(",", [[$", Name, "\":", value(Value)] || {Name, Value} <- Fields, Value =/= none]), "}\n"].

message(#{meta := #{python_record := {Message, Trace}}}) ->
    {Message, Trace};
message(Event) ->
    {string:trim(logger_formatter:format(Event, #{template => [msg], single_line => false}), trailing, "\n"), none}.

logger(#{python_logger := Name}) -> Name;
logger(#{domain := [otp | _]}) -> "otp";
logger(_) -> "hornbeam".

value(Number) when is_integer(Number) -> integer_to_binary(Number);
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
