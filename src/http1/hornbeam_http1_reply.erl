%%% An HTTP/1 response as bytes: status line, fields in the application's order, framing (RFC 9112, 4 to 7).
%%%
%%% Called by: hornbeam_http1. Calls: hornbeam_date. Pure but for the time of day.
%%%
%%% The fields have been checked (hornbeam_headers:decode/1): names are tokens in lower case, values hold no CR, LF or NUL. What belongs to the
%%% connection is said here and dropped from what the application says: content-length, transfer-encoding, keep-alive,
%%% proxy-connection, te, upgrade; of `connection' only "close" counts. What the server adds (hornbeam_headers:defaults()) comes last,
%%% unless the application has its own.
%%%
%%% A head is one binary that grows in place: cheaper to make, and to write, than a list of its parts.
-module(hornbeam_http1_reply).

-export([head/5, inform/2, switch/3, chunk/1, last_chunk/1]).
-export_type([framing/0, connection/0]).

%% How the body ends: after so many octets; in chunks; with the connection; `none': the status has no body.
-type framing() :: non_neg_integer() | chunked | close | none.
%% What the head says of the connection: nothing where its version's default holds.
-type connection() :: default | keep_alive | close.

%% @doc The head of a response, and whether the connection ends after it: as asked for, or because the application says so.
-spec head(Status :: 200..999, hornbeam_headers:headers(), framing(), connection(), hornbeam_headers:defaults()) ->
    {binary(), connection()}.
head(Status, Headers, Framing, Connection, plain) ->
    fields(Headers, status_line(Status), Framing, Connection, 0);
head(Status, Headers, Framing, Connection, {Date, Server, Own}) ->
    fields(hornbeam_headers:with_own(Headers, Own), status_line(Status), Framing, Connection, unwanted(Date, Server)).

-define(DATE, 1).
-define(SERVER, 2).

%% What is not to be added, as if the application had said it.
unwanted(true, true) -> 0;
unwanted(true, false) -> ?SERVER;
unwanted(false, true) -> ?DATE;
unwanted(false, false) -> ?DATE bor ?SERVER.

fields([{Name, Value} | Rest], Acc, Framing, Connection, Seen) ->
    case Name of
        <<"content-length">> -> fields(Rest, Acc, Framing, Connection, Seen);
        <<"transfer-encoding">> -> fields(Rest, Acc, Framing, Connection, Seen);
        <<"connection">> -> fields(Rest, Acc, Framing, connection(Value, Connection), Seen);
        <<"keep-alive">> -> fields(Rest, Acc, Framing, Connection, Seen);
        <<"proxy-connection">> -> fields(Rest, Acc, Framing, Connection, Seen);
        <<"te">> -> fields(Rest, Acc, Framing, Connection, Seen);
        <<"upgrade">> -> fields(Rest, Acc, Framing, Connection, Seen);
        <<"date">> -> field(Name, Value, Rest, Acc, Framing, Connection, Seen bor ?DATE);
        <<"server">> -> field(Name, Value, Rest, Acc, Framing, Connection, Seen bor ?SERVER);
        _ -> field(Name, Value, Rest, Acc, Framing, Connection, Seen)
    end;
fields([], Acc, Framing, Connection, Seen) ->
    {finish(Acc, Framing, Connection, Seen), Connection}.

field(Name, Value, Rest, Acc, Framing, Connection, Seen) ->
    fields(Rest, <<Acc/binary, Name/binary, ": ", Value/binary, "\r\n">>, Framing, Connection, Seen).

connection(Value, Connection) ->
    case hornbeam_headers:tokens(Value) of
        {ok, Options} -> case lists:member(<<"close">>, Options) of true -> close; false -> Connection end;
        error -> Connection
    end.

finish(Acc, Framing, Connection, 0) ->
    end_of_head(<<Acc/binary, "date: ", (hornbeam_date:now())/binary, "\r\nserver: hornbeam\r\n">>, Framing, Connection);
finish(Acc, Framing, Connection, ?DATE) ->
    end_of_head(<<Acc/binary, "server: hornbeam\r\n">>, Framing, Connection);
finish(Acc, Framing, Connection, ?SERVER) ->
    end_of_head(<<Acc/binary, "date: ", (hornbeam_date:now())/binary, "\r\n">>, Framing, Connection);
finish(Acc, Framing, Connection, _Both) ->
    end_of_head(Acc, Framing, Connection).

end_of_head(Acc, Length, default) when is_integer(Length) ->
    <<Acc/binary, "content-length: ", (integer_to_binary(Length))/binary, "\r\n\r\n">>;
end_of_head(Acc, Framing, Connection) ->
    <<Acc/binary, (framing(Framing))/binary, (connection(Connection))/binary, "\r\n">>.

framing(Length) when is_integer(Length) -> <<"content-length: ", (integer_to_binary(Length))/binary, "\r\n">>;
framing(chunked) -> <<"transfer-encoding: chunked\r\n">>;
framing(_CloseOrNone) -> <<>>.

connection(default) -> <<>>;
connection(keep_alive) -> <<"connection: keep-alive\r\n">>;
connection(close) -> <<"connection: close\r\n">>.

