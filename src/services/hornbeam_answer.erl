%%% What Python gets for a call: values and errors, and the frame of a reply.
%%%
%%% Called by: hornbeam_services, hornbeam_running, the hornbeam_service_* modules, hornbeam_worker_calls. Calls: hornbeam_frame,
%%% hornbeam_msgpack. Pure.
%%%
%%% What an error says is bounded, and no argument is printed: a number of 64 KiB takes a second to write down, and one may
%%% have 64 MiB.
-module(hornbeam_answer).

-export([reply/2, more/2, refusal/1, list/2, raised/3]).
-export_type([answer/0]).

%% What Python gets: a value, encoded already or not; that there is none (Python then takes the caller's default); an error, by
%% the exception that it becomes, with its text or, for erlang_error, [Class, Reason, Text, Stack], for service_error
%% and hook_error [Class, Message, Traceback]; for computation_error what Python said.
-type answer() :: {ok, term()} | {packed, iodata()} | absent | {error, error_kind(), term()}.
-type error_kind() :: type_error | value_error | permission_error | connection_error | timeout
                    | not_registered | erlang_error | computation_error
                    | service_error | no_service | service_unavailable | service_overloaded | hook_error | no_hook
                    | no_cluster | no_quorum | in_doubt | cluster_overloaded.

-define(OK, 0).
-define(ERROR, 1).
-define(ABSENT, 2).
-define(MORE, 3).
%% A reason of Erlang's whose external form is longer is not shown.
-define(MAX_SHOWN, 16384).

%% @doc The frame that answers a call.
-spec reply(non_neg_integer(), answer()) -> iodata().
reply(Id, absent) ->
    hornbeam_frame:encode(reply, Id, [?ABSENT]);
reply(Id, {ok, Value}) ->
    case encode(Value) of
        {ok, Packed} -> hornbeam_frame:encode(reply, Id, [?OK | Packed]);
        Error -> reply(Id, Error)
    end;
reply(Id, {packed, Packed}) ->
    hornbeam_frame:encode(reply, Id, [?OK | Packed]);
reply(Id, {error, Kind, What}) ->
    hornbeam_frame:encode(reply, Id, [?ERROR | hornbeam_msgpack:encode([Kind, What])]).

%% @doc The frame of one of a stream of values, encoded already: more frames will come.
-spec more(pos_integer(), Packed :: iodata()) -> iodata().
more(Id, Packed) ->
    hornbeam_frame:encode(reply, Id, [?MORE | Packed]).

%% @doc What is sent instead of an answer for which there is no room.
-spec refusal(Reply :: iodata()) -> iodata().
refusal([<<_:32, _, Id:32>> | _]) ->
    refused(Id);
refusal(<<_:32, _, Id:32, _/binary>>) ->
    refused(Id).

refused(Id) ->
    reply(Id, {error, connection_error, <<"the answer was dropped: too much of earlier ones has not been read "
                                          "(option max_worker_backlog)">>}).

encode(Value) ->
    case hornbeam_msgpack:try_encode(Value) of
        {ok, Packed} ->
            case iolist_size(Packed) > max_value() of
                false -> {ok, Packed};
                true -> too_long()
            end;
        {error, {not_encodable, Part}} ->
            {error, type_error, <<"the answer has a part that cannot travel to Python: ", (shown(Part, 20))/binary>>}
    end.

too_long() ->
    {error, value_error, <<"the answer is longer than a frame may be (64 MiB)">>}.

max_value() ->
    hornbeam_frame:max_size() - 64.

%% @doc An answer that is a list of what Find finds for each key (`none': nothing). It is encoded element by element, and
%% given up when it is too long: a value of a few bytes here can be asked for a million times, and have megabytes.
-spec list(fun((Key) -> {ok, term()} | none), [Key]) -> answer().
list(Find, Keys) ->
    list(Find, Keys, max_value(), []).

list(_Find, _Keys, Left, _Elements) when Left < 0 ->
    too_long();
list(_Find, [], _Left, Elements) ->
    {packed, hornbeam_msgpack:array(lists:reverse(Elements))};
list(Find, [Key | Keys], Left, Elements) ->
    case Find(Key) of
        {ok, Value} ->
            case encode(Value) of
                {ok, Packed} ->
                    Element = iolist_to_binary(Packed),
                    list(Find, Keys, Left - byte_size(Element), [Element | Elements]);
                Error ->
                    Error
            end;
        none ->
            list(Find, Keys, Left, Elements)
    end.

%% @doc An exception of Erlang's as an answer: the reason as a value where it can travel, and as text.
-spec raised(error | exit | throw, term(), list()) -> {error, erlang_error, [term()]}.
raised(Class, Reason, Stack) ->
    Text = shown(Reason, 60),
    Value = case hornbeam_msgpack:try_encode(Reason) of
        {ok, Packed} ->
            case iolist_size(Packed) < 65536 of
                true -> Reason;
                false -> Text
            end;
        {error, _} ->
            Text
    end,
    {error, erlang_error, [Class, Value, Text, stack_text(Class, Reason, Stack)]}.

stack_text(_Class, _Reason, []) ->
    <<>>;
stack_text(Class, Reason, Stack) ->
    Told = case is_short(Reason) of true -> Reason; false -> too_long end,
    Text = erl_error:format_exception(Class, Told, [arity(Call) || Call <- lists:sublist(Stack, 20)]),
    Shown = unicode:characters_to_binary(Text),
    binary:part(Shown, 0, min(byte_size(Shown), 65536)).

%% The arguments of a call may be anything that Python has sent.
arity({Module, Function, Arguments, Location}) when is_list(Arguments) ->
    {Module, Function, length(Arguments), Location};
arity(Call) ->
    Call.

shown(Reason, Depth) ->
    case is_short(Reason) of
        true -> unicode:characters_to_binary(io_lib:format("~0tP", [Reason, Depth]));
        false -> <<"(a term too long to be shown)">>
    end.

is_short(Reason) ->
    erlang:external_size(Reason) =< ?MAX_SHOWN.
