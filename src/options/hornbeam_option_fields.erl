%%% What a line of the access log can have: the values of the option `access_log_fields'.
%%%
%%% Called by: hornbeam_option_table (check/1), hornbeam_access_line. Pure.
%%%
%%% authorization, proxy-authorization, cookie and set-cookie cannot be fields: what a log holds spreads.
-module(hornbeam_option_fields).

-export([all/0, check/1, field/1]).
-export_type([field/0]).

-type field() :: client | method | path | query | version | status | bytes | duration_ms | request_id | trace_id | span_id | host | scheme
               | user_agent | referer | {header, binary()}.
-define(FIELDS, [client, method, scheme, host, path, query, version, status, bytes, duration_ms, request_id, trace_id, span_id,
                 user_agent, referer]).
-define(SECRET, [<<"authorization">>, <<"proxy-authorization">>, <<"cookie">>, <<"set-cookie">>]).

-spec all() -> [field()].
all() ->
    ?FIELDS.

names() ->
    [atom_to_binary(Field) || Field <- ?FIELDS].

%% @doc The option access_log_fields: names of fields, or header:NAME.
-spec check([binary()]) -> ok | {error, iodata(), term()}.
check(Names) ->
    case [Name || Name <- Names, field(Name) =:= error] of
        [] -> ok;
        [Wrong | _] -> {error, ["must be of ", lists:join(", ", names()), ", or header:NAME (not of a header that "
                                "holds a secret)"], Wrong}
    end.

%% @doc By its name.
-spec field(binary()) -> field() | error.
field(<<"header:", Name0/binary>>) ->
    Name = string:lowercase(Name0),
    case Name =:= <<>> orelse lists:member(Name, ?SECRET) of
        true -> error;
        false -> {header, Name}
    end;
field(Name) ->
    case [Field || Field <- ?FIELDS, atom_to_binary(Field) =:= Name] of
        [Field] -> Field;
        [] -> error
    end.
