%%% A response as the application sends it: what is said of its body to the client, and whether the body is what was said.
%%%
%%% Called by: hornbeam_request, which it answers with commands of hornbeam_exchange; hornbeam_http_hook_values (reply/4, file_of/4). Calls:
%%% hornbeam_headers, hornbeam_descriptors. Pure; for a pathsend the file is looked at.
%%%
%%% A response that is whole, or a file, is one command. One that goes on is a state, and each piece of it a command: none where no body may
%%% follow (RFC 9110, 6.4.1: HEAD, 204, 304), whatever the application sends. An error is a reason for hornbeam_error.
-module(hornbeam_response).

-export([inform/2, whole/4, start/5, data/3, trailers/2, file/4, reply/4, file_of/4]).
-export_type([response/0]).

-include_lib("kernel/include/file.hrl").

-record(response, {
    left :: none | non_neg_integer(),       % of the declared content-length
    is_dropped :: boolean(),                % no body may be sent
    takes_trailers :: boolean()
}).
-opaque response() :: #response{}.
-type error() :: {error, {bad_response, term()} | no_descriptor}.

-define(HAS_NO_BODY(Method, Status), (Method =:= <<"HEAD">> orelse Status =:= 204 orelse Status =:= 304)).

%% @doc An informational one. Packed, here and below: the fields as they come from Python.
-spec inform(100..199, Packed :: binary()) -> {ok, hornbeam_exchange:command()} | error().
inform(Status, Packed) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} -> {ok, {inform, Status, Headers}};
        {error, Reason} -> {error, {bad_response, Reason}}
    end.

%% @doc All of it.
-spec whole(Method :: binary(), 200..999, Packed :: binary(), Body :: binary()) -> {ok, hornbeam_exchange:command()} | error().
whole(Method, Status, Packed, Body) ->
    case head(Packed) of
        {ok, Headers, Length} ->
            case said(Method, Status, Length, byte_size(Body)) of
                {error, Reason} -> {error, {bad_response, Reason}};
                {Say, true} -> {ok, {reply, Status, Headers, Say, Body}};
                {Say, false} -> {ok, {reply, Status, Headers, Say, <<>>}}
            end;
        Error ->
            Error
    end.

%% @doc One that is made in Erlang: its fields have been checked, and its length is that of the body.
-spec reply(Method :: binary(), 200..999, hornbeam_headers:headers(), Body :: binary()) -> hornbeam_exchange:command().
reply(Method, Status, Headers, Body) ->
    {Say, Follows} = said(Method, Status, none, byte_size(Body)),
    {reply, Status, Headers, Say, case Follows of true -> Body; false -> <<>> end}.

head(Packed) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} ->
            case hornbeam_headers:content_length(Headers) of
                {error, Reason} -> {error, {bad_response, Reason}};
                Length -> {ok, Headers, Length}
            end;
        {error, Reason} ->
            {error, {bad_response, Reason}}
    end.

%% What to say as content-length, and whether a body may follow (RFC 9110, 8.6 and 6.4.1).
said(_, 204, _Length, _Size) -> {none, false};
said(_, 304, Length, _Size) -> {Length, false};
said(<<"HEAD">>, _, none, 0) -> {none, false};
said(<<"HEAD">>, _, none, Size) -> {Size, false};
said(<<"HEAD">>, _, Length, _Size) -> {Length, false};
said(_, _, none, Size) -> {Size, true};
said(_, _, Size, Size) -> {Size, true};
said(_, _, Length, Size) when Size < Length -> {error, body_too_short};
said(_, _, _Length, _Size) -> {error, body_too_long}.

%% @doc The head of one that goes on. TE: the client's field.
-spec start(Method :: binary(), hornbeam_headers:version(), TE :: binary() | undefined, 200..999, Packed :: binary()) ->
    {ok, hornbeam_exchange:command(), response()} | error().
