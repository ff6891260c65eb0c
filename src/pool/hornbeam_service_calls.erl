%%% Calls of services: from Erlang (hornbeam:service_call, service_stream), and from Python's workers (hornbeam_erlang.service).
%%%
%%% Called by: hornbeam; hornbeam_services, whose table names this module for Python's operations (that room lies below the pools).
%%% Calls: hornbeam_service_pools (which pool), hornbeam_call_stream (the call), hornbeam_call (decoded/1), hornbeam_msgpack.
%%%
%%% What travels between Python's workers is an envelope (hornbeam_worker/envelope.py), of which nothing is looked at here: arguments of 16
%%% MiB are a reference to the bytes that the port has read. From Erlang the envelope has no buffers, and the answer is asked for as values
%%% that Erlang has (flag ?FOR_ERLANG): a numpy array arrives as a map of `dtype', `shape' and `data'.
%%%
%%% A stream from Erlang: {ok, Stream}, then next/2 until it says done. The values that have not been taken are in the caller's mailbox, a
%%% window of them and one more at most.
-module(hornbeam_service_calls).
-behaviour(hornbeam_services).

-export([handle/3, call/5, stream/4, next/2, stop/1]).
-export_type([options/0, failure/0, stream/0]).

-include("hornbeam.hrl").

