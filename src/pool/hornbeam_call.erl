%%% Calls of Python functions from Erlang.
%%%
%%%     {ok, 3.0} = hornbeam:call("math:fsum", [[1, 2]], 5000).
%%%
%%% Called by: hornbeam:call/2,3,4. Calls: hornbeam_call_stream (which finds a worker and sends it the `invoke' frame; the answer is a
%%% `result' frame), hornbeam_msgpack.
%%%
%%%     invoke   msgpack [target, list of arguments, map of keyword arguments]
%%%     result   flags:u8 (bit 0: the last frame of the stream, always; bit 1: an exception), msgpack
%%%              value, or [class, message, traceback]
%%%
%%% A call that is given up (timeout, dead caller) is told to Python, where an async function is cancelled; a plain one runs to its
%%% end, as threads do. Its process, its times and its limits are those of hornbeam_call_stream.
-module(hornbeam_call).

-export([call/4, decoded/1]).
-export_type([options/0, failure/0]).

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
                false -> sent(Pool, Packed, Timeout);
                true -> {error, {not_encodable, too_big}}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

sent({Server, Mount} = Pool, Packed, Timeout) ->
    Open = fun(Id, _Left) -> hornbeam_frame:encode(invoke, Id, Packed) end,
    Stream = hornbeam_call_stream:start(#{pool => Pool, kind => value, timeout => Timeout, window => 1, caller => none, open => Open}),
    case hornbeam_call_stream:await(Stream) of
        {done, Value} -> decoded(Value);
        {error, no_pool} -> {error, {no_application, Server, Mount}};
        {error, Failure} -> {error, Failure}
    end.

%% @doc The value that Python has sent.
-spec decoded(binary()) -> {ok, term()} | {error, {python, binary(), binary(), binary()}}.
decoded(Packed) ->
    case hornbeam_msgpack:decode(Packed) of
        {ok, Value} ->
            {ok, Value};
        {error, Reason} ->
            Text = io_lib:format("the result could not be decoded: ~0tp", [Reason]),
            {error, {python, <<"ValueError">>, unicode:characters_to_binary(Text), <<>>}}
    end.
