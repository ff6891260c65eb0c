%%% What Python can ask of Erlang: one table, operation -> handler.
%%%
%%% Called by: hornbeam_worker, in its process, for each `call' frame. Its mirror is
%%% hornbeam_erlang/_operations.py; test/wire_vectors.json ("operations") holds the two together.
%%%
%%% A handler that only touches ETS answers at once. One that may take longer must run in a process of
%%% its own and be answered through handle_info/2: a worker's process never waits.
-module(hornbeam_services).

-export([new/2, call/3, handle_info/2, stop/1, operations/0]).
-export_type([state/0]).

-record(services, {
    worker :: pos_integer(),
    settings :: map()
}).
-opaque state() :: #services{}.

%% What a handler answers: a value; that there is none (Python then takes the caller's default); an
%% error that becomes the named exception in Python.
-type answer() :: {ok, term()} | absent | {error, {type_error | erlang_error, binary()}}.

-define(OK, 0).
-define(ERROR, 1).
-define(ABSENT, 2).

-spec new(Worker :: pos_integer(), Settings :: map()) -> state().
new(Worker, Settings) ->
    #services{worker = Worker, settings = Settings}.

%% @doc Answers a call frame's payload: operation:u8, msgpack array of arguments.
-spec call(non_neg_integer(), binary(), state()) -> {reply, iodata(), state()}.
call(Id, <<Operation, Packed/binary>>, Services) ->
    Answer = case hornbeam_msgpack:decode(Packed) of
        {ok, Arguments} when is_list(Arguments) ->
            handle(Operation, Arguments);
        _ ->
            {error, {erlang_error, <<"the arguments could not be decoded">>}}
    end,
    {reply, reply(Id, Answer), Services};
call(Id, <<>>, Services) ->
    {reply, reply(Id, {error, {erlang_error, <<"an empty call">>}}), Services}.

%% @doc Messages that the worker does not know: none yet takes a process of its own.
-spec handle_info(term(), state()) -> {[iodata()], state()}.
handle_info(_Message, Services) ->
    {[], Services}.

-spec stop(state()) -> ok.
stop(_Services) ->
    ok.

%% @doc The table's names and codes, for the test that compares it with Python's.
-spec operations() -> #{binary() => byte()}.
operations() ->
    #{<<"state_get">> => 1, <<"state_set">> => 2, <<"state_delete">> => 3, <<"state_incr">> => 4,
      <<"state_get_multi">> => 5, <<"state_keys">> => 6}.

-spec handle(byte(), [term()]) -> answer().
handle(1, [Key]) ->
    case hornbeam_state:get(Key) of
        {ok, Value} -> {ok, Value};
        error -> absent
    end;
handle(2, [Key, Value, Ttl]) ->
    ok = hornbeam_state:set(Key, Value, ttl(Ttl)),
    {ok, none};
handle(3, [Key]) ->
    {ok, hornbeam_state:delete(Key)};
handle(4, [Key, Delta, Ttl]) ->
    case hornbeam_state:incr(Key, Delta, ttl(Ttl)) of
        {ok, Value} -> {ok, Value};
        {error, not_a_number} -> {error, {type_error, <<"the stored value is not a number">>}}
    end;
handle(5, [Keys]) ->
    {ok, hornbeam_state:get_multi(Keys)};
handle(6, [Prefix]) ->
    {ok, hornbeam_state:keys(Prefix)};
handle(Operation, Arguments) ->
    Text = io_lib:format("no operation ~b with ~b arguments", [Operation, length(Arguments)]),
    {error, {erlang_error, iolist_to_binary(Text)}}.

%% Python sends milliseconds or None.
ttl(none) -> infinity;
ttl(Milliseconds) when is_integer(Milliseconds) -> Milliseconds.

reply(Id, {ok, Value}) ->
    hornbeam_frame:encode(reply, Id, [?OK | hornbeam_msgpack:encode(Value)]);
reply(Id, absent) ->
    hornbeam_frame:encode(reply, Id, [?ABSENT]);
reply(Id, {error, {Kind, Text}}) ->
    hornbeam_frame:encode(reply, Id, [?ERROR | hornbeam_msgpack:encode([Kind, Text])]).
