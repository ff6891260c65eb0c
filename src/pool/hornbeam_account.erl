%%% Workers that run as another user or group of the operating system: the options `user' and `group'.
%%%
%%% Called by: hornbeam_python, where one of them is given. Calls: nothing.
%%%
%%% Such a worker is started by hornbeam_worker/account.py, which takes the account and then becomes the interpreter. It runs isolated (-I -S),
%%% in the python3 of the server's own PATH, with the server's own environment: nothing that the account can write is executed before it is
%%% the account that executes it, neither a virtual environment, nor .pth files, nor a variable of an env_file. What `env' and `env_file' say
%%% travels under other names (?PREFIX).
-module(hornbeam_account).

-export([check/3, command/3, variables/1]).

-define(PREFIX, "HORNBEAM_SET_").
-define(ANSWER, 10000).

-type command() :: {Program :: file:filename(), Arguments :: [iodata()]}.

%% @doc Whether a worker can become the account of these options, and run this. Taker: account.py.
-spec check(Taker :: file:filename(), command(), map()) -> ok | {error, {account, binary()}}.
check(Taker, Worker, Settings) ->
    {Launcher, Arguments} = launcher([Taker, "check"], Worker, Settings),
    Port = open_port({spawn_executable, Launcher}, [{args, Arguments}, stream, binary, exit_status, stderr_to_stdout, hide]),
    %% The caller may be anybody's process, which is to get no message of its end.
    true = unlink(Port),
    answer(Port, <<>>).

answer(Port, Said) ->
    receive
        {Port, {data, More}} -> answer(Port, <<Said/binary, More/binary>>);
        {Port, {exit_status, 0}} -> ok;
        {Port, {exit_status, _}} -> {error, {account, unicode:characters_to_binary(string:trim(Said))}}
    after ?ANSWER ->
        true = erlang:port_close(Port),
        {error, {account, <<"whether they are there could not be found out">>}}
    end.

%% @doc What becomes the account and then the worker.
-spec command(Taker :: file:filename(), command(), map()) -> command().
command(Taker, Worker, Settings) ->
    launcher([Taker, "run"], Worker, Settings).

launcher(Task, {Interpreter, Arguments}, #{user := User, group := Group}) ->
    Launcher = case os:find_executable("python3") of
        false -> Interpreter;
        Own -> Own
    end,
    {Launcher, ["-I", "-S"] ++ Task ++ [User, Group, Interpreter | Arguments]}.

%% @doc Variables of the worker as account.py is to find them.
-spec variables([{string(), string()}]) -> [{string(), string()}].
variables(Variables) ->
    [{?PREFIX ++ Name, Value} || {Name, Value} <- Variables].
