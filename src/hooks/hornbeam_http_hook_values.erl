%%% What a hook is given, and what it has returned: whether it may be, and what it means.
%%%
%%% Called by: hornbeam_http_hooks. Calls: hornbeam_headers, hornbeam_hygiene, hornbeam_authority, hornbeam_response. Pure; for a body that is a
%%% file the file is looked at. An error is a text for the log, which quotes no value: there are secrets among them.
%%%
%%% The rules are those that a client's request, or an application's response, has passed: no octet in a head that could split a message. A
%%% hook cannot change how a message is framed or what concerns the connection alone (RFC 9110, 7.6.1): that has been acted upon already.
-module(hornbeam_http_hook_values).

-export([request/2, changed/3, response/2, reply/4]).

-include("hornbeam_head.hrl").

-define(STAYS, [<<"connection">>, <<"content-length">>, <<"expect">>, <<"te">>, <<"transfer-encoding">>, <<"upgrade">>]).
%% What each of them makes of the length of a body, or of the connection, is decided (RFC 9110, 9.3.2, 9.3.6 and 9.3.8).
-define(FRAMING_METHODS, [<<"HEAD">>, <<"CONNECT">>, <<"TRACE">>]).
-define(MAX_FIELDS, 10000).
%% The fields before the host, which stands among them as well.
-define(CHANGES, [method, path, query, scheme, peer, fields, host]).

%% @doc The head as hooks see it.
-spec request(#head{}, Server :: atom()) -> hornbeam_http_hook:request().
request(#head{method = Method, path = Path, query = Query, version = Version, scheme = Scheme, host = Host, fields = Fields, peer = Peer,
              sock = Sock, upgrade = Upgrade, protocol = Protocol}, Server) ->
    #{method => Method, path => Path, query => Query, version => Version, scheme => Scheme, host => Host, fields => Fields, peer => Peer,
      sock => Sock, server => Server, mount => undefined, websocket => is_websocket(Upgrade, Protocol)}.

is_websocket(undefined, undefined) -> false;
is_websocket(undefined, Protocol) -> hornbeam_headers:lower(Protocol) =:= <<"websocket">>;
is_websocket(Upgrade, _) -> binary:match(hornbeam_headers:lower(Upgrade), <<"websocket">>) =/= nomatch.

