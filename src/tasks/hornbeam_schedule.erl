%%% One schedule: when it is due, and what of that is run. Pure.
%%%
%%% Called by: hornbeam_schedules, hornbeam_service_tasks. Calls: hornbeam_task (the task of one time). An interval is due at the whole multiples of itself
%%% since 1970, whoever counts and whenever he began: so a restart, or another node, goes on with the same times. The times of a cron line
%%% come from Python (hornbeam_erlang/_cron.py), which knows time zones.
-module(hornbeam_schedule).

-export([new/4, name/1, every/3, run/3, task/4, next_of/3, cron/1, jitter/1, missed/1, text/1]).
-export_type([schedule/0, missed/0]).

%% What of times that are over: the newest of them (once), all, or none that is more than ?LATE over (skip).
-type missed() :: skip | once | all.
-record(schedule, {
    name :: binary(),
    function :: binary(),
    body :: binary(),
    rule :: {every, pos_integer()} | {cron, Line :: binary(), Zone :: binary()},
    jitter = 0 :: non_neg_integer(),
    missed = skip :: missed(),
    options = #{} :: #{binary() => term()}
}).
-opaque schedule() :: #schedule{}.

-define(LATE, 60000).
-define(MOST, 100).
-define(OWN, [<<"every">>, <<"cron">>, <<"tz">>, <<"jitter">>, <<"missed">>]).

%% @doc From a decorator or an option: every, or cron and tz; jitter, missed; the rest are options of a task.
-spec new(Name :: term(), Function :: term(), Body :: term(), Options :: term()) -> {ok, schedule()} | {error, binary()}.
new(Name, Function, {bytes, Body}, Options) when is_binary(Name), Name =/= <<>>, byte_size(Name) =< 255, is_binary(Function), is_map(Options) ->
    Task = maps:without(?OWN, Options),
    Missed = policy(maps:get(<<"missed">>, Options, <<"skip">>)),
    Jitter = maps:get(<<"jitter">>, Options, 0),
    case {rule(Options), hornbeam_task:new(none, Function, {bytes, Body}, Task)} of
        {{ok, Rule}, {ok, _}} when Missed =/= wrong, is_integer(Jitter), Jitter >= 0 ->
            {ok, #schedule{name = Name, function = Function, body = Body, rule = Rule, jitter = Jitter, missed = Missed, options = Task}};
        {_, {error, Text}} -> {error, Text};
        _ -> {error, <<"not a schedule">>}
    end;
new(_, _, _, _) ->
    {error, <<"not a schedule">>}.

rule(#{<<"every">> := Every}) when is_integer(Every), Every >= 1000 -> {ok, {every, Every}};
rule(#{<<"cron">> := Line} = Options) when is_binary(Line) ->
    case maps:get(<<"tz">>, Options, <<"UTC">>) of
        Zone when is_binary(Zone) -> {ok, {cron, Line, Zone}};
        _ -> error
    end;
rule(_) -> error.

policy(<<"skip">>) -> skip;
policy(<<"once">>) -> once;
policy(<<"all">>) -> all;
policy(_) -> wrong.

-spec name(schedule()) -> binary().
name(#schedule{name = Name}) -> Name.

-spec missed(schedule()) -> missed().
missed(#schedule{missed = Missed}) -> Missed.

-spec jitter(schedule()) -> non_neg_integer().
jitter(#schedule{jitter = Jitter}) -> Jitter.

%% @doc The cron line and its time zone.
-spec cron(schedule()) -> {Line :: binary(), Zone :: binary()} | none.
cron(#schedule{rule = {cron, Line, Zone}}) -> {Line, Zone};
cron(_) -> none.

%% @doc The times of an interval after one and up to another, in ms; of many the last.
-spec every(Every :: pos_integer(), After :: non_neg_integer(), UpTo :: non_neg_integer()) -> [non_neg_integer()].
every(Every, After, UpTo) ->
    Last = UpTo div Every,
    First = max(After div Every + 1, Last - ?MOST + 1),
    [N * Every || N <- lists:seq(First, Last)].

%% @doc The times after one that are due now, with those that the cron line is known to have; and the next one, if that is known.
-spec next_of(schedule(), {After :: non_neg_integer(), Known :: [non_neg_integer()]}, Now :: non_neg_integer()) ->
    {Due :: [non_neg_integer()], Next :: non_neg_integer() | unknown}.
next_of(#schedule{rule = {every, Every}}, {After, _}, Now) ->
    {every(Every, After, Now), (max(Now, After) div Every + 1) * Every};
next_of(#schedule{rule = {cron, _, _}}, {After, Known}, Now) ->
    {Due, Later} = lists:partition(fun(Time) -> Time =< Now end, [Time || Time <- Known, Time > After]),
    {Due, case Later of [Next | _] -> Next; [] -> unknown end}.

%% @doc Which of the times that are due are run.
-spec run(missed(), [non_neg_integer()], Now :: non_neg_integer()) -> [non_neg_integer()].
run(_, [], _Now) -> [];
run(all, Due, _Now) -> lists:nthtail(max(0, length(Due) - ?MOST), Due);
run(once, Due, _Now) -> [lists:last(Due)];
run(skip, Due, Now) -> [Time || Time <- [lists:last(Due)], Now - Time =< ?LATE].

%% @doc The task of one time. Its key makes it one, whoever begins it.
-spec task(schedule(), Server :: atom(), Time :: non_neg_integer(), Delay :: non_neg_integer()) -> hornbeam_task:task().
task(#schedule{name = Name, function = Function, body = Body, options = Options}, Server, Time, Delay) ->
    Key = <<"schedule:", Name/binary, ":", (integer_to_binary(Time))/binary>>,
    {ok, Task} = hornbeam_task:new(Server, Function, {bytes, Body}, Options#{<<"unique">> => Key, <<"delay">> => Delay}),
    Task.

%% @doc "every 300 s" or "0 3 * * * Europe/Berlin", for a person.
-spec text(schedule()) -> unicode:chardata().
text(#schedule{rule = {every, Every}}) when Every rem 1000 =:= 0 -> io_lib:format("every ~b s", [Every div 1000]);
text(#schedule{rule = {every, Every}}) -> io_lib:format("every ~b ms", [Every]);
text(#schedule{rule = {cron, Line, Zone}}) -> [Line, " ", Zone].
