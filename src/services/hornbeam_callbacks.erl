%%% The functions that Erlang offers to Python by name.
%%%
%%%     ok = hornbeam:register_function("add", fun(A, B) -> {ok, A + B} end),
%%%     {ok, 3} = hornbeam_callbacks:call("add", [1, 2]).
%%%
%%% Owns the table hornbeam_callbacks (hornbeam_tables owns the table itself). Called by: hornbeam,
%%% hornbeam_service_callbacks (Python's `call' and `cast'), and any OTP application. A name is a binary; a
%%% string or an atom is taken for its text. A function stays until it is unregistered, whoever
%%% registered it; registering a name again replaces its function.
-module(hornbeam_callbacks).

-export([register/2, register/3, unregister/1, find/1, call/2, run/2, names/0]).
-export_type([name/0, callable/0]).

-define(TABLE, hornbeam_callbacks).

-type name() :: binary() | string() | atom().
-type callable() :: fun() | {module(), atom()}.

%% @doc Offers a fun; it is called with as many arguments as Python gives.
-spec register(name(), fun()) -> ok.
register(Name, Fun) when is_function(Fun) ->
    true = ets:insert(?TABLE, {text(Name), Fun}),
    ok.

%% @doc Offers an exported function; each call runs the code that is then loaded.
-spec register(name(), module(), atom()) -> ok.
register(Name, Module, Function) when is_atom(Module), is_atom(Function) ->
    true = ets:insert(?TABLE, {text(Name), {Module, Function}}),
    ok.

-spec unregister(name()) -> ok | {error, not_registered}.
unregister(Name) ->
    case ets:take(?TABLE, text(Name)) of
        [_] -> ok;
        [] -> {error, not_registered}
    end.

-spec find(name()) -> {ok, callable()} | error.
find(Name) ->
    case ets:lookup(?TABLE, text(Name)) of
        [{_, Function}] -> {ok, Function};
        [] -> error
    end.

%% @doc The registered names, sorted.
-spec names() -> [binary()].
names() ->
    lists:sort([Name || {Name, _} <- ets:tab2list(?TABLE)]).

%% @doc Calls a registered function in the calling process and returns what it returns; its exceptions
%% are the caller's.
-spec call(name(), [term()]) -> term() | {error, not_registered}.
call(Name, Arguments) ->
    case find(Name) of
        {ok, Function} -> run(Function, Arguments);
        error -> {error, not_registered}
    end.

%% @doc Calls what find/1 found.
-spec run(callable(), [term()]) -> term().
run({Module, Function}, Arguments) -> apply(Module, Function, Arguments);
run(Fun, Arguments) -> apply(Fun, Arguments).

text(Name) when is_binary(Name) -> Name;
text(Name) when is_atom(Name) -> atom_to_binary(Name);
text(Name) -> <<_/binary>> = unicode:characters_to_binary(Name).