%% @doc An informational response (RFC 9110, 15.2), with none of the fields that frame a message.
-spec inform(100..199, hornbeam_headers:headers()) -> iodata().
inform(Status, Headers) ->
    [status_line(Status), lines(hornbeam_headers:end_to_end(Headers)), <<"\r\n">>].

%% @doc The answer to a handshake (RFC 6455, 4.2.2): fields of the protocol's own first.
-spec switch(Own :: hornbeam_headers:headers(), hornbeam_headers:headers(), hornbeam_headers:defaults()) -> iodata().
switch(Own, Headers, Defaults) ->
    [status_line(101), lines(Own), lines(hornbeam_headers:with_defaults(hornbeam_headers:end_to_end(Headers), Defaults)), <<"\r\n">>].

%% @doc A piece of a chunked body (RFC 9112, 7.1); never empty.
-spec chunk(iodata()) -> iodata().
chunk(Data) ->
    [integer_to_binary(iolist_size(Data), 16), <<"\r\n">>, Data, <<"\r\n">>].

%% @doc The end of a chunked body, with its trailer section.
-spec last_chunk(hornbeam_headers:headers()) -> iodata().
last_chunk([]) -> <<"0\r\n\r\n">>;
last_chunk(Trailers) -> [<<"0\r\n">>, lines(hornbeam_headers:end_to_end(Trailers)), <<"\r\n">>].

lines(Headers) ->
    [[Name, <<": ">>, Value, <<"\r\n">>] || {Name, Value} <- Headers].

status_line(200) -> <<"HTTP/1.1 200 OK\r\n">>;
status_line(Status) -> <<"HTTP/1.1 ", (integer_to_binary(Status))/binary, $\s, (phrase(Status))/binary, "\r\n">>.

%% RFC 9110, 15 and the registry of statuses; the phrase may be empty (RFC 9112, 4).
phrase(100) -> <<"Continue">>;
phrase(101) -> <<"Switching Protocols">>;
phrase(102) -> <<"Processing">>;
phrase(103) -> <<"Early Hints">>;
phrase(201) -> <<"Created">>;
phrase(202) -> <<"Accepted">>;
phrase(203) -> <<"Non-Authoritative Information">>;
phrase(204) -> <<"No Content">>;
phrase(205) -> <<"Reset Content">>;
phrase(206) -> <<"Partial Content">>;
phrase(207) -> <<"Multi-Status">>;
phrase(208) -> <<"Already Reported">>;
phrase(226) -> <<"IM Used">>;
phrase(300) -> <<"Multiple Choices">>;
phrase(301) -> <<"Moved Permanently">>;
phrase(302) -> <<"Found">>;
phrase(303) -> <<"See Other">>;
phrase(304) -> <<"Not Modified">>;
phrase(305) -> <<"Use Proxy">>;
phrase(307) -> <<"Temporary Redirect">>;
phrase(308) -> <<"Permanent Redirect">>;
phrase(400) -> <<"Bad Request">>;
phrase(401) -> <<"Unauthorized">>;
phrase(402) -> <<"Payment Required">>;
phrase(403) -> <<"Forbidden">>;
phrase(404) -> <<"Not Found">>;
phrase(405) -> <<"Method Not Allowed">>;
phrase(406) -> <<"Not Acceptable">>;
phrase(407) -> <<"Proxy Authentication Required">>;
phrase(408) -> <<"Request Timeout">>;
phrase(409) -> <<"Conflict">>;
phrase(410) -> <<"Gone">>;
phrase(411) -> <<"Length Required">>;
phrase(412) -> <<"Precondition Failed">>;
phrase(413) -> <<"Content Too Large">>;
phrase(414) -> <<"URI Too Long">>;
phrase(415) -> <<"Unsupported Media Type">>;
phrase(416) -> <<"Range Not Satisfiable">>;
phrase(417) -> <<"Expectation Failed">>;
phrase(418) -> <<"I'm a teapot">>;
phrase(421) -> <<"Misdirected Request">>;
phrase(422) -> <<"Unprocessable Content">>;
phrase(423) -> <<"Locked">>;
phrase(424) -> <<"Failed Dependency">>;
phrase(425) -> <<"Too Early">>;
phrase(426) -> <<"Upgrade Required">>;
phrase(428) -> <<"Precondition Required">>;
phrase(429) -> <<"Too Many Requests">>;
phrase(431) -> <<"Request Header Fields Too Large">>;
phrase(451) -> <<"Unavailable For Legal Reasons">>;
phrase(500) -> <<"Internal Server Error">>;
phrase(501) -> <<"Not Implemented">>;
phrase(502) -> <<"Bad Gateway">>;
phrase(503) -> <<"Service Unavailable">>;
phrase(504) -> <<"Gateway Timeout">>;
phrase(505) -> <<"HTTP Version Not Supported">>;
phrase(506) -> <<"Variant Also Negotiates">>;
phrase(507) -> <<"Insufficient Storage">>;
phrase(508) -> <<"Loop Detected">>;
phrase(511) -> <<"Network Authentication Required">>;
phrase(_) -> <<>>.
