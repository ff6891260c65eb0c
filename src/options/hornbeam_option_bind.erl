%%% Addresses to listen on: the type of the option `bind`.
%%%
%%% Pure, but for looking up host names. Called through hornbeam_option_types, and by hornbeam_options for
%%% parse_bind/1 and format_bind/1; calls hornbeam_option_text.
-module(hornbeam_option_bind).

-behaviour(hornbeam_option_types).

-export([check/1, describe/0, format/1]).
-export_type([bind/0]).

%% Host is the host as it was written, without brackets: Ip says where to listen, Host is for people.
-type bind() ::
    {tcp, Ip :: inet:ip_address(), Port :: inet:port_number(), Host :: binary()}
    | {unix, Path :: binary()}
    | {fd, N :: pos_integer()}.

%% sockaddr_un's sun_path holds 108 bytes on Linux, the terminating NUL included.
-define(MAX_UNIX_PATH, 107).

-spec check(term()) -> {ok, bind()} | hornbeam_option_types:problem().
check({tcp, Ip, Port, Host} = Bind) when is_integer(Port), Port >= 0, Port =< 65535, is_binary(Host) ->
    case inet:is_ip_address(Ip) of
        true -> {ok, Bind};
        false -> wrong(Bind)
    end;
check({unix, Path}) when is_binary(Path) -> unix(Path, {unix, Path});
check({fd, N} = Bind) when is_integer(N), N > 2 -> {ok, Bind};
check(Given) ->
    case hornbeam_option_text:to_text(Given) of
        {ok, <<"unix:", Path/binary>>} -> unix(Path, Given);
        {ok, <<"fd://", N/binary>>} -> fd(N, Given);
        {ok, <<"[", Rest/binary>>} -> ipv6(Rest, Given);
        {ok, Text} -> host_port(Text, Given);
        error -> wrong(Given)
    end.

-spec describe() -> iodata().
describe() -> "\"HOST:PORT\", \"[IPV6]:PORT\", \":PORT\", \"unix:PATH\" or \"fd://N\"".

%% What check/1 reads back as the same address.
-spec format(bind()) -> binary().
format({unix, Path}) -> <<"unix:", Path/binary>>;
format({fd, N}) -> <<"fd://", (integer_to_binary(N))/binary>>;
format({tcp, _, Port, Host}) ->
    Printed = case binary:match(Host, <<":">>) of
        nomatch -> Host;
        _ -> <<"[", Host/binary, "]">>
    end,
    <<Printed/binary, ":", (integer_to_binary(Port))/binary>>.

wrong(Given) -> {error, ["must be ", describe()], Given}.

unix(Path, Given) ->
    case hornbeam_option_text:to_text(Path) of
        {ok, <<_, _/binary>>} -> unix_path(filename:absname(Path));
        _ -> wrong(Given)
    end.

unix_path(Path) when byte_size(Path) > ?MAX_UNIX_PATH ->
    {error, io_lib:format("must have a path of at most ~b bytes", [?MAX_UNIX_PATH]), Path};
unix_path(Path) ->
    {ok, {unix, Path}}.

fd(Digits, Given) ->
    case number(Digits, 65535) of
        {ok, N} when N > 2 -> {ok, {fd, N}};
        {ok, _} -> {error, "must not be standard input, output or error (0, 1, 2)", Given};
        error -> wrong(Given)
    end.

ipv6(Rest, Given) ->
    case binary:split(Rest, <<"]:">>) of
        [Host, Digits] ->
            case {inet:parse_ipv6strict_address(binary_to_list(Host)), number(Digits, 65535)} of
                {{ok, Ip}, {ok, Port}} -> {ok, {tcp, Ip, Port, Host}};
                {{error, _}, {ok, _}} -> {error, "must have an IPv6 address in the brackets", Given};
                {_, error} -> bad_port(Given)
            end;
        [_] ->
            wrong(Given)
    end.

host_port(Text, Given) ->
    case binary:split(Text, <<":">>, [global]) of
        [Host, Digits] ->
            case number(Digits, 65535) of
                {ok, Port} -> host(Host, Port, Given);
                error -> bad_port(Given)
            end;
        [_] ->
            wrong(Given);
        [_, _, _ | _] ->
            {error, "must have an IPv6 address in brackets, as in \"[::1]:8000\"", Given}
    end.

bad_port(Given) -> {error, "must end with a port from 0 to 65535", Given}.

host(<<>>, Port, _) ->
    {ok, {tcp, {0, 0, 0, 0}, Port, <<"0.0.0.0">>}};
host(Host, Port, Given) ->
    case re:run(Host, "^[a-zA-Z0-9._-]{1,255}$", [dollar_endonly]) of
        {match, _} ->
            case address(binary_to_list(Host)) of
                {ok, Ip} -> {ok, {tcp, Ip, Port, Host}};
                {error, _} -> {error, ["names a host that is not known: ", Host]}
            end;
        nomatch ->
            wrong(Given)
    end.

%% Nothing but digits and dots is an address or a mistake, never a name to ask a name server for.
address(Host) ->
    case {inet:parse_ipv4strict_address(Host), re:run(Host, "^[0-9.]+$")} of
        {{ok, Ip}, _} -> {ok, Ip};
        {{error, Reason}, {match, _}} -> {error, Reason};
        {{error, _}, nomatch} ->
            case inet:getaddr(Host, inet) of
                {ok, Ip} -> {ok, Ip};
                {error, _} -> inet:getaddr(Host, inet6)
            end
    end.

number(Digits, Max) ->
    case re:run(Digits, "^[0-9]{1,5}$", [dollar_endonly]) of
        {match, _} ->
            case binary_to_integer(Digits) of
                N when N =< Max -> {ok, N};
                _ -> error
            end;
        nomatch ->
            error
    end.
