%%% Calls of Python functions from Erlang.
%%%
%%%     {ok, 3.0} = hornbeam:call("math:fsum", [[1, 2]], 5000).
%%%
%%% Called by: hornbeam:call/2,3,4. Calls: hornbeam_pool (a place on a worker, as for a request),
%%% hornbeam_worker (the `invoke' frame; the answer is a `result' frame).
%%%
%%%     invoke   msgpack [target, list of arguments, map of keyword arguments]
%%%     result   flags:u8 (bit 0: the last frame of the stream, always; bit 1: an exception), msgpack
%%%              value, or [class, message, traceback]
%%%
%%% Each call runs in a process of its own, which monitors its caller: no late answer reaches the caller's
%%% mailbox, and a caller that dies ends its call. A call that is given up (timeout, dead caller) is told to
%%% Python, where an async function is cancelled; a plain one runs to its end, as threads do.
%%%
%%% Limits: a call takes a place of max_concurrency, and waits for one (max_queue) until its deadline.
-module(hornbeam_call).

-export([call/4]).
-export_type([options/0, failure/0]).

-include("hornbeam.hrl").

%% server, mount: whose worker runs it, by default the server `default' and its root application. kwargs:
%% keyword arguments by their names.
-type options() :: #{server => atom(), mount => binary(), kwargs => #{binary() | atom() => term()}}.

%% python: what it raised: the name of its class ("ValueError", "package.module.Class"), its text and its
%% traceback.
-type failure() ::
    timeout | overloaded | worker_died | {no_application, Server :: atom(), Mount :: binary()}
    | {not_encodable, hornbeam_msgpack:part()}
    | {python, Class :: binary(), Message :: binary(), Traceback :: binary()}.

-spec call(string() | binary(), [term()], timeout(), options()) -> {ok, term()} | {error, failure()}.
call(Target, Arguments, Timeout, Options) ->
    Call = [unicode:characters_to_binary(Target), Arguments, maps:get(kwargs, Options, #{})],
    Pool = {maps:get(server, Options, default), maps:get(mount, Options, <<>>)},
    case hornbeam_msgpack:try_encode(Call) of
        {ok, Packed} ->
            case iolist_size(Packed) + 64 > hornbeam_frame:max_size() of
                false -> in_process(Pool, Packed, deadline(Timeout));
                true -> {error, {not_encodable, too_big}}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

deadline(infinity) -> infinity;
deadline(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

in_process(Pool, Packed, Deadline) ->
    Caller = self(),
    Answer = make_ref(),
    {ok, Pid} = hornbeam_call_sup:start_call(fun() ->
        Down = monitor(process, Caller),
        Caller ! {Answer, attempt(#{pool => Pool, packed => Packed, deadline => Deadline,
                                    owner => {self(), Answer}, caller => Down})}
    end),
    Monitor = monitor(process, Pid),
    receive
        {Answer, Result} ->
            true = demonitor(Monitor, [flush]),
            Result;
        {'DOWN', Monitor, process, Pid, _Reason} ->
            {error, worker_died}
    end.

%% Takes a place and sends the call; waits for a place when there is none.
attempt(#{pool := Pool, packed := Packed, owner := Owner} = Call) ->
    case hornbeam_pool:checkout(Pool, call) of
        {ok, Slot, Id, _Load} ->
            ok = hornbeam_worker:open(Slot, Id, Owner, hornbeam_frame:encode(invoke, Id, Packed)),
            await_result(Slot, Id, Call);
        none ->
            await_place(Call, back)
    end.

await_place(#{pool := {Server, Mount} = Pool, owner := Owner, caller := Down} = Call, Where) ->
    case hornbeam_pool:wait(Pool, Owner, Where) of
        ok ->
            receive
                {Owner, try_again} -> attempt(Call);
                {'DOWN', Down, process, _, _} -> hornbeam_pool:cancel(Pool, Owner), {error, timeout}
            after left(Call) ->
                ok = hornbeam_pool:cancel(Pool, Owner),
                {error, timeout}
            end;
        {error, queue_full} ->
            {error, overloaded};
        {error, no_pool} ->
            {error, {no_application, Server, Mount}}
    end.

await_result(Slot, Id, #{owner := Owner, caller := Down} = Call) ->
    receive
        {Owner, {worker, result, Payload}} ->
            {ok, Result} = hornbeam_frame:parse(result, Payload),
            result(Result);
        {Owner, {worker_lost, refused}} ->
            attempt(Call);
        {Owner, {worker_lost, died}} ->
            {error, worker_died};
        {'DOWN', Down, process, _, _} ->
            give_up(Slot, Id)
    after left(Call) ->
        give_up(Slot, Id)
    end.

result({raised, Class, Message, Traceback}) ->
    {error, {python, Class, Message, Traceback}};
result({returned, Packed}) ->
    case hornbeam_msgpack:decode(Packed) of
        {ok, Value} ->
            {ok, Value};
        {error, Reason} ->
            Text = io_lib:format("the result could not be decoded: ~0tp", [Reason]),
            {error, {python, <<"ValueError">>, unicode:characters_to_binary(Text), <<>>}}
    end.

give_up(Slot, Id) ->
    ok = hornbeam_worker:close(Slot, Id, hornbeam_frame:encode(disconnect, Id, <<0>>)),
    {error, timeout}.

left(#{deadline := infinity}) -> infinity;
left(#{deadline := Deadline}) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