-define(STREAM, 1).
-define(FOR_ERLANG, 2).
%% The longest that Erlang's timers take.
-define(MAX_MS, 16#ffffffff).
%% Without a timeout of the caller's.
-define(TIMEOUT, 60000).

%% server: whose service; `default' by default. kwargs: keyword arguments by their names. timeout: of a stream, in ms: for each next value.
-type options() :: #{server => atom(), kwargs => #{binary() | atom() => term()}, timeout => timeout()}.

%% python: what the method raised. no_service: none of that name. unavailable: its pool is just being restarted, or its process has died
%% during the call. overloaded: its queue is full.
-type failure() :: timeout | overloaded | unavailable | {no_service, binary()} | {not_encodable, hornbeam_msgpack:part()}
                 | {python, Class :: binary(), Message :: binary(), Traceback :: binary()}.

-record(stream, {stream :: hornbeam_call_stream:stream(), window :: pos_integer(), taken = 0 :: non_neg_integer()}).
-opaque stream() :: #stream{}.

%%% From Erlang

%% @doc Calls a method of a service and returns its value. Timeout in ms.
-spec call(Service :: atom() | string() | binary(), Method :: atom() | string() | binary(), [term()], timeout(), options()) ->
    {ok, term()} | {error, failure()}.
call(Service, Method, Arguments, Timeout, Options) ->
    case begun(Service, Method, Arguments, value, Options#{timeout => Timeout}) of
        {ok, #stream{stream = Stream}} ->
            case hornbeam_call_stream:await(Stream) of
                {done, Packed} -> hornbeam_call:decoded(Packed);
                {error, Failure} -> {error, failure(Failure)}
            end;
        Error ->
            Error
    end.

%% @doc Calls a method of a service that has many values (a generator). They are got by next/2; whoever wants no more of them says stop/1, or
%% ends.
-spec stream(Service :: atom() | string() | binary(), Method :: atom() | string() | binary(), [term()], options()) ->
    {ok, stream()} | {error, failure()}.
stream(Service, Method, Arguments, Options) ->
    begun(Service, Method, Arguments, stream, Options).

%% @doc Gives the next value, with the stream as it is then; or says that it was the last. Timeout: how long to wait for it, in ms; after that the stream
%% is as it was.
-spec next(stream(), timeout()) -> {value, term(), stream()} | done | {error, failure()}.
next(#stream{stream = Stream} = State, Timeout) ->
    Ref = hornbeam_call_stream:ref(Stream),
    receive
        {Ref, _} = Message -> event(hornbeam_call_stream:event(Message, Stream), State)
    after Timeout ->
        {error, timeout}
    end.

event({value, Packed}, #stream{stream = Stream, window = Window, taken = Taken0} = State) ->
    Taken = case Taken0 + hornbeam_credit:message(byte_size(Packed)) of
        Due when Due * 4 >= Window -> ok = hornbeam_call_stream:taken(Due, Stream), 0;
        NotYet -> NotYet
    end,
    case hornbeam_call:decoded(Packed) of
        {ok, Value} -> {value, Value, State#stream{taken = Taken}};
        Error -> ok = stop(State), Error
    end;
event({done, _}, _State) ->
    done;
event({error, Failure}, _State) ->
    {error, failure(Failure)}.

%% @doc Ends a stream whose further values nobody wants: its generator is closed.
-spec stop(stream()) -> ok.
stop(#stream{stream = Stream}) ->
    hornbeam_call_stream:stop(Stream).

begun(Service0, Method0, Arguments, Kind, Options) ->
    Service = text(Service0),
    Name = maps:get(server, Options, default),
    case {hornbeam_service_pools:find(Name, Service), hornbeam_msgpack:try_encode([Arguments, maps:get(kwargs, Options, #{}) | hornbeam_trace_context:current()])} of
        {error, _} ->
            {error, {no_service, Service}};
        {_, {error, Reason}} ->
            {error, Reason};
        {{ok, Mount}, {ok, Packed}} ->
            case iolist_size(Packed) > hornbeam_frame:max_size() - 1024 of
                false -> {ok, start(Mount, text(Method0), [<<0:32>> | Packed], Kind, {?FOR_ERLANG, maps:get(timeout, Options, ?TIMEOUT)}, self())};
                true -> {error, {not_encodable, too_big}}
            end
    end.

text(Name) when is_atom(Name) -> atom_to_binary(Name);
text(Name) -> unicode:characters_to_binary(Name).

failure(worker_died) -> unavailable;
failure(no_pool) -> unavailable;
failure(Failure) -> Failure.

start(#mount{pool = Pool, settings = #{window := Window}}, Method, Envelope, Kind, {Flags0, Timeout}, Caller) ->
    Flags = case Kind of stream -> Flags0 bor ?STREAM; value -> Flags0 end,
    Open = fun(Id, Left) -> hornbeam_frame:perform(Id, {Flags, left(Left)}, Method, Envelope) end,
    #stream{stream = hornbeam_call_stream:start(#{pool => Pool, kind => Kind, timeout => Timeout, window => Window, caller => Caller,
                                                  open => Open}),
            window = Window}.

left(infinity) -> 0;
left(Left) -> max(1, min(Left, ?MAX_MS)).

%%% From Python

%% Timeout: ms, or none.
-spec handle(atom(), [term()], map()) -> hornbeam_services:outcome().
handle(Operation, [Timeout, Service, Method, {bytes, Envelope}], #{name := Name})
        when (is_integer(Timeout) andalso Timeout > 0 andalso Timeout =< ?MAX_MS) orelse Timeout =:= none,
             is_binary(Service), is_binary(Method), byte_size(Method) < 1024, is_binary(Envelope) ->
    Caller = self(),
    Time = case Timeout of none -> infinity; _ -> Timeout end,
    case hornbeam_service_pools:find(Name, Service) of
        {ok, Mount} ->
            Start = fun(Kind) -> start(Mount, Method, Envelope, Kind, {0, Time}, Caller) end,
            run(Operation, Service, Time, Start);
        error ->
            {error, no_service, <<"there is no service \"", (binary:part(Service, 0, min(100, byte_size(Service))))/binary,
                                  "\" (option services)">>}
    end;
handle(Operation, _Arguments, _) ->
    {error, type_error, <<"wrong arguments for ", (atom_to_binary(Operation))/binary>>}.

%% The process of the operation outlives the call's own timeout a little, so that this is what is told. A stream has none in all.
run(service_call, Service, Time, Start) ->
    {run, case Time of infinity -> ?MAX_MS; _ -> min(?MAX_MS, Time + 1000) end,
     fun() ->
         #stream{stream = Stream} = Start(value),
         answer(hornbeam_call_stream:await(Stream), Service)
     end};
run(service_stream, Service, _Time, Start) ->
    {stream, ?MAX_MS,
     fun(Send) ->
         #stream{stream = Stream} = Start(stream),
         pass_on(Stream, hornbeam_call_stream:ref(Stream), Send, Service)
     end}.

pass_on(Stream, Ref, Send, Service) ->
    receive
        {Ref, {value, Packed}} -> ok = Send(head(Packed)), pass_on(Stream, Ref, Send, Service);
        {Ref, _} = Message -> answer(hornbeam_call_stream:event(Message, Stream), Service);
        {hornbeam_taken, Count} -> ok = hornbeam_call_stream:taken(Count, Stream), pass_on(Stream, Ref, Send, Service);
        {'DOWN', _, process, _, _} = Message ->
            case hornbeam_call_stream:event(Message, Stream) of
                ignore -> pass_on(Stream, Ref, Send, Service);
                Event -> answer(Event, Service)
            end
    end.

answer({done, Packed}, _Service) -> {packed, head(Packed)};
answer({error, {python, Class, Message, Traceback}}, _Service) -> {error, service_error, [Class, Message, Traceback]};
answer({error, timeout}, Service) -> {error, timeout, <<"the service \"", Service/binary, "\" has not answered in time">>};
answer({error, overloaded}, Service) ->
    {error, service_overloaded, <<"the queue of the service \"", Service/binary, "\" is full">>};
answer({error, worker_died}, Service) ->
    {error, service_unavailable, <<"the process of the service \"", Service/binary, "\" ended during the call">>};
answer({error, no_pool}, Service) ->
    {error, service_unavailable, <<"the service \"", Service/binary, "\" is being started anew">>}.

%% An envelope as a msgpack value: a bin 32, whose head is as long as hornbeam_frame:perform/4 counts on.
head(Envelope) -> [<<16#c6, (byte_size(Envelope)):32>> | Envelope].
