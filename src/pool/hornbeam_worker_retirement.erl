%%% When it is time for a worker's successor: by the requests that its Python process has had (max_requests), by its age
%%% (max_worker_lifetime), by its memory (max_worker_memory), long before the ids of streams are used up, and when all threads of a WSGI
%%% application hang, as it says itself.
%%%
%%% Called by: hornbeam_worker, from the moment its Python process is ready, which keeps the timer and tells the pool
%%% (hornbeam_worker_report); by hornbeam_pool (tell/3). Calls: hornbeam_worker_memory.
-module(hornbeam_worker_retirement).

-export([new/2, lifetime/1, opened/2, look/3, tell/3, age/1]).
-export_type([retirement/0, reason/0]).

%% Of 32 bits.
-define(LAST_ID, 16#7fffffff).

-type reason() :: max_requests | last_stream_id | max_worker_lifetime | max_worker_memory | hung_threads | asked_for.

-record(retirement, {
    since :: integer(),                 % monotonic ms
    at :: hornbeam_frame:stream_id() | infinity,
    memory :: hornbeam_worker_memory:watch(),
    due = false :: boolean()            % look/3 has said so
}).
-opaque retirement() :: #retirement{}.

%% @doc For a process that has just become ready. LastId: of the streams before it. Settings: those of its mount.
-spec new(LastId :: hornbeam_frame:stream_id(), Settings :: map()) -> retirement().
new(LastId, Settings) ->
    #retirement{since = now_ms(), at = at(LastId, Settings), memory = hornbeam_worker_memory:new(Settings)}.

at(_LastId, #{max_requests := infinity}) -> ?LAST_ID;
at(LastId, #{max_requests := Max, max_requests_jitter := Jitter}) -> min(?LAST_ID, LastId + Max + rand:uniform(Jitter + 1) - 1).

%% @doc How long it may live, ms. Workers that started together must not all come of age together: a tenth of the lifetime lies between.
-spec lifetime(Settings :: map()) -> timeout().
lifetime(#{max_worker_lifetime := infinity}) -> infinity;
lifetime(#{max_worker_lifetime := Lifetime}) -> Lifetime - rand:uniform(max(1, Lifetime div 10)) + 1.

%% @doc A stream was opened. It is due once.
-spec opened(hornbeam_frame:stream_id(), retirement()) -> ok | {due, reason(), retirement()}.
opened(Id, #retirement{at = At}) when Id < At -> ok;
opened(Id, Retirement) when Id >= ?LAST_ID -> {due, last_stream_id, Retirement#retirement{at = infinity}};
opened(_Id, Retirement) -> {due, max_requests, Retirement#retirement{at = infinity}}.

%% @doc Looks how large it has grown, and what it says of itself (health.py). It is due once.
-spec look(OsPid :: pos_integer() | undefined, Figures :: map(), retirement()) -> {ok, retirement()} | {due, reason(), retirement()}.
look(_OsPid, _Figures, #retirement{due = true} = Retirement) ->
    {ok, Retirement};
look(_OsPid, #{<<"hung">> := 1}, Retirement) ->
    {due, hung_threads, Retirement#retirement{due = true}};
look(OsPid, _Figures, #retirement{memory = Memory0} = Retirement) ->
    case hornbeam_worker_memory:look(Memory0, OsPid, age(Retirement), "/") of
        {ok, Memory} -> {ok, Retirement#retirement{memory = Memory}};
        {too_large, Memory} -> {due, max_worker_memory, Retirement#retirement{memory = Memory, due = true}}
    end.

%% @doc Says so in the log.
-spec tell(reason(), Worker :: pos_integer(), App :: binary()) -> ok.
tell(Reason, Number, App) ->
    Text = case Reason of
        hung_threads -> "has no thread that does not hang";
        asked_for -> "is not wanted any more";
        _ -> ["has reached ", atom_to_list(Reason)]
    end,
    logger:notice("worker ~b of ~ts ~ts and is replaced", [Number, App, Text], #{hornbeam_worker => Number}).

%% @doc For how long it has been ready, ms.
-spec age(retirement() | undefined) -> integer().
age(undefined) -> 0;
age(#retirement{since = Since}) -> now_ms() - Since.

now_ms() ->
    erlang:monotonic_time(millisecond).
