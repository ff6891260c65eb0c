%%% Waits for a condition in a test, however busy the machine is: nothing that is awaited here takes a second on a quiet one.
-module(await).

-export([until/1]).

-define(SECONDS, 60).
-define(PAUSE_MS, 10).

%% @doc Returns when it holds; an error if it never does. The case needs a limit above ?SECONDS.
-spec until(fun(() -> boolean())) -> ok.
until(Condition) ->
    until(Condition, ?SECONDS * 1000 div ?PAUSE_MS).

until(Condition, 0) ->
    error({never, Condition});
until(Condition, Left) ->
    case Condition() of
        true -> ok;
        false -> timer:sleep(?PAUSE_MS), until(Condition, Left - 1)
    end.
