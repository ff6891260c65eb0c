%%% The Erlang side of the example: functions that app.py calls by their names.
-module(demo).

-export([start/0, add/2]).

start() ->
    ok = hornbeam:register_function("add", ?MODULE, add),
    ok = hornbeam:register_function("reverse", fun(List) -> {ok, lists:reverse(List)} end),
    ok = hornbeam:register_function("log", fun(Text) -> logger:notice("Python says: ~ts", [Text]) end),
    ok = hornbeam:register_function("refuse", fun() -> {error, not_today} end),
    ok = hornbeam:register_function("crash", fun() -> error(on_purpose) end),
    ok = hornbeam:register_function("slow", fun() -> timer:sleep(10000) end),
    ok = hornbeam:register_function("ask_python", fun ask_python/2).

add(A, B) ->
    {ok, A + B}.

ask_python(Target, Arguments) ->
    case hornbeam:call(Target, Arguments, 5000) of
        {ok, Answer} -> {ok, Answer};
        {error, {python, Class, Message, _Traceback}} -> {error, [Class, Message]};
        {error, Reason} -> {error, Reason}
    end.
