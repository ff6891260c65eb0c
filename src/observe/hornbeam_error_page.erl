%%% The request's id on a bare error page, for the option `error_page'.
%%%
%%% Called by: hornbeam_observe. Calls: nothing. Pure.
%%%
%%% A bare page is a text that says no more than the status does ("Internal Server Error"): the server's own, and what frameworks answer where an
%%% application has raised. Everything else stays as it is, and so does the length that a HEAD is told.
-module(hornbeam_error_page).

-export([with_id/4]).

%% A longer body is none of them.
-define(LONGEST, 40).

-spec with_id(Status :: 400..999, Length, Body, Id :: binary() | undefined) -> {Length, Body}
    when Length :: non_neg_integer() | none, Body :: hornbeam_exchange:body().
with_id(Status, Length, Body, Id) when is_integer(Length), Length > 0, Length =< ?LONGEST, Id =/= undefined, not is_tuple(Body) ->
    Text = string:trim(iolist_to_binary(Body)),
    case lists:member(Text, texts(Status)) of
        true ->
            Page = <<Text/binary, "\nrequest id: ", Id/binary, "\n">>,
            {byte_size(Page), Page};
        false ->
            {Length, Body}
    end;
with_id(_Status, Length, Body, _Id) ->
    {Length, Body}.

%% hornbeam_error has them by reason; RFC 9110 and Python's http.HTTPStatus have some in other words.
texts(400) -> [<<"Bad Request">>];
texts(403) -> [<<"Forbidden">>];
texts(404) -> [<<"Not Found">>];
texts(405) -> [<<"Method Not Allowed">>];
texts(408) -> [<<"Request Timeout">>];
texts(413) -> [<<"Content Too Large">>, <<"Request Entity Too Large">>];
texts(429) -> [<<"Too Many Requests">>];
texts(500) -> [<<"Internal Server Error">>];
texts(502) -> [<<"Bad Gateway">>];
texts(503) -> [<<"Service Unavailable">>];
texts(504) -> [<<"Gateway Timeout">>];
texts(_) -> [].
