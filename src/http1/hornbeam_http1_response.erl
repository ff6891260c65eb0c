%%% The bytes of one response, command by command (hornbeam_exchange): which framing it has, and whether the connection goes on after it.
%%%
%%% Called by: hornbeam_http1. Calls: hornbeam_http1_reply. Pure but for the time of day.
%%%
%%%     waiting ──start──▶ going on ──data, trailers──▶ complete
%%%        └──reply─────────────────────────────────────▶
%%%
%%% The framing (RFC 9112, 6.3 and 7): the length where it is known; chunks for HTTP/1.1; else the end of the connection.
-module(hornbeam_http1_response).

-export([new/3, encode/2, close/1, is_persistent/1, is_close_delimited/1]).
-export_type([response/0]).

-include("hornbeam_head.hrl").

-record(response, {
    version :: hornbeam_headers:version(),
    head_only :: boolean(),
    persistent :: boolean(),
    defaults :: hornbeam_headers:defaults(),
    framing = waiting :: waiting | hornbeam_http1_reply:framing()
}).
-opaque response() :: #response{}.

%% @doc Persistent: the connection may go on after it.
-spec new(#head{}, Persistent :: boolean(), hornbeam_headers:defaults()) -> response().
new(#head{version = Version, method = Method}, Persistent, Defaults) ->
    #response{version = Version, head_only = Method =:= <<"HEAD">>, persistent = Persistent, defaults = Defaults}.

%% @doc The connection ends after it.
-spec close(response()) -> response().
close(Response) -> Response#response{persistent = false}.

-spec is_persistent(response()) -> boolean().
is_persistent(#response{persistent = Persistent}) -> Persistent.

%% @doc Whether an orderly end of the connection would make a part of the response look like all of it.
-spec is_close_delimited(response()) -> boolean().
is_close_delimited(#response{framing = Framing}) -> Framing =:= close.

-spec encode(hornbeam_exchange:command(), response()) -> {iodata() | {file, iodata(), [hornbeam_exchange:piece()]}, response()}.
encode({reply, Status, Headers, Length, {sendfile, _Size, Pieces}}, Response0) ->
    {Head, Response} = head(Status, Headers, Length, Response0),
    {{file, Head, Pieces}, Response};
encode({reply, Status, Headers, Length, Body}, Response0) ->
    {Head, Response} = head(Status, Headers, Length, Response0),
    {[Head | Body], Response};
encode({start, Status, Headers, Length}, #response{head_only = HeadOnly, version = Version} = Response) ->
    Framing = case Length of
        none when HeadOnly; Status =:= 204; Status =:= 304 -> none;
        none when Version =:= 'HTTP/1.0' -> close;
        none -> chunked;
        _ -> Length
    end,
    head(Status, Headers, Framing, case Framing of close -> close(Response); _ -> Response end);
encode({data, IsFin, Data}, #response{framing = chunked} = Response) ->
    Chunk = case iolist_size(Data) of 0 -> []; _ -> hornbeam_http1_reply:chunk(Data) end,
    case IsFin of
        nofin -> {Chunk, Response};
        fin -> {[Chunk | hornbeam_http1_reply:last_chunk([])], Response}
    end;
encode({data, _IsFin, Data}, Response) ->
    {Data, Response};
encode({trailers, Headers}, #response{framing = chunked} = Response) ->
    {hornbeam_http1_reply:last_chunk(Headers), Response};
encode({trailers, _Headers}, Response) ->
    {[], Response};
%% RFC 9110, 15.2: a client of HTTP/1.0 does not expect them.
encode({inform, _Status, _Headers}, #response{version = 'HTTP/1.0'} = Response) ->
    {[], Response};
encode({inform, Status, Headers}, Response) ->
    {hornbeam_http1_reply:inform(Status, Headers), Response}.

head(Status, Headers, Framing, #response{version = Version, persistent = Persistent, defaults = Defaults} = Response) ->
    Connection = case Persistent of
        false -> close;
        true when Version =:= 'HTTP/1.0' -> keep_alive;
        true -> default
    end,
    {Head, Said} = hornbeam_http1_reply:head(Status, Headers, Framing, Connection, Defaults),
    {Head, Response#response{framing = Framing, persistent = Said =/= close}}.
