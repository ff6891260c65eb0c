%%% Python's logging records as events of the OTP logger.
%%%
%%% Called by: hornbeam_app (init/0), hornbeam_worker_session with the map of a `log' frame (hornbeam_worker/logs.py makes it).
-module(hornbeam_worker_log).

-export([init/0, write/2]).

-include_lib("kernel/include/logger.hrl").

%% @doc Lets every record pass OTP's primary level (notice, unless configured): which of them are
%% wanted is said by the option `log_level', on Python's side, before they cost anything.
-spec init() -> ok.
init() ->
    logger:set_module_level(?MODULE, all).

%% @doc Logs a record: `level' (a number of Python's logging), `logger', `message', and `traceback'
%% when there is one. The event's metadata carry its parts for other handlers and formatters (hornbeam_log_format).
-spec write(Worker :: pos_integer() | preload, Record :: map()) -> ok.
write(Worker, #{<<"level">> := Number, <<"logger">> := Name, <<"message">> := Message} = Record)
        when is_integer(Number), is_binary(Name), is_binary(Message) ->
    {Trace, Below} = case Record of
        #{<<"traceback">> := Text} when is_binary(Text) -> {Text, [$\n, Text]};
        _ -> {none, []}
    end,
    Meta = #{hornbeam_worker => Worker, python_logger => Name, python_record => {Message, Trace}},
    ?LOG(level(Number), "~ts ~ts: ~ts~ts", [who(Worker), Name, Message, Below], lists:foldl(fun maps:merge/2, Meta, [request_id(Record), trace(Record), pid(Record), place(Record)]));
write(Worker, Record) ->
    ?LOG_ERROR("~ts sent a log record of another form: ~tp", [who(Worker), Record]).

who(preload) -> "preload";
who(Worker) -> ["worker ", integer_to_list(Worker)].

request_id(#{<<"request_id">> := Id}) when is_binary(Id) -> #{request_id => unicode:characters_to_list(Id)};
request_id(_) -> #{}.

%% Without a traceparent: it is not this process that is a part of it.
trace(#{<<"trace">> := [Trace, Span]}) when is_binary(Trace), is_binary(Span) -> #{trace_id => Trace, span_id => Span};
trace(_) -> #{}.

pid(#{<<"pid">> := Pid}) when is_integer(Pid) -> #{python_pid => Pid};
pid(_) -> #{}.

place(#{<<"place">> := Place}) when is_binary(Place) -> #{python_place => Place};
place(_) -> #{}.

level(Number) when Number >= 50 -> critical;
level(Number) when Number >= 40 -> error;
level(Number) when Number >= 30 -> warning;
level(Number) when Number >= 20 -> info;
level(_) -> debug.
