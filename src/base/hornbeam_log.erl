%%% The handler of OTP's logger in a VM that the launcher has started: one line for each event, to standard error.
%%%
%%% Called by: hornbeam_cli (install/0, configure/1, sync/0, halt/1), OTP's logger in the process that logs, hornbeam_metrics_text (dropped/0, suppressed/0). Calls: hornbeam_output, hornbeam_log_format,
%%% hornbeam_log_rate, hornbeam_log_journal (where standard error is systemd's journal), and the formatter that is configured.
%%%
%%% Why not logger_std_h: when nobody reads standard error, it makes whoever logs wait (its `sync' mode), a worker's Erlang process
%%% included, or lets its queue grow; and a stop waits for it without end. Here the line is made by whoever logs, unless there is no
%%% room for it, and never waited for; how many were dropped is logged when there is room again.
-module(hornbeam_log).

-export([install/0, configure/1, line/2, in_colour/2, sync/0, halt/1, dropped/0, suppressed/0]).
-export([adding_handler/1, removing_handler/1, changing_config/3, log/2, without_gone/2]).

-define(ID, default).
%% What standard output and standard error get at the end to take what is left, each.
-define(LAST_MS, 500).
-define(POLL_MS, 5).

%% @doc Takes the place of OTP's handler, if that is as OTP has it or writes to standard error (a release's sys.config): its formatter,
%% filters and level stay.
-spec install() -> ok.
install() ->
    case logger:get_handler_config(?ID) of
        {ok, #{formatter := {logger_formatter, #{legacy_header := true}}}} ->
            replace(#{filters => [{progress, {fun logger_filters:progress/2, stop}}], formatter => formatter()});
        {ok, #{module := logger_std_h, config := #{type := standard_error}} = Config} ->
            replace(maps:with([level, filters, filter_default, formatter], Config));
        _ ->
            ok
    end.

replace(#{filters := Filters} = Config) ->
    ok = logger:remove_handler(?ID),
    ok = logger:add_handler(?ID, ?MODULE, Config#{filters := Filters ++ [{gone, {fun ?MODULE:without_gone/2, []}}]}).

%% @doc A filter. A child that has ended by itself in the moment in which its supervisor begins to stop it is an error to OTP's supervisor.
-spec without_gone(logger:log_event(), term()) -> stop | ignore.
without_gone(#{msg := {report, #{label := {supervisor, shutdown_error}, report := Report}}}, _) when is_list(Report) ->
    case lists:keyfind(reason, 1, Report) of
        {reason, noproc} -> stop;
        _ -> ignore
    end;
without_gone(_Event, _) ->
    ignore.

formatter() ->
    {logger_formatter, #{template => [time, " ", level, " ", msg, {request_id, [" request_id=", request_id], []},
                                     {trace_id, [" trace_id=", trace_id], []}, "\n"],
                         single_line => false}}.

%% @doc What the options say, once they are known. A handler that is not ours stays as it is.
-spec configure(#{log_format := text | json, use_colors := boolean() | auto, log_rate := pos_integer() | infinity, _ => _}) -> ok.
configure(#{log_format := Format, use_colors := Colours, log_rate := Limit}) ->
    case logger:get_handler_config(?ID) of
        {ok, #{module := ?MODULE, formatter := Plain, config := #{output := Output} = Config}} ->
            Formatter = hornbeam_log_format:formatter(Format, in_colour(standard_error, Colours), Plain),
            ok = logger:set_handler_config(?ID, formatter, Formatter),
            logger:set_handler_config(?ID, config, Config#{rate => rate(Limit), journal => journal(Format, Output)});
        _ ->
            ok
    end.

rate(infinity) -> none;
rate(Limit) -> hornbeam_log_rate:start(Limit).

%% Whoever asks for JSON gets it there, too.
journal(json, _Output) -> none;
journal(text, Output) ->
    case hornbeam_log_journal:open(hornbeam_output:pid(Output)) of
        {ok, Journal} -> Journal;
        none -> none
    end.

%% @doc What is said to a person on standard output, as a line of the log's format.
-spec line(text | json, unicode:chardata()) -> unicode:chardata().
line(text, Text) ->
    [Text, "\n"];
line(json, Text) ->
    {Module, Config} = hornbeam_log_format:formatter(json, false, {logger_formatter, #{}}),
    Module:format(#{level => notice, msg => {string, Text}, meta => #{time => logger:timestamp()}}, Config).

%% @doc Whether what goes to a device may be in colour: where it is a terminal, unless NO_COLOR (no-color.org) or FORCE_COLOR say
%% otherwise. A terminal has a size, though it may be 0.
-spec in_colour(standard_io | standard_error, boolean() | auto) -> boolean().
in_colour(Device, auto) ->
    case {os:getenv("NO_COLOR", ""), os:getenv("FORCE_COLOR", ""), os:getenv("TERM", "")} of
        {"", Force, _} when Force =/= "", Force =/= "0" -> true;
        {"", _, Terminal} when Terminal =/= "dumb" -> is_integer(io:request(Device, {get_geometry, columns}));
        _ -> false
    end;
in_colour(_Device, Colours) ->
    Colours.

%% @doc Returns when what was logged is written, or its reader has had its time for it.
-spec sync() -> ok.
sync() ->
    case config() of
        {ok, #{output := Output}} -> _ = hornbeam_output:sync(Output, ?LAST_MS), ok;
        error -> ok
    end.

%% @doc Ends the VM once what was logged and printed is written, or its readers have had their time for it: erlang:halt/2 would wait
%% for them without end.
-spec halt(Status :: non_neg_integer()) -> no_return().
halt(Status) ->
    ok = sync(),
    flush(erlang:monotonic_time(millisecond) + ?LAST_MS),
    erlang:halt(Status, [{flush, false}]).

flush(Deadline) ->
    Waiting = [Port || Port <- erlang:ports(), {queue_size, Size} <- [erlang:port_info(Port, queue_size)], Size > 0],
    case Waiting =:= [] orelse erlang:monotonic_time(millisecond) >= Deadline of
        true -> ok;
        false -> timer:sleep(?POLL_MS), flush(Deadline)
    end.

%% @doc How many events were not written.
-spec dropped() -> non_neg_integer().
dropped() ->
    case config() of
        {ok, #{dropped := Dropped}} -> atomics:get(Dropped, 1);
        error -> 0
    end.

%% @doc How many were suppressed, since their place had logged too many.
-spec suppressed() -> non_neg_integer().
suppressed() ->
    case config() of
        {ok, #{rate := Rate}} when Rate =/= none -> hornbeam_log_rate:suppressed(Rate);
        _ -> 0
    end.

config() ->
    case logger:get_handler_config(?ID) of
        {ok, #{module := ?MODULE, config := Config}} -> {ok, Config};
        _ -> error
    end.

%%% OTP's logger

-spec adding_handler(logger:handler_config()) -> {ok, logger:handler_config()}.
adding_handler(Config) ->
    Report = fun(Number) ->
        {ok, #{formatter := Formatter}} = logger:get_handler_config(?ID),
        Text = io_lib:format("~b log lines were dropped: standard error did not take them", [Number]),
        Meta = #{time => logger:timestamp(), pid => self(), gl => group_leader()},
        text(#{level => warning, msg => {string, Text}, meta => Meta}, Formatter)
    end,
    Dropped = atomics:new(1, []),
    {ok, Config#{config => #{output => hornbeam_output:open(2, Report, {Dropped, 1}), dropped => Dropped, rate => none, journal => none}}}.

-spec removing_handler(logger:handler_config()) -> ok.
removing_handler(#{config := #{output := Output, rate := Rate}}) ->
    true = exit(hornbeam_output:pid(Output), shutdown),
    _ = Rate =:= none orelse exit(hornbeam_log_rate:pid(Rate), shutdown),
    ok.

%% Only configure/1 changes it.
-spec changing_config(set | update, logger:handler_config(), logger:handler_config()) -> {ok, logger:handler_config()}.
changing_config(_How, _Old, New) ->
    {ok, New}.

-spec log(logger:log_event(), logger:handler_config()) -> ok.
log(Event, #{config := #{rate := Rate}} = Handler) ->
    case Rate =:= none orelse hornbeam_log_rate:passes(Event, Rate) of
        true -> write(Event, Handler);
        false -> ok
    end.

write(Event, #{config := #{journal := none}} = Handler) ->
    print(Event, Handler);
write(Event, #{config := #{journal := Journal}} = Handler) ->
    case hornbeam_log_journal:write(Event, Journal) of
        ok -> ok;
        {error, _} -> print(Event, Handler)
    end.

print(Event, #{formatter := Formatter, config := #{output := Output}}) ->
    case hornbeam_output:has_room(Output) of
        true -> hornbeam_output:write(Output, 1, text(Event, Formatter));
        false -> hornbeam_output:drop(Output, 1)
    end.

text(#{meta := Meta} = Event, {Module, Config}) ->
    case unicode:characters_to_binary(Module:format(Event#{meta := listed(hornbeam_log_format:traced(Meta))}, Config)) of
        Text when is_binary(Text) -> Text;
        {_, Good, _} -> [Good, "\n"]
    end.

%% logger_formatter takes a string for text, a binary for a term.
listed(#{trace_id := Id} = Meta) when is_binary(Id) -> Meta#{trace_id := binary_to_list(Id)};
listed(Meta) -> Meta.