start(Method, Version, TE, Status, Packed) ->
    case head(Packed) of
        {ok, Headers, Length} when ?HAS_NO_BODY(Method, Status) ->
            {ok, {start, Status, Headers, case Status of 204 -> none; _ -> Length end},
             #response{left = none, is_dropped = true, takes_trailers = false}};
        {ok, Headers, Length} ->
            Takes = (Length =:= none orelse Version =:= 'HTTP/2') andalso takes_trailers(TE),
            {ok, {start, Status, Headers, Length}, #response{left = Length, is_dropped = false, takes_trailers = Takes}};
        Error ->
            Error
    end.

%% RFC 9110, 6.5.1 and 10.1.4: "trailers" is an element of its own.
takes_trailers(undefined) ->
    false;
takes_trailers(TE) ->
    lists:member(<<"trailers">>, [hornbeam_headers:trim(Element) || Element <- binary:split(hornbeam_headers:lower(TE), <<",">>, [global])]).

%% @doc A piece of the body, and whether it is the last.
-spec data(IsLast :: boolean(), binary(), response()) -> {ok, [hornbeam_exchange:command()], response()} | error().
data(_IsLast, _Data, #response{is_dropped = true} = Response) ->
    {ok, [], Response};
data(IsLast, Data, #response{left = none} = Response) ->
    {ok, piece(IsLast, Data), Response};
data(IsLast, Data, #response{left = Left} = Response) ->
    case Left - byte_size(Data) of
        Rest when Rest < 0 -> {error, {bad_response, body_too_long}};
        Rest when Rest > 0, IsLast -> {error, {bad_response, body_too_short}};
        Rest -> {ok, piece(IsLast, Data), Response#response{left = Rest}}
    end.

piece(true, Data) -> [{data, fin, Data}];
piece(false, <<>>) -> [];
piece(false, Data) -> [{data, nofin, Data}].

%% @doc The end of one that has announced trailers: they are sent to a client that takes them.
-spec trailers(Packed :: binary(), response()) -> {ok, [hornbeam_exchange:command()]} | error().
trailers(Packed, #response{left = Left, is_dropped = Dropped, takes_trailers = Takes}) ->
    case hornbeam_headers:decode(Packed) of
        {ok, _Headers} when is_integer(Left), Left > 0 -> {error, {bad_response, body_too_short}};
        {ok, _Headers} when Dropped -> {ok, []};
        {ok, Headers} when Takes -> {ok, [{trailers, [Field || {Name, _} = Field <- Headers, Name =/= <<"set-cookie">>]}]};
        {ok, _Headers} -> {ok, [{data, fin, <<>>}]};
        {error, Reason} -> {error, {bad_response, Reason}}
    end.

%% @doc A file (pathsend): its bytes never pass through Python, which has looked whether it can be read (asgi/extensions.py);
%% it is looked at once more, because its length is what frames the body.
-spec file(Method :: binary(), 200..999, Packed :: binary(), Path :: binary()) -> {ok, hornbeam_exchange:command()} | error().
file(Method, Status, Packed, Path) ->
    case hornbeam_headers:decode(Packed) of
        {ok, Headers} -> file(Method, Status, Headers, Path, file:read_file_info(Path, [raw]), hornbeam_headers:content_length(Headers));
        {error, Reason} -> {error, {bad_response, Reason}}
    end.

%% @doc The same for one that is made in Erlang: its fields have been checked, and its length is the file's.
-spec file_of(Method :: binary(), 200..999, hornbeam_headers:headers(), Path :: binary()) -> {ok, hornbeam_exchange:command()} | error().
file_of(Method, Status, Headers, Path) ->
    file(Method, Status, Headers, Path, file:read_file_info(Path, [raw]), none).

file(Method, Status, Headers, Path, {ok, #file_info{type = regular, size = Size}}, Length) when Length =:= none; Length =:= Size ->
    Say = case Status of 204 -> none; _ -> Size end,
    Empty = Size =:= 0 orelse ?HAS_NO_BODY(Method, Status),
    case Empty orelse hornbeam_descriptors:has_room() of
        true when Empty -> {ok, {reply, Status, Headers, Say, <<>>}};
        true -> {ok, {reply, Status, Headers, Say, {sendfile, Size, [{file, Path, 0, Size}]}}};
        false -> {error, no_descriptor}
    end;
file(_Method, _Status, _Headers, _Path, {ok, #file_info{type = regular}}, _Differs) ->
    {error, {bad_response, {pathsend, content_length}}};
file(_Method, _Status, _Headers, _Path, {ok, _}, _Length) ->
    {error, {bad_response, {pathsend, not_a_file}}};
file(_Method, _Status, _Headers, _Path, {error, Reason}, _Length) ->
    {error, {bad_response, {pathsend, Reason}}}.
