%%% What a Python process is asked about itself (its stacks, a profile), and who waits for the answer.
%%%
%%% The questions: hornbeam_worker_session, in the worker's process, for the life of one Python process (diagnose.py answers). The other half is for
%%% whoever wants to know (src/diagnose), in any process: ask/3, ask_long/3, streams/1, signal/1. Calls: hornbeam_frame, hornbeam_worker (as gen_statem:call).
%%%
%%% The loop of the process answers, or a thread that it has started; so a loop that is blocked does not answer, and its stacks are had by a signal
%%% (signal/1). A process that is stopped (SIGSTOP) is seen before it is asked, and by ask_long/3 while it is. Limits: ?MOST questions at a time, an answer of 8 MiB (hornbeam_frame). Whoever asks says how long it waits; a question that nobody waits
%%% for any more stays until it is answered, or the process ends.
-module(hornbeam_worker_questions).

-export([new/0, asked/3, answered/2, stop/1]).
-export([ask/3, ask_long/3, streams/1, signal/1]).
-export_type([questions/0, question/0, reason/0]).

-define(MOST, 16).
%% For what the worker's own process answers.
-define(ANSWER, 5000).
%% Looks at a process that takes its time, ?SLICE ms after each other; without an answer to the first question in ?LOOKS of them its loop is blocked. A
%% machine that stands still costs one of them, not all.
-define(SLICE, 1000).
-define(LOOKS, 15).

-record(questions, {
    next = 1 :: pos_integer(),
    open = #{} :: #{pos_integer() => gen_statem:from()}
}).
-opaque questions() :: #questions{}.
-type reason() :: not_ready | busy | ended | timeout | blocked | {stopped, $T | $t, OsPid :: pos_integer()} | {python, binary()}.
-type question() :: #{what := binary(), atom() => term()}.

-spec new() -> questions().
new() -> #questions{}.

%% @doc The frame for a question; or there are too many, which From has been told.
-spec asked(gen_statem:from(), question(), questions()) -> {iodata(), questions()}.
asked(From, _Question, #questions{open = Open} = Questions) when map_size(Open) >= ?MOST ->
    gen_statem:reply(From, {error, busy}),
    {[], Questions};
asked(From, Question, #questions{next = Number, open = Open}) ->
    Frame = hornbeam_frame:encode(diagnose, 0, [<<Number:32>>, hornbeam_msgpack:encode(Question)]),
    {Frame, #questions{next = Number + 1, open = Open#{Number => From}}}.

%% @doc Hands an answer on. None that was not asked for may come.
-spec answered({Number :: non_neg_integer(), map()}, questions()) -> {ok, questions()} | unknown.
answered({Number, Answer}, #questions{open = Open} = Questions) ->
    case maps:take(Number, Open) of
        {From, Left} ->
            gen_statem:reply(From, result(Answer)),
            {ok, Questions#questions{open = Left}};
        error ->
            unknown
    end.

result(#{<<"error">> := Text}) when is_binary(Text) -> {error, {python, Text}};
result(Answer) -> {ok, Answer}.

%% @doc The process has ended.
-spec stop(questions()) -> ok.
stop(#questions{open = Open}) ->
    maps:foreach(fun(_, From) -> gen_statem:reply(From, {error, ended}) end, Open).

%%% For whoever wants to know

%% @doc Asks a worker's Python process. Timeout in ms. `not_ready': it starts or ends; `timeout': its loop may be blocked.
-spec ask(Worker :: pid(), question(), timeout()) -> {ok, map()} | {error, reason()}.
ask(Worker, Question, Timeout) -> call(Worker, {ask, Question}, Timeout).

%% @doc The same for what takes long: `blocked' when the loop does not answer what is quickly answered, `stopped' as soon as that is seen.
-spec ask_long(Worker :: pid(), question(), Timeout :: pos_integer()) -> {ok, map()} | {error, reason()}.
ask_long(Worker, Question, Timeout) ->
    case looking(Worker, #{what => <<"streams">>, streams => []}, ?LOOKS) of
        {ok, _} -> looking(Worker, Question, Timeout div ?SLICE);
        {error, timeout} -> {error, blocked};
        {error, Reason} -> {error, Reason}
    end.

looking(Worker, Question, Looks) ->
    looking(gen_statem:send_request(Worker, {diagnose, {ask, Question}}), Worker, Looks, {ok, no}).

looking(Request, _Worker, _Looks, {error, {stopped, _, _}} = Error) -> left(Request, Error);
looking(Request, _Worker, 0, _Stopped) -> left(Request, {error, timeout});
looking(Request, Worker, Looks, _Stopped) ->
    case gen_statem:wait_response(Request, ?SLICE) of
        {reply, Answer} -> Answer;
        {error, _} -> {error, ended};
        timeout -> looking(Request, Worker, Looks - 1, call(Worker, stopped, ?ANSWER))
    end.

%% Its answer is nobody's message.
left(Request, Otherwise) ->
    case gen_statem:receive_response(Request, 0) of
        {reply, Answer} -> Answer;
        _ -> Otherwise
    end.

%% @doc The table of what it has in progress, for hornbeam_worker_streams:rows/2.
-spec streams(Worker :: pid()) -> {ok, ets:tid()} | {error, reason()}.
streams(Worker) -> call(Worker, streams, ?ANSWER).

%% @doc Has its Python process write the stack of every thread by a signal, whatever it does; where they will be: hornbeam_worker_health:stacks/1.
-spec signal(Worker :: pid()) -> {ok, file:name_all()} | {error, reason() | no_stacks}.
signal(Worker) -> call(Worker, signal, ?ANSWER).

call(Worker, Request, Timeout) ->
    try gen_statem:call(Worker, {diagnose, Request}, Timeout)
    catch
        exit:{timeout, _} -> {error, timeout};
        exit:{_Ended, _} -> {error, ended}
    end.
