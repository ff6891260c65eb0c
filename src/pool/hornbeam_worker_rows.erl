%%% What a worker has in progress, for a person: which request it is, whose, and for how long.
%%%
%%% Called by: hornbeam_in_progress, hornbeam_slow (src/diagnose), in their processes; hornbeam_worker, when its Python process has died. Calls:
%%% hornbeam_worker_streams, hornbeam_worker_questions, hornbeam_msgpack. A request costs nothing for it but the time in its row; who asks decodes the scope that
%%% the row refers to (hornbeam_scope has its form). No query: it may hold what is secret.
-module(hornbeam_worker_rows).

-export([ask/2, describe/1, name/2]).
-export_type([row/0]).

%% id: of the stream. method: that of the request, or <<"CALL">>, whose path is what is called, or <<>>.
-type row() :: #{id := hornbeam_frame:stream_id(), pid := pid(), kind := request | websocket | call, method := binary(), path := binary(),
                 route := none | binary(), client := binary() | none, request_id := binary() | none, age_us := non_neg_integer()}.

%% @doc What that worker has in progress for so many microseconds or longer, the oldest first.
-spec ask(Worker :: pid(), LeastAge :: non_neg_integer()) -> [row()].
ask(Worker, LeastAge) ->
    case hornbeam_worker_questions:streams(Worker) of
        {ok, Table} ->
            Before = erlang:monotonic_time() - erlang:convert_time_unit(LeastAge, microsecond, native),
            describe(hornbeam_worker_streams:rows(Table, Before));
        {error, _} ->
            []
    end.

-spec describe([hornbeam_worker_streams:row()]) -> [row()].
describe(Rows) ->
    Now = erlang:monotonic_time(),
    [row(Row, Now) || Row <- lists:keysort(3, Rows)].

row({Id, Pid, Since, About, Kind}, Now) ->
    Age = erlang:convert_time_unit(max(0, Now - Since), native, microsecond),
    maps:merge(about(Kind, About), #{id => Id, pid => Pid, kind => Kind, route => none, age_us => Age}).

about(call, About) ->
    Path = case About of none -> <<>>; _ -> binary:replace(About, <<0>>, <<".">>, [global]) end,
    #{method => <<"CALL">>, path => Path, client => none, request_id => none};
about(_Kind, Scope) when is_binary(Scope) ->
    case hornbeam_msgpack:decode_raw(Scope) of
        {ok, [Method, Path, RawPath, _Query, _Version, _Scheme, _Root, Client, _Server, Fields | _]} ->
            #{method => binary:copy(Method), path => printable(case Path of none -> RawPath; _ -> Path end), client => client(Client),
              request_id => field(<<"x-request-id">>, Fields)};
        _ ->
            about(none, none)
    end;
about(_Kind, none) ->
    #{method => <<>>, path => <<>>, client => none, request_id => none}.

%% A client chose it, and it goes into lines of the log and to terminals: control characters (of both sets) and what else ends a line are %XX again.
printable(Text) -> printable(Text, <<>>).

printable(<<C, Rest/binary>>, Acc) when C < $\s; C =:= 127 -> printable(Rest, <<Acc/binary, (percent(<<C>>))/binary>>);
printable(<<C/utf8, Rest/binary>>, Acc) when C >= 128, C < 160; C =:= 16#2028; C =:= 16#2029 -> printable(Rest, <<Acc/binary, (percent(<<C/utf8>>))/binary>>);
printable(<<C/utf8, Rest/binary>>, Acc) -> printable(Rest, <<Acc/binary, C/utf8>>);
printable(<<C, Rest/binary>>, Acc) -> printable(Rest, <<Acc/binary, (percent(<<C>>))/binary>>);
printable(<<>>, Acc) -> Acc.

percent(Bytes) -> << <<$%, (binary:encode_hex(<<Byte>>))/binary>> || <<Byte>> <= Bytes >>.

client([Address, Port]) when is_integer(Port) -> <<Address/binary, ":", (integer_to_binary(Port))/binary>>;
client(_) -> none.

field(Name, Fields) ->
    case [Value || [N, Value] <- Fields, N =:= Name] of
        [Value | _] -> printable(Value);
        [] -> none
    end.

%% @doc What a worker is called: its number; behind its place where that is not the root.
-spec name(hornbeam_pool:id(), Number :: pos_integer()) -> binary().
name({_, <<>>}, Number) -> integer_to_binary(Number);
name({_, {service, Service}}, Number) -> <<Service/binary, "/", (integer_to_binary(Number))/binary>>;
name({_, Place}, Number) -> <<Place/binary, "/", (integer_to_binary(Number))/binary>>.