%% @doc The head, and the request, as a hook has changed them.
-spec changed(New :: term(), Old :: hornbeam_http_hook:request(), #head{}) ->
    {ok, hornbeam_http_hook:request(), #head{}} | {error, iodata()}.
changed(Same, Same, Head) ->
    {ok, Same, Head};
changed(New, Old, Head) when is_map(New) ->
    case lists:sort(maps:keys(New)) =:= lists:sort(maps:keys(Old)) of
        true -> each(?CHANGES, New, Old, Head);
        false -> {error, "the request must have the keys that it had"}
    end;
changed(_New, _Old, _Head) ->
    {error, "the request must be a map"}.

%% Each that has changed.
each([Key | Keys], New, Old, Head0) ->
    case New of
        #{Key := Same} when Same =:= map_get(Key, Old) ->
            each(Keys, New, Old, Head0);
        #{Key := Value} ->
            case set(Key, Value, Head0) of
                {error, Text} -> {error, Text};
                Head -> each(Keys, New, Old, Head)
            end
    end;
each([], New, Old, #head{fields = Fields, host = Host} = Head) ->
    case maps:without(?CHANGES, New) =:= maps:without(?CHANGES, Old) of
        true -> {ok, New#{fields := Fields, host := Host}, Head};
        false -> {error, "of the request only method, path, query, scheme, host, peer and fields can be changed"}
    end.

set(method, Method, #head{method = Old, upgrade = Upgrade, protocol = Protocol} = Head) ->
    Free = not lists:member(Method, ?FRAMING_METHODS) andalso not lists:member(Old, ?FRAMING_METHODS),
    case is_binary(Method) andalso hornbeam_headers:is_token(Method) andalso string:uppercase(Method) =:= Method of
        true when Free, Upgrade =:= undefined, Protocol =:= undefined -> Head#head{method = Method};
        true -> {error, "the method of this request, or to this one, cannot be changed"};
        false -> {error, "the method must be a token in upper case"}
    end;
set(path, <<"/", _/binary>> = Path, Head) ->
    case hornbeam_hygiene:is_target(Path) andalso binary:match(Path, <<"?">>) =:= nomatch of
        true -> Head#head{path = Path};
        false -> {error, "the path holds a control character, a space, \"#\" or \"?\""}
    end;
set(path, _Path, _Head) -> {error, "the path must begin with \"/\""};
set(query, Query, Head) ->
    case is_binary(Query) andalso hornbeam_hygiene:is_target(Query) of
        true -> Head#head{query = Query};
        false -> {error, "the query must be a binary without control characters, spaces and \"#\""}
    end;
set(scheme, Scheme, Head) when Scheme =:= <<"http">>; Scheme =:= <<"https">> -> Head#head{scheme = Scheme};
set(scheme, _Scheme, _Head) -> {error, "the scheme must be <<\"http\">> or <<\"https\">>"};
set(peer, {Ip, Port} = Peer, Head) when is_integer(Port), Port >= 0, Port =< 65535, is_tuple(Ip) ->
    case inet:is_ip_address(Ip) of
        true -> Head#head{peer = Peer};
        false -> {error, "the peer has no IP address"}
    end;
set(peer, _Peer, _Head) -> {error, "the peer must be {IpAddress, Port}"};
set(fields, Fields, #head{fields = Old} = Head) ->
    case fields(Fields) of
        {ok, New} ->
            case stays(New) =:= stays(Old) andalso lists:all(fun({_, Value}) -> hornbeam_hygiene:is_value(Value) end, New) of
                true -> host_of(New, Head#head{fields = New});
                false -> {error, ["a field's value holds a control character, or one of ", lists:join(", ", ?STAYS), " has changed"]}
            end;
        Error -> Error
    end;
set(host, Host, #head{fields = Fields} = Head) ->
    case is_binary(Host) andalso hornbeam_authority:parse(Host) of
        {ok, _} -> Head#head{host = Host, fields = [{<<"host">>, Host} | lists:keydelete(<<"host">>, 1, Fields)]};
        _ -> {error, "the host must be a host and perhaps a port"}
    end.

stays(Fields) ->
    [Field || {Name, _} = Field <- Fields, lists:member(Name, ?STAYS)].

%% One host at most, and it is the one by which the request is routed.
host_of(Fields, Head) ->
    case [Host || {<<"host">>, Host} <- Fields] of
        [Host] ->
            case hornbeam_authority:parse(Host) of
                {ok, _} -> Head#head{host = Host};
                error -> {error, "the host must be a host and perhaps a port"}
            end;
        [] -> Head#head{host = undefined};
        _ -> {error, "there is more than one host"}
    end.

fields(Fields) when is_list(Fields) ->
    case hornbeam_headers:check(Fields) of
        {ok, Checked} when length(Checked) =< ?MAX_FIELDS -> {ok, Checked};
        {ok, _} -> {error, "there are more than 10000 fields"};
        {error, {bad_header, Text}} -> {error, Text}
    end;
fields(_) ->
    {error, "the fields must be a list of {Name, Value}, both binaries"}.

%% @doc The head of a response as a hook has changed it. A WebSocket's (101) stays what it is.
-spec response(New :: term(), Old :: hornbeam_http_hook:response()) -> {ok, hornbeam_http_hook:response()} | {error, iodata()}.
response(Same, Same) ->
    {ok, Same};
response(#{status := Status, fields := Fields0} = New, #{status := Old}) when map_size(New) =:= 2 ->
    case Status =:= Old orelse Old =/= 101 andalso is_status(Status) of
        true ->
            case fields(Fields0) of
                {ok, Fields} -> {ok, New#{fields := Fields}};
                Error -> Error
            end;
        false when Old =:= 101 -> {error, "the status of a WebSocket's handshake cannot be changed"};
        false -> {error, "the status must be an integer from 200 to 599"}
    end;
response(_New, _Old) ->
    {error, "the response must be a map of status and fields"}.

is_status(Status) -> is_integer(Status) andalso Status >= 200 andalso Status =< 599.

%% @doc A response that a hook has made: all of it. Method: the request's.
-spec reply(Status :: term(), Fields :: term(), Body :: term(), Method :: binary()) ->
    {ok, hornbeam_exchange:command()} | {error, iodata() | no_descriptor}.
reply(Status, Fields0, Body, Method) ->
    case {is_status(Status), fields(Fields0)} of
        {true, {ok, Fields}} -> body(Body, Method, Status, Fields);
        {false, _} -> {error, "the status must be an integer from 200 to 599"};
        {_, Error} -> Error
    end.

body({file, Name}, Method, Status, Fields) ->
    case path(Name) of
        error -> {error, "the path of a body's file must be a text"};
        Path ->
            case hornbeam_response:file_of(Method, Status, Fields, Path) of
                {ok, Command} -> {ok, Command};
                {error, no_descriptor} -> {error, no_descriptor};
                {error, {bad_response, {pathsend, Reason}}} -> {error, ["the body's file cannot be sent (", atom_to_list(Reason), ")"]}
            end
    end;
body(Body, Method, Status, Fields) ->
    try iolist_to_binary(Body) of
        Bytes -> {ok, hornbeam_response:reply(Method, Status, Fields, Bytes)}
    catch error:badarg -> {error, "the body must be iodata or {file, Path}"}
    end.

path(Name) when is_binary(Name) -> Name;
path(Name) ->
    try unicode:characters_to_binary(Name) of
        Path when is_binary(Path) -> Path;
        _ -> error
    catch error:badarg -> error
    end.
