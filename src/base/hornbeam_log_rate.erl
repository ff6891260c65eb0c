%%% How many lines each place in the code may log in a second (the option `log_rate'); what is beyond is counted and said.
%%%
%%% Called by: hornbeam_log (start/1, passes/2 in the process that logs, suppressed/1). Calls: OTP's logger, to say what was suppressed.
%%%
%%% A place is a line of a file: of Python's as its record says, of Erlang's as the event's metadata say; where they do not, the text that is
%%% formatted is it. One row for each in a table, whose windows are the seconds of a clock: whoever logs counts by itself, so that a
%%% place may have a few lines more where two processes begin a second together. The process here owns the table and says once a second, for each
%%% place, how many lines were suppressed. Limits: ?MAX_PLACES; beyond that all is forgotten and begins anew.
-module(hornbeam_log_rate).
-behaviour(gen_server).

-export([start/1, pid/1, passes/2, suppressed/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export_type([rate/0]).

-define(MAX_PLACES, 10000).
-define(SECOND, 1000).
%% Positions in a row: {Place, Second, Lines, Suppressed}.
-define(LINES, 3).
-define(SUPPRESSED, 4).

-record(rate, {pid :: pid(), table :: ets:table(), limit :: pos_integer(), total :: atomics:atomics_ref()}).
-opaque rate() :: #rate{}.

%% @doc Until its process ends, which nobody is linked to.
-spec start(Limit :: pos_integer()) -> rate().
start(Limit) ->
    {ok, Pid} = gen_server:start(?MODULE, [], []),
    #rate{pid = Pid, table = gen_server:call(Pid, table, infinity), limit = Limit, total = atomics:new(1, [])}.

-spec pid(rate()) -> pid().
pid(#rate{pid = Pid}) -> Pid.

%% @doc How many lines were not written, of all places.
-spec suppressed(rate()) -> non_neg_integer().
suppressed(#rate{total = Total}) -> atomics:get(Total, 1).

%% @doc Whether an event is to be written.
-spec passes(logger:log_event(), rate()) -> boolean().
passes(Event, #rate{table = Table, limit = Limit} = Rate) ->
    Place = place(Event),
    Second = erlang:monotonic_time(second),
    try
        case ets:lookup(Table, Place) of
            [{_, Second, _, _}] ->
                ets:update_counter(Table, Place, {?LINES, 1}) =< Limit orelse suppress(Place, Event, Rate);
            [_] ->
                true = ets:update_element(Table, Place, [{2, Second}, {?LINES, 1}]);
            [] ->
                _ = ets:info(Table, size) < ?MAX_PLACES orelse ets:delete_all_objects(Table),
                true = ets:insert(Table, {Place, Second, 1, 0})
        end
    catch
        %% The row has just gone, or the table.
        error:badarg -> true
    end.

suppress(Place, #{level := Level}, #rate{table = Table, pid = Pid, total = Total}) ->
    ok = atomics:add(Total, 1, 1),
    _ = ets:update_counter(Table, Place, {?SUPPRESSED, 1}) =:= 1 andalso gen_server:cast(Pid, {suppressed, Level, Place}),
    false.

place(#{meta := #{python_place := At, python_logger := Logger}}) -> {Logger, At};
place(#{meta := #{mfa := {Module, Function, Arity}, line := Line}}) -> {Module, Function, Arity, Line};
place(#{msg := {string, _}, level := Level}) -> Level;
place(#{msg := {report, #{label := Label}}}) -> Label;
place(#{msg := {report, _}, level := Level}) -> {report, Level};
place(#{msg := {Format, _}}) -> Format.

text({Logger, At}) when is_binary(Logger), is_binary(At) -> [Logger, " (", At, ")"];
text({Module, Function, Arity, Line}) -> io_lib:format("~s:~s/~b (line ~b)", [Module, Function, Arity, Line]);
text(Place) -> io_lib:format("~0tp", [Place]).

%%% The process

-spec init([]) -> {ok, ets:table()}.
init([]) ->
    {ok, ets:new(?MODULE, [public, set, {write_concurrency, true}, {read_concurrency, true}])}.

-spec handle_call(table, gen_server:from(), ets:table()) -> {reply, ets:table(), ets:table()}.
handle_call(table, _From, Table) ->
    {reply, Table, Table}.

-spec handle_cast({suppressed, logger:level(), term()}, ets:table()) -> {noreply, ets:table()}.
handle_cast({suppressed, Level, Place}, Table) ->
    _ = erlang:send_after(?SECOND, self(), {say, Level, Place}),
    {noreply, Table}.

-spec handle_info(term(), ets:table()) -> {noreply, ets:table()}.
handle_info({say, Level, Place}, Table) ->
    _ = case ets:lookup(Table, Place) of
        [{_, _, _, Number}] when Number > 0 ->
            _ = ets:update_counter(Table, Place, {?SUPPRESSED, -Number}),
            logger:log(Level, "~b more lines of ~ts were suppressed (log_rate)", [Number, text(Place)],
                       #{mfa => {?MODULE, handle_info, 2}, line => erlang:phash2(Place)});
        _ ->
            ok
    end,
    {noreply, Table};
handle_info(_Message, Table) ->
    {noreply, Table}.
