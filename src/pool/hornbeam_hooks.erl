%%% Hooks from Erlang: functions that Python and Erlang call by name and action, and calls of those that Python handles.
%%%
%%%     ok = hornbeam_hooks:reg(<<"users">>, fun(<<"get">>, [Id], _Keywords) -> {ok, #{id => Id}} end),
%%%     {ok, Vector} = hornbeam_hooks:execute(<<"embeddings">>, <<"encode">>, [<<"text">>], #{}).
%%%
%%% For OTP applications; nobody in this one calls it. Calls: hornbeam_hook_registry, hornbeam_hook_run, hornbeam_hook_tasks. These are not the
%%% hooks that see HTTP requests.
%%%
%%% A handler is a fun of (Action, Arguments, Keywords), or an exported function of three arguments, of which each call runs the code that is
%%% then loaded. It stays until it is unregistered. A call of a handler in Erlang from Erlang runs in the calling process, as long as
%%% it takes; its exceptions are {error, {raised, Class, Reason, Stack}}.
%%%
%%% The option `node' asks another node, and `timeout' (ms, 60 s by default) bounds a call of Python or of another node, and the wait for each value of a
%%% stream.
-module(hornbeam_hooks).

-compile({no_auto_import, [error/1]}).

-export([reg/2, reg/3, reg/4, unreg/1, find/1, all/0]).
-export([execute/4, execute/5, execute_async/4, execute_async/5, await_result/1, await_result/2, stream/4, stream/5, stop/1]).
-export([ok/1, error/1, stream_from_list/1, stream_from_fun/1, stream_chunk/1, stream_done/0]).
-export_type([name/0, next/0, failure/0, options/0]).

-define(TIMEOUT, 60000).
-define(AWAIT, 30000).

-type name() :: binary() | string() | atom().
%% A stream: each call gives the next value. It belongs to the process that made it.
-type next() :: fun(() -> {value, term()} | done | {error, failure() | term()}).
-type failure() :: hornbeam_hook_run:failure() | noconnection.
-type options() :: #{timeout => timeout(), node => node()}.

%%% Who handles a hook

%% @doc Handles a hook by a fun, which may replace another one of Erlang's. `taken': the workers of an application handle it.
-spec reg(name(), hornbeam_hook_registry:callable()) -> ok | {error, hornbeam_hook_registry:refusal()}.
reg(Name, Handler) when is_function(Handler, 3) ->
    hornbeam_hook_registry:offer(hornbeam_hook_registry:text(Name), Handler).

%% @doc Handles a hook by an exported function of three arguments.
-spec reg(name(), module(), atom()) -> ok | {error, hornbeam_hook_registry:refusal()}.
reg(Name, Module, Function) when is_atom(Module), is_atom(Function) ->
    hornbeam_hook_registry:offer(hornbeam_hook_registry:text(Name), {Module, Function}).

-spec reg(name(), module(), atom(), Arity :: 3) -> ok | {error, hornbeam_hook_registry:refusal()}.
reg(Name, Module, Function, 3) ->
    reg(Name, Module, Function).

%% @doc Nobody handles it any more, whoever did.
-spec unreg(name()) -> ok.
unreg(Name) ->
    hornbeam_hook_registry:withdraw(hornbeam_hook_registry:text(Name)).

%% @doc Who handles a hook: a function of Erlang's, or the workers of a pool.
-spec find(name()) -> {ok, {erlang, hornbeam_hook_registry:callable()} | {python, Pool :: term(), Workers :: [pid()]}} | not_found.
find(Name) ->
    hornbeam_hook_registry:handlers(hornbeam_hook_registry:text(Name)).

%% @doc The names of all hooks, sorted.
-spec all() -> [binary()].
all() ->
    hornbeam_hook_registry:all().

%%% Calls

%% @doc As execute/5.
-spec execute(name(), Action :: name(), [term()], Keywords :: map()) -> {ok, term()} | {error, failure() | term()}.
execute(Name, Action, Arguments, Keywords) ->
    execute(Name, Action, Arguments, Keywords, #{}).

%% @doc Calls a hook and returns its value. {error, R} is what a handler in Erlang returned so, or a failure().
-spec execute(name(), Action :: name(), [term()], Keywords :: map(), options()) -> {ok, term()} | {error, failure() | term()}.
execute(Name, Action, Arguments, Keywords, Options) ->
    Job = job(Name, Action, Arguments, Keywords, Options),
    plain(case Options of
        #{node := Node} -> hornbeam_hook_run:call_at(Node, Job);
        #{} -> hornbeam_hook_run:call(Job)
    end).

plain({error, {reason, Reason}}) -> {error, Reason};
plain(Answer) -> Answer.

job(Name, Action0, Arguments, Keywords, Options) ->
    Action = hornbeam_hook_registry:text(Action0),
    true = hornbeam_hook_run:is_action(Action),
    #{name => hornbeam_hook_registry:text(Name), action => Action, input => {terms, Arguments, Keywords}, for => erlang,
      timeout => maps:get(timeout, Options, ?TIMEOUT)}.

%% @doc As execute_async/5.
-spec execute_async(name(), Action :: name(), [term()], Keywords :: map()) -> {ok, hornbeam_hook_tasks:id()} | {error, overloaded}.
execute_async(Name, Action, Arguments, Keywords) ->
    execute_async(Name, Action, Arguments, Keywords, #{timeout => infinity}).

%% @doc Begins a call, whose value await_result/2 fetches, in any process of this node. It is kept for ten minutes, for one who fetches it.
-spec execute_async(name(), Action :: name(), [term()], Keywords :: map(), options()) ->
    {ok, hornbeam_hook_tasks:id()} | {error, overloaded}.
execute_async(Name, Action, Arguments, Keywords, Options) ->
    hornbeam_hook_tasks:start(erlang, fun() -> execute(Name, Action, Arguments, Keywords, Options) end).

%% @doc As await_result/2, for 30 s.
-spec await_result(hornbeam_hook_tasks:id()) -> {ok, term()} | {error, failure() | term()}.
await_result(Id) ->
    await_result(Id, ?AWAIT).

%% @doc Waits for the value of a call, so many ms; after `timeout' it may be asked for again. `not_found': there is no such call, or its value was
%% fetched already.
-spec await_result(hornbeam_hook_tasks:id(), timeout()) -> {ok, term()} | {error, failure() | term()}.
await_result(Id, Timeout) ->
    case hornbeam_hook_tasks:await(erlang, Id, Timeout) of
        {ok, Answer} -> Answer;
        Error -> Error
    end.

%% @doc As stream/5.
-spec stream(name(), Action :: name(), [term()], Keywords :: map()) -> {ok, next()} | {error, failure() | term()}.
stream(Name, Action, Arguments, Keywords) ->
    stream(Name, Action, Arguments, Keywords, #{}).

%% @doc Calls a hook for a stream. Whoever wants no more of it says stop/1, or ends. Values that are not taken wait where they are made, but for
%% a window of them.
-spec stream(name(), Action :: name(), [term()], Keywords :: map(), options()) -> {ok, next()} | {error, failure() | term()}.
stream(Name, Action, Arguments, Keywords, Options) ->
    Job = job(Name, Action, Arguments, Keywords, Options),
    Node = maps:get(node, Options, node()),
    case hornbeam_hook_run:begin_at(Node, Job) of
        {ok, Stream} ->
            Ref = make_ref(),
            Next = fun() -> next(Ref) end,
            _ = put({?MODULE, Ref}, Stream),
            _ = put({?MODULE, Next}, Ref),
            {ok, Next};
        {error, _} = Error ->
            plain(Error)
    end.

next(Ref) ->
    case get({?MODULE, Ref}) of
        undefined ->
            done;
        Stream ->
            case hornbeam_hook_run:next(Stream) of
                {value, _} = Value -> Value;
                Last -> _ = erase({?MODULE, Ref}), plain(Last)
            end
    end.

%% @doc Ends a stream whose further values nobody wants.
-spec stop(next()) -> ok.
stop(Next) ->
    case erase({?MODULE, Next}) of
        undefined ->
            ok;
        Ref ->
            case erase({?MODULE, Ref}) of
                undefined -> ok;
                Stream -> hornbeam_hook_run:stop(Stream)
            end
    end.

%%% What a handler returns

-spec ok(Value) -> {ok, Value}.
ok(Value) -> {ok, Value}.

-spec error(Reason) -> {error, Reason}.
error(Reason) -> {error, Reason}.

%% @doc A stream of the elements of a list.
-spec stream_from_list([term()]) -> {ok, next()}.
stream_from_list(List) ->
    Ref = make_ref(),
    _ = put({?MODULE, list, Ref}, List),
    stream_from_fun(fun() ->
        case erase({?MODULE, list, Ref}) of
            [Value | Rest] -> _ = put({?MODULE, list, Ref}, Rest), stream_chunk(Value);
            _ -> stream_done()
        end
    end).

%% @doc A stream of what a fun returns: {value, V} until it is `done'.
-spec stream_from_fun(next()) -> {ok, next()}.
stream_from_fun(Next) when is_function(Next, 0) -> {ok, Next}.

-spec stream_chunk(Value) -> {value, Value}.
stream_chunk(Value) -> {value, Value}.

-spec stream_done() -> done.
stream_done() -> done.
