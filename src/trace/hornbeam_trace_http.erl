%%% One HTTP request to whoever takes spans, on a connection of its own: HTTP/1.1, with TLS for https.
%%%
%%% Called by: hornbeam_trace_exporter, in a process for it. Calls: gen_tcp, ssl, public_key. (OTP's httpc would be an application more, with processes and
%%% caches of its own, in every release.)
%%%
%%% The certificate of the other side is looked at, with its name, as browsers do. Of the answer only its status and retry-after count: the
%%% connection closes without the rest being read. An address of a name is tried in IPv6 and IPv4, as the machine has them.
-module(hornbeam_trace_http).

-export([post/4]).
-export_type([answer/0]).

%% retry-after: seconds, where the answer says so.
-type answer() :: {ok, Status :: pos_integer(), RetryAfter :: non_neg_integer() | none} | {error, term()}.

-define(MAX_FIELDS, 200).

%% @doc Time: for all of it, in ms.
-spec post(Url :: binary(), [{binary(), iodata()}], Body :: iodata(), #{timeout := pos_integer(), certificate := string() | none, _ => _}) -> answer().
post(Url, Headers, Body, #{timeout := Time, certificate := Certificate}) ->
    #{scheme := Scheme, host := Host} = Parts = uri_string:parse(Url),
    Deadline = erlang:monotonic_time(millisecond) + Time,
    case connect(Scheme, binary_to_list(Host), maps:get(port, Parts, default_port(Scheme)), Certificate, Deadline) of
        {ok, Socket} ->
            Answer = exchange(Socket, request(Parts, Headers, Body), Deadline),
            _ = close(Socket),
            Answer;
        {error, Reason} ->
            {error, Reason}
    end.

default_port(<<"http">>) -> 80;
default_port(<<"https">>) -> 443.

request(#{host := Host, path := Path0} = Parts, Headers, Body) ->
    Path = case Path0 of <<>> -> <<"/">>; _ -> Path0 end,
    Query = case Parts of #{query := Given} -> [$?, Given]; #{} -> [] end,
    Port = case Parts of #{port := Number} when is_integer(Number) -> [$:, integer_to_binary(Number)]; #{} -> [] end,
    Bracketed = case binary:match(Host, <<":">>) of nomatch -> Host; _ -> [$[, Host, $]] end,
    Fields = [{<<"host">>, [Bracketed, Port]}, {<<"content-length">>, integer_to_binary(iolist_size(Body))}, {<<"connection">>, <<"close">>} | Headers],
    [<<"POST ">>, Path, Query, <<" HTTP/1.1\r\n">>, [[Name, <<": ">>, Value, <<"\r\n">>] || {Name, Value} <- Fields], <<"\r\n">>, Body].

connect(Scheme, Host, Port, Certificate, Deadline) ->
    Options = [binary, {active, false}, {packet, http_bin}, {send_timeout, left(Deadline)}, {send_timeout_close, true}],
    attempts([{Family, Address} || Family <- [inet6, inet], {ok, Addresses} <- [inet:getaddrs(Host, Family)], Address <- Addresses],
             fun(Family, Address) -> open(Scheme, Host, Address, Port, [Family | Options], Certificate, Deadline) end, {error, nxdomain}).

attempts([], _Open, Last) -> Last;
attempts([{Family, Address} | Rest], Open, _Last) ->
    case Open(Family, Address) of
        {ok, Socket} -> {ok, Socket};
        Error -> attempts(Rest, Open, Error)
    end.

open(<<"http">>, _Host, Address, Port, Options, _Certificate, Deadline) ->
    case gen_tcp:connect(Address, Port, Options, left(Deadline)) of
        {ok, Socket} -> {ok, {tcp, Socket}};
        {error, Reason} -> {error, Reason}
    end;
open(<<"https">>, Host, Address, Port, Options, Certificate, Deadline) ->
    Trusted = case Certificate of
        none -> {cacerts, public_key:cacerts_get()};
        File -> {cacertfile, File}
    end,
    %% Of an address, the one that is connected to is what the certificate is to have.
    Name = case inet:parse_address(Host) of {ok, _} -> []; {error, _} -> [{server_name_indication, Host}] end,
    Tls = [{verify, verify_peer}, Trusted, {depth, 10}, {customize_hostname_check, [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]} | Name],
    case ssl:connect(Address, Port, Options ++ Tls, left(Deadline)) of
        {ok, Socket} -> {ok, {tls, Socket}};
        {error, Reason} -> {error, Reason}
    end.

exchange(Socket, Request, Deadline) ->
    case send(Socket, Request) of
        ok -> status(recv(Socket, Deadline), Socket, Deadline);
        {error, Reason} -> {error, Reason}
    end.

%% An informational response is followed by another one.
status({ok, {http_response, _, Status, _}}, Socket, Deadline) ->
    case fields(recv(Socket, Deadline), none, 0, Socket, Deadline) of
        {ok, _} when Status < 200 -> status(recv(Socket, Deadline), Socket, Deadline);
        {ok, After} -> {ok, Status, After};
        Error -> Error
    end;
status({ok, _}, _Socket, _Deadline) -> {error, not_http};
status(Error, _Socket, _Deadline) -> Error.

fields({ok, http_eoh}, After, _Number, _Socket, _Deadline) -> {ok, After};
fields({ok, {http_header, _, 'Retry-After', _, Value}}, _After, Number, Socket, Deadline) ->
    fields(recv(Socket, Deadline), seconds(string:trim(Value)), Number + 1, Socket, Deadline);
fields({ok, {http_header, _, _, _, _}}, After, Number, Socket, Deadline) when Number < ?MAX_FIELDS ->
    fields(recv(Socket, Deadline), After, Number + 1, Socket, Deadline);
fields({ok, _}, _After, _Number, _Socket, _Deadline) -> {error, not_http};
fields(Error, _After, _Number, _Socket, _Deadline) -> Error.

%% Seconds, or a date (RFC 9110, 10.2.3), in the form that is sent today.
seconds(Value) ->
    case string:to_integer(Value) of
        {Seconds, <<>>} when is_integer(Seconds), Seconds >= 0 -> Seconds;
        _ -> until(re:run(Value, "^\\w{3}, (\\d\\d) (\\w{3}) (\\d{4}) (\\d\\d):(\\d\\d):(\\d\\d) GMT$", [{capture, all_but_first, binary}]))
    end.

until({match, [Day, Month, Year, Hour, Minute, Second]}) ->
    Months = [<<"Jan">>, <<"Feb">>, <<"Mar">>, <<"Apr">>, <<"May">>, <<"Jun">>, <<"Jul">>, <<"Aug">>, <<"Sep">>, <<"Oct">>, <<"Nov">>, <<"Dec">>],
    case [N || {N, Name} <- lists:enumerate(Months), Name =:= Month] of
        [Number] ->
            [Y, D, H, M, S] = [binary_to_integer(Text) || Text <- [Year, Day, Hour, Minute, Second]],
            Then = calendar:datetime_to_gregorian_seconds({{Y, Number, D}, {H, M, S}}) - 62167219200,
            max(0, Then - os:system_time(second));
        [] ->
            none
    end;
until(nomatch) ->
    none.

left(Deadline) -> max(1, Deadline - erlang:monotonic_time(millisecond)).

send({tcp, Socket}, Data) -> gen_tcp:send(Socket, Data);
send({tls, Socket}, Data) -> ssl:send(Socket, Data).

recv({tcp, Socket}, Deadline) -> gen_tcp:recv(Socket, 0, left(Deadline));
recv({tls, Socket}, Deadline) -> ssl:recv(Socket, 0, left(Deadline)).

close({tcp, Socket}) -> gen_tcp:close(Socket);
close({tls, Socket}) -> ssl:close(Socket).
