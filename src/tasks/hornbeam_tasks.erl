%%% The background tasks of one server: takes them, has them run by workers, keeps what came of them for a time.
%%%
%%% Called by: hornbeam_service_tasks (Python), hornbeam_schedules, hornbeam_task_command (a person), hornbeam_listener (a stop begins),
%%% hornbeam_reload; any OTP application (add/4). Calls: hornbeam_task_book, which decides everything; hornbeam_tasks_sup (ensure/1), hornbeam_task, hornbeam_task_table,
%%% hornbeam_task_cluster: a durable task is the cluster's where there is one, and what is not found here is looked for there.
%%%
%%% A durable task is answered for when the store says that it is on disk; it may have begun before (hornbeam_task_storing). What is running when a server stops has
%%% graceful_timeout, like requests; then it is given up. A durable one runs again after the next start.
%%%
%%% Failure modes: this process is killed: its calls end with it, and its successor finds the rows: what was running waits again. A
%%% worker dies: the attempt has failed. A reload outlasts a task by graceful_timeout: the task runs again, and the attempt does not count.
-module(hornbeam_tasks).
-behaviour(gen_server).

-include("hornbeam_task.hrl").

-export([start_link/1, add/4, add/2, adding/2, await/3, find/2, cancel/2, retry/2, purge/2, describe/1, stop_by/2, changed/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%%% API

-spec start_link(Server :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Server) ->
    gen_server:start_link(?MODULE, Server, []).

%% @doc Has a Python function run in the background: "module:function", its arguments, options by their names in Python, times in ms.
-spec add(Server :: atom(), Function :: binary(), Arguments :: [term()], Options :: #{binary() => term()}) ->
    {ok, Id :: binary()} | {error, hornbeam_task_book:refusal()}.
add(Server, Function, Arguments, Options) ->
    Keywords = maps:get(<<"kwargs">>, Options, #{}),
    case hornbeam_msgpack:try_encode([Function, Arguments, Keywords]) of
        {ok, Body} ->
            case hornbeam_task:new(Server, Function, {bytes, iolist_to_binary(Body)}, maps:remove(<<"kwargs">>, Options)) of
                {ok, Task} -> ok = ensure(Server), add(Server, Task);
                {error, Text} -> {error, {wrong, Text}}
            end;
        {error, _} ->
            {error, {wrong, <<"the arguments cannot travel to Python">>}}
    end.

%% The first task of a server may be Erlang's.
ensure(Server) ->
    case hornbeam_task_table:keeper(Server) =:= error andalso hornbeam_servers:is_open(Server) of
        true -> hornbeam_tasks_sup:ensure(Server);
        false -> ok
    end.

-spec add(Server :: atom(), hornbeam_task:task()) -> {ok, Id :: binary()} | {error, hornbeam_task_book:refusal()}.
add(Server, Task) ->
    case adding(Server, Task) of
        {ok, Pid, Request, Meaning} ->
            try gen_server:call(Pid, Request, infinity) of
                Answer -> Meaning({ok, Answer})
            catch exit:_ -> Meaning(gone)
            end;
        error -> added(gone);
        Refusal -> Refusal
    end.

%% @doc The same without waiting: whom to ask what, where the server has had tasks before, and what the answer means. A durable one is the cluster's, where
%% there is a cluster.
-spec adding(Server :: atom(), hornbeam_task:task()) ->
    {ok, pid(), Request :: term(), Meaning :: fun(({ok, term()} | gone) -> {ok, Id :: binary()} | {error, hornbeam_task_book:refusal()})}
    | {error, hornbeam_task_book:refusal()} | error.
adding(Server, #task{durable = true} = Task) ->
    case hornbeam_task_cluster:adding(Server, Task) of
        {ok, Pid, Request} -> {ok, Pid, Request, fun hornbeam_task_cluster:added/1};
        {error, Refusal} -> {error, Refusal};
        error -> kept(Server, Task)
    end;
adding(Server, Task) ->
    kept(Server, Task).

kept(Server, Task) ->
    case hornbeam_task_table:keeper(Server) of
        {ok, Pid} -> {ok, Pid, {add, Task}, fun added/1};
        error -> error
    end.

added({ok, Answer}) -> Answer;
added(gone) -> {error, {stopping, <<"the server takes no tasks now">>}}.

%% @doc Waits until a task is over, for Timeout ms.
-spec await(Server :: atom(), Id :: binary(), timeout()) -> {ok, hornbeam_task:task()} | not_found | hornbeam_cluster:error().
await(Server, Id, Timeout) ->
    otherwise(ask(Server, {await, Id}, Timeout), fun() -> hornbeam_task_cluster:await(Server, Id, Timeout) end).

%% @doc A task, of this node or of the cluster.
-spec find(Server :: atom(), Id :: binary()) -> {ok, hornbeam_task:task()} | not_found | hornbeam_cluster:error().
find(Server, Id) ->
    case hornbeam_task_table:find(Id) of
        {ok, Task} -> {ok, Task};
        error -> hornbeam_task_cluster:find(Server, Id)
    end.

%% @doc Whether it was not over yet.
-spec cancel(Server :: atom(), Id :: binary()) -> boolean() | not_found | hornbeam_cluster:error().
cancel(Server, Id) ->
    otherwise(ask(Server, {cancel, Id}, infinity), fun() -> hornbeam_task_cluster:cancel(Server, Id) end).

%% @doc Runs one that has failed or was cancelled again, as if it were new; whether it was such a one.
-spec retry(Server :: atom(), Id :: binary()) -> boolean() | not_found | hornbeam_cluster:error().
retry(Server, Id) ->
    otherwise(ask(Server, {retry, Id}, infinity), fun() -> hornbeam_task_cluster:retry(Server, Id) end).

%% @doc Forgets what is over, of one state or of all; how many they were.
-spec purge(Server :: atom(), hornbeam_task:state() | all) -> non_neg_integer() | not_found | hornbeam_cluster:error().
purge(Server, State) ->
    case {ask(Server, {purge, State}, infinity), hornbeam_task_cluster:purge(Server, State)} of
        {Here, Shared} when is_integer(Here), is_integer(Shared) -> Here + Shared;
        {Here, not_found} -> Here;
        {_, Shared} -> Shared
    end.

%% What is not this node's may be the cluster's.
otherwise(not_found, Fun) -> Fun();
otherwise(Answer, _Fun) -> Answer.

%% @doc Figures of a server's tasks; none where it has had none.
-spec describe(Server :: atom()) -> map() | none.
describe(Server) ->
    case hornbeam_task_table:keeper(Server) of
        {ok, _} -> hornbeam_task_table:counts(Server);
        error -> none
    end.

%% @doc The server is being stopped: no more are begun, and those that run have until then (monotonic ms).
-spec stop_by(Server :: atom(), Deadline :: integer() | infinity) -> ok.
stop_by(Server, Deadline) ->
    ok = hornbeam_task_cluster:inform(Server, {stop_by, Deadline}),
    inform(Server, {stop_by, Deadline}).

%% @doc The options have changed.
-spec changed(Server :: atom()) -> ok.
changed(Server) ->
    case hornbeam_servers:config(Server) of
        {ok, Config} ->
            ok = hornbeam_task_cluster:inform(Server, {changed, Config}),
            inform(Server, {changed, Config});
        error -> ok
    end.

inform(Server, Message) ->
    case hornbeam_task_table:keeper(Server) of
        {ok, Pid} -> gen_server:cast(Pid, Message);
        error -> ok
    end.

ask(Server, Request, Timeout) ->
    case hornbeam_task_table:keeper(Server) of
        {ok, Pid} ->
            try gen_server:call(Pid, Request, Timeout)
            catch exit:{Gone, {gen_server, call, _}} when Gone =/= timeout -> not_found
            end;
        error ->
            not_found
    end.

%%% gen_server

-spec init(atom()) -> {ok, hornbeam_task_book:book(), {continue, begin_again}}.
init(Server) ->
    process_flag(trap_exit, true),
    {ok, Config} = hornbeam_servers:config(Server),
    ok = hornbeam_task_table:set_keeper(Server, self()),
    {ok, hornbeam_task_book:new(Server, Config), {continue, begin_again}}.

-spec handle_continue(begin_again, hornbeam_task_book:book()) -> {noreply, hornbeam_task_book:book()}.
handle_continue(begin_again, Book) ->
    {noreply, hornbeam_task_book:begin_again(Book)}.

-spec handle_call(term(), gen_server:from(), Book) -> {reply, term(), Book} | {noreply, Book} when Book :: hornbeam_task_book:book().
handle_call({add, Task}, From, Book) -> hornbeam_task_book:admit(Task, From, Book);
handle_call({await, Id}, From, Book) -> hornbeam_task_book:await(Id, From, Book);
handle_call({cancel, Id}, _From, Book) -> hornbeam_task_book:cancel(Id, Book);
handle_call({retry, Id}, _From, Book) -> hornbeam_task_book:retry(Id, Book);
handle_call({purge, Which}, _From, Book) -> hornbeam_task_book:purge(Which, Book).

-spec handle_cast({stop_by, integer() | infinity} | {changed, map()}, Book) -> {noreply, Book} when Book :: hornbeam_task_book:book().
handle_cast({stop_by, Deadline}, Book) -> {noreply, hornbeam_task_book:stop_by(Deadline, Book)};
handle_cast({changed, Config}, Book) -> {noreply, hornbeam_task_book:configured(Config, Book)}.

-spec handle_info(term(), Book) -> {noreply, Book} when Book :: hornbeam_task_book:book().
handle_info(Message, Book) ->
    {noreply, hornbeam_task_book:message(Message, Book)}.

%% What runs has until the deadline of the stop; what waits and is not durable is lost.
-spec terminate(term(), hornbeam_task_book:book()) -> ok.
terminate(_Reason, Book0) ->
    {Deadline, Book} = hornbeam_task_book:stop(Book0),
    case hornbeam_task_book:lost(finish(Deadline, Book)) of
        0 -> ok;
        Lost -> logger:warning("~b background tasks that were not over are lost; durable ones are not", [Lost])
    end.

finish(Deadline, Book) ->
    case hornbeam_task_book:running(Book) of
        {0, 0} ->
            Book;
        {Running, _} ->
            receive
                {'$gen_call', From, Request} -> finish(Deadline, answered(handle_call(Request, From, Book), From));
                {'$gen_cast', _} -> finish(Deadline, Book);
                Info -> finish(Deadline, hornbeam_task_book:message(Info, Book))
            after left(Deadline) ->
                logger:warning("~b background tasks have run longer than graceful_timeout and are given up", [Running]),
                Book
            end
    end.

answered({reply, Answer, Book}, From) -> gen_server:reply(From, Answer), Book;
answered({noreply, Book}, _From) -> Book.

left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
