%%% When it is time for a worker's successor: by the requests that its Python process has had (max_requests), by its age
%%% (max_worker_lifetime), by its memory (max_worker_memory), and long before the ids of streams are used up.
%%%
%%% Called by: hornbeam_worker, from the moment its Python process is ready, which keeps the timer and tells the pool
%%% (hornbeam_worker_report). Calls: hornbeam_worker_memory.
-module(hornbeam_worker_retirement).

-export([new/2, lifetime/1, opened/2, look/2, age/1]).
-export_type([retirement/0, reason/0]).

%% Of 32 bits.
-define(LAST_ID, 16#7fffffff).

-type reason() :: max_requests | last_stream_id | max_worker_lifetime | max_worker_memory.

-record(retirement, {
    since :: integer(),                 % monotonic ms
    at :: hornbeam_frame:stream_id() | infinity,
    memory :: hornbeam_worker_memory:watch(),
    heavy = false :: boolean()
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

%% @doc Looks how large it has grown. It is due once.
-spec look(OsPid :: pos_integer() | undefined, retirement()) -> {ok, retirement()} | {due, reason(), retirement()}.
look(_OsPid, #retirement{heavy = true} = Retirement) ->
    {ok, Retirement};
look(OsPid, #retirement{memory = Memory0} = Retirement) ->
    case hornbeam_worker_memory:look(Memory0, OsPid, age(Retirement), "/") of
        {ok, Memory} -> {ok, Retirement#retirement{memory = Memory}};
        {too_large, Memory} -> {due, max_worker_memory, Retirement#retirement{memory = Memory, heavy = true}}
    end.

%% @doc For how long it has been ready, ms.
-spec age(retirement() | undefined) -> integer().
age(undefined) -> 0;
age(#retirement{since = Since}) -> now_ms() - Since.

now_ms() ->
    erlang:monotonic_time(millisecond).
