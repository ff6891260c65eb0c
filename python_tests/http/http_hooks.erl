%%% The hooks of test_hooks.py: fields of a request say what is done to it (x-request), to its response (x-response), to an error's page (x-error).
-module(http_hooks).
-behaviour(hornbeam_http_hook).

-export([on_request/1, on_response/3, on_error/3, second/1, second_response/3, third/3]).

-import(hornbeam_http_hook, [field/2, with_field/3]).

on_request(Request) -> request(field(<<"x-request">>, Request), Request).

request(undefined, Request) -> {ok, with_field(<<"x-user">>, <<"ada">>, Request), seen};
request(<<"nothing">>, _Request) -> ok;
request(<<"same">>, Request) -> {ok, Request};
request(<<"change">>, #{fields := Fields} = Request) ->
    {ok, Request#{method := <<"PUT">>, path := <<"/app/other/%41">>, query := <<"b=2">>, host := <<"changed:81">>, scheme := <<"https">>,
                  peer := {{10, 0, 0, 9}, 77}, fields := [{<<"X-First">>, <<"1">>} | Fields] ++ [{<<"x-last">>, <<"\xe9">>}]}};
request(<<"mount">>, Request) -> {ok, Request#{path := <<"/short/whole">>}};
request(<<"nowhere">>, Request) -> {ok, Request#{path := <<"/elsewhere">>}};
request(<<"reply">>, _Request) ->
    {reply, 403, [{<<"content-type">>, <<"text/plain">>}, {<<"X-From">>, <<"a hook">>}, {<<"x-from">>, <<"twice">>},
                  {<<"content-length">>, <<"999">>}], ["from ", <<"a">>, " hook"]};
request(<<"reply-close">>, _Request) -> {reply, 200, [{<<"connection">>, <<"close">>}], <<"bye">>};
request(<<"reply-204">>, _Request) -> {reply, 204, [], <<"dropped">>};
request(<<"reply-large">>, _Request) -> {reply, 200, [{<<"content-type">>, <<"text/plain">>}], binary:copy(<<"0123456789">>, 30000)};
request(<<"file">>, Request) -> {reply, 200, [], {file, field(<<"x-file">>, Request)}};
request(<<"method">>, Request) -> {ok, Request#{method := <<"HEAD">>}};
request(<<"crlf">>, Request) -> {ok, with_field(<<"x-split">>, <<"a\r\nb: c">>, Request)};
request(<<"crash">>, Request) -> {reply, binary_to_integer(field(<<"x-secret">>, Request)), [], <<>>};
request(<<"clause">>, Request) -> only_one(Request);
request(<<"throw">>, _Request) -> throw(enough);
request(<<"exit">>, _Request) -> exit(enough);
request(<<"block">>, _Request) -> receive go_on -> ok after 60000 -> ok end;
request(<<"junk">>, _Request) -> self() ! {make_ref(), late}, self() ! junk, ok.

only_one(1) -> ok.

on_response(Response, Request, Context) -> response(field(<<"x-response">>, Request), Response, Request, Context).

response(undefined, #{fields := Fields} = Response, #{method := Method, path := Path, mount := Mount}, Context) ->
    Said = iolist_to_binary(io_lib:format("~ts ~ts ~ts ~p", [Method, Path, Mount, Context])),
    {ok, Response#{fields := Fields ++ [{<<"x-hooked">>, Said}]}};
response(<<"nothing">>, _Response, _Request, _Context) -> ok;
response(<<"drop">>, Response, _Request, _Context) -> {ok, hornbeam_http_hook:without_field(<<"x-app">>, Response)};
response(<<"crash">>, _Response, _Request, _Context) -> error(on_purpose);
response(<<"splits">>, Response, _Request, _Context) -> {ok, with_field(<<"x-split">>, <<"a\r\n\r\nb">>, Response)};
response(Status, Response, _Request, _Context) -> {ok, Response#{status := binary_to_integer(Status)}}.

on_error(#{reason := Reason, status := Status} = Error, Request, Context) ->
    case field(<<"x-error">>, Request) of
        undefined -> default;
        <<"crash">> -> error(on_purpose);
        <<"page">> ->
            Retry = [{<<"x-retry">>, Value} || {<<"retry-after">>, Value} <- maps:get(fields, Error)],
            {reply, Status + 1, [{<<"content-type">>, <<"text/html">>} | Retry], io_lib:format("<p>~p ~p", [Reason, Context])}
    end.

%% Functions for single stages, which come after the module.
second(Request) ->
    case field(<<"x-user">>, Request) of
        undefined -> ok;
        User -> {ok, with_field(<<"x-second">>, <<"after ", User/binary>>, Request), second_context}
    end.

second_response(#{fields := Fields} = Response, _Request, Context) ->
    {ok, Response#{fields := Fields ++ [{<<"x-second">>, atom_to_binary(Context)}]}}.

third(#{fields := Fields} = Response, _Request, _Context) ->
    {ok, Response#{fields := Fields ++ [{<<"x-third">>, <<"1">>}]}}.
