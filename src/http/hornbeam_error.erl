%%% What goes wrong with a request, in one table: reason -> status, body and log level of an answer.
%%%
%%% Called by: hornbeam_request, hornbeam_exchange, hornbeam_hooked, hornbeam_static. The text of a reason: hornbeam_reason.
-module(hornbeam_error).

-export([answer/1, headers/1, reply/2]).
-export_type([reason/0]).

%% Why a request is answered by the server and not by the application.
-type reason() :: app_error | no_response | incomplete_response | bad_response
                | forbidden | worker_died | worker_drained | timeout | overloaded | no_worker | no_descriptor | not_found
                | hook_failed | body_too_large | too_many_requests | body_timeout | header_timeout
                | method_not_allowed | precondition_failed | range_not_satisfiable
                | malformed | uri_too_long | header_too_large | not_implemented | expectation_failed | http_version.

%% @doc Status, body, and the level at which it is logged (`none' where the application's own process
%% has logged it with its traceback, or where it is the client's matter).
-spec answer(reason()) -> {400..599, binary(), logger:level() | none}.
answer(app_error) -> {500, <<"Internal Server Error">>, none};
answer(no_response) -> {500, <<"Internal Server Error">>, none};
answer(incomplete_response) -> {500, <<"Internal Server Error">>, none};
answer(bad_response) -> {500, <<"Internal Server Error">>, error};
answer(hook_failed) -> {500, <<"Internal Server Error">>, none};
answer(forbidden) -> {403, <<"Forbidden">>, none};
answer(worker_died) -> {502, <<"Bad Gateway">>, error};
answer(worker_drained) -> {502, <<"Bad Gateway">>, info};
answer(timeout) -> {504, <<"Gateway Timeout">>, warning};
answer(overloaded) -> {503, <<"Service Unavailable">>, warning};
answer(no_worker) -> {503, <<"Service Unavailable">>, warning};
answer(no_descriptor) -> {503, <<"Service Unavailable">>, none};
answer(not_found) -> {404, <<"Not Found">>, none};
answer(method_not_allowed) -> {405, <<"Method Not Allowed">>, none};
answer(precondition_failed) -> {412, <<"Precondition Failed">>, none};
answer(range_not_satisfiable) -> {416, <<"Range Not Satisfiable">>, none};
answer(body_too_large) -> {413, <<"Content Too Large">>, none};
answer(too_many_requests) -> {429, <<"Too Many Requests">>, none};
answer(body_timeout) -> {408, <<"Request Timeout">>, none};
answer(header_timeout) -> {408, <<"Request Timeout">>, none};
answer(not_implemented) -> {501, <<"Not Implemented">>, none};
answer(expectation_failed) -> {417, <<"Expectation Failed">>, none};
answer(malformed) -> {400, <<"Bad Request">>, none};
answer(uri_too_long) -> {414, <<"URI Too Long">>, none};
answer(header_too_large) -> {431, <<"Request Header Fields Too Large">>, none};
answer(http_version) -> {505, <<"HTTP Version Not Supported">>, none}.

%% @doc The fields of such an answer.
-spec headers(term()) -> hornbeam_headers:headers().
headers(Reason) ->
    [{<<"content-type">>, <<"text/plain; charset=utf-8">>}]
    ++ [{<<"retry-after">>, <<"1">>} || Reason =:= overloaded orelse Reason =:= too_many_requests].

%% @doc The answer to a request with that method.
-spec reply(reason(), Method :: binary()) -> hornbeam_exchange:command().
reply(Reason, Method) ->
    {Status, Text, _Level} = answer(Reason),
    {reply, Status, headers(Reason), byte_size(Text), case Method of <<"HEAD">> -> <<>>; _ -> Text end}.
