%%% Whom the exporter of spans talks to with https: only who has a certificate of that name by an authority that it trusts.
-module(hornbeam_trace_http_tests).

-include_lib("eunit/include/eunit.hrl").

-define(ANSWER, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").
-define(OPTIONS, [binary, {active, false}, {reuseaddr, true}, {ip, {127, 0, 0, 1}}, {log_level, none}]).

https_test_() ->
    {timeout, 300, fun() ->
        {ok, _} = application:ensure_all_started(ssl),
        {Server, Trusted} = certificates(),
        {_, Stranger} = certificates(),
        {ok, Listening} = ssl:listen(0, ?OPTIONS ++ Server),
        {ok, {_, Port}} = ssl:sockname(Listening),
        Pid = spawn_link(fun() -> serve(Listening) end),
        Post = fun(Host, Authority) ->
            Url = iolist_to_binary(["https://", Host, $:, integer_to_list(Port), "/v1/traces"]),
            hornbeam_trace_http:post(Url, [], <<"body">>, #{timeout => 60000, certificate => Authority})
        end,
        ?assertEqual({ok, 503, 7}, Post("localhost", Trusted)),
        ?assertMatch({error, {tls_alert, {unknown_ca, _}}}, Post("localhost", Stranger)),
        ?assertMatch({error, {tls_alert, {unknown_ca, _}}}, Post("localhost", none)),
        %% The alert has another name in OTP 29.
        {error, {tls_alert, {_, Why}}} = Post("127.0.0.1", Trusted),
        ?assertNotEqual(nomatch, string:find(Why, "hostname_check_failed")),
        unlink(Pid),
        exit(Pid, kill),
        ok = ssl:close(Listening),
        [ok = file:delete(File) || File <- [Trusted, Stranger]]
    end}.

serve(Listening) ->
    {ok, Accepted} = ssl:transport_accept(Listening),
    case ssl:handshake(Accepted, 60000) of
        {ok, Socket} ->
            ok = until_body(Socket, <<>>),
            ok = ssl:send(Socket, ?ANSWER),
            ssl:close(Socket);
        {error, _} ->
            ok
    end,
    serve(Listening).

until_body(Socket, Before) ->
    {ok, More} = ssl:recv(Socket, 0, 60000),
    case binary:match(<<Before/binary, More/binary>>, <<"\r\n\r\nbody">>) of
        nomatch -> until_body(Socket, <<Before/binary, More/binary>>);
        _ -> ok
    end.

%% Of localhost: the options of who has it, the file of its authority.
certificates() ->
    %% The default, SHA-1, is none that TLS 1.3 takes in newer releases.
    Safe = [{key, {namedCurve, secp256r1}}, {digest, sha256}],
    Name = {'Extension', {2, 5, 29, 17}, false, [{dNSName, "localhost"}]},
    #{server_config := Server, client_config := Client} = public_key:pkix_test_data(
        #{server_chain => #{root => Safe, intermediates => [], peer => [{extensions, [Name]} | Safe]},
          client_chain => #{root => Safe, intermediates => [], peer => Safe}}),
    File = lists:concat(["/tmp/hornbeam_trace_http_", os:getpid(), "_", erlang:unique_integer([positive]), ".pem"]),
    Pem = public_key:pem_encode([{'Certificate', Der, not_encrypted} || Der <- proplists:get_value(cacerts, Client)]),
    ok = file:write_file(File, Pem),
    {Server, File}.
