%%% A hook: what somebody's Erlang code says to requests before Python sees them, and to responses before they leave (option `http_hooks').
%%%
%%% Owns: the shapes that a hook gets and returns, and the behaviour of a module that is one. All callbacks are optional; a module has at
%%% least one of them. docs/http-hooks.md is the page of it. Called by: people's hooks (the functions for fields and paths). Calls:
%%% hornbeam_headers, hornbeam_scope. Pure. Who calls the callbacks: hornbeam_http_hooks, in the process of the connection.
-module(hornbeam_http_hook).

-export([field/2, with_field/3, without_field/2, cookie/2, path/1]).
-export_type([request/0, response/0, error/0, fields/0, body/0, reply/0]).

%% Names in lower case, in order, repeated as they were given.
-type fields() :: [{Name :: binary(), Value :: binary()}].

%% A hook may change method, path, query, scheme, host, peer and fields. The path is the client's, not decoded, without the query. Peer is the
%% client: whom a trusted proxy names, else the connection's other end. Mount: the prefix, known once a request has come that far.
-type request() :: #{method := binary(), path := binary(), query := binary(), version := 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2',
                     scheme := binary(), host := binary() | undefined, fields := fields(), peer := hornbeam_scope:address(),
                     sock := hornbeam_scope:address(), server := atom(), mount := binary() | undefined, websocket := boolean()}.

%% The head of a response. Status 101 is that of a WebSocket that was accepted, on HTTP/2 as well; it stays.
-type response() :: #{status := 101 | 200..999, fields := fields()}.

%% Why the server answers itself, and what it would say.
-type error() :: #{reason := hornbeam_error:reason() | bad_handshake, status := 400..599, fields := fields()}.

%% A file is sent by the server as it stands; its path is absolute.
-type body() :: iodata() | {file, Path :: file:name_all()}.

%% The length is the server's to say, and for HEAD it leaves the body out.
-type reply() :: {reply, Status :: 200..599, fields(), body()}.

%% Before the application is chosen. The context is given to the same hook's other callbacks for this request; without one it is `undefined'.
-callback on_request(request()) -> ok | {ok, request()} | {ok, request(), Context :: term()} | reply().

%% Before the head of a final response leaves, whoever made it.
-callback on_response(response(), request(), Context :: term()) -> ok | {ok, response()}.

%% Instead of the server's own page. `default': the next hook is asked, at last the server.
-callback on_error(error(), request(), Context :: term()) -> default | reply().

-optional_callbacks([on_request/1, on_response/3, on_error/3]).

%% @doc The first value of a field.
-spec field(Name :: binary(), request() | response()) -> binary() | undefined.
field(Name, #{fields := Fields}) ->
    case lists:keyfind(Name, 1, Fields) of
        {_, Value} -> Value;
        false -> undefined
    end.

%% @doc With this field at the end, and no other of the name, nor of one that CGI and WSGI cannot tell from it (x_user for x-user).
-spec with_field(Name :: binary(), Value :: binary(), Message) -> Message when Message :: request() | response().
with_field(Name, Value, Message) ->
    #{fields := Fields} = Without = without_field(Name, Message),
    Without#{fields := Fields ++ [{Name, Value}]}.

%% @doc Without the field, however often it stands there, and those that CGI and WSGI cannot tell from it.
-spec without_field(Name :: binary(), Message) -> Message when Message :: request() | response().
without_field(Name, #{fields := Fields} = Message) ->
    Same = dashes(Name),
    Message#{fields := [Field || {Other, _} = Field <- Fields, dashes(Other) =/= Same]}.

dashes(Name) -> binary:replace(Name, <<"_">>, <<"-">>, [global]).

%% @doc The first value of a cookie (RFC 6265, 4.2), as it stands.
-spec cookie(Name :: binary(), request()) -> binary() | undefined.
cookie(Name, #{fields := Fields}) ->
    Pairs = [binary:split(Pair, <<"=">>) || {<<"cookie">>, Value} <- Fields, Pair <- binary:split(Value, <<";">>, [global])],
    case [Value || [Found, Value] <- Pairs, hornbeam_headers:trim(Found) =:= Name] of
        [Value | _] -> hornbeam_headers:trim(Value);
        [] -> undefined
    end.

%% @doc The path as the application will see it: percent-decoded, so that `/%61dmin' is `/admin'. For comparisons, this one.
-spec path(request()) -> binary().
path(#{path := Path}) -> hornbeam_scope:decode_path(Path).
