%%% One request's hooks, as its exchange meets them: what they make of commands on their way to the client.
%%%
%%% Called by: hornbeam_exchange, hornbeam_gate (a type). Calls: hornbeam_error, hornbeam_websocket_handshake; a runner (a module with this
%%% behaviour: hornbeam_http_hooks), whose name and settings are a part of the server's snapshot (hornbeam_mounts). Where there are no hooks a
%%% request has `none', and nothing here is called for it but by the server's own errors.
%%%
%%% Failure: once a hook has failed the request has no hooks any more and is answered with the server's own 500. A response that goes on has not
%%% begun by then: hooks see its head before the client does.
-module(hornbeam_hooked).

-export([new/2, request/1, mounted/2, own_answer/3, own_answer/2, commands/2, last/2, accept/2]).
-export_type([hooks/0, hooked/0]).

-include("hornbeam_head.hrl").

-type hooks() :: none | {Runner :: module(), Settings :: term()}.

-record(hooked, {
    runner :: module(),
    state :: term(),
    method :: binary(),
    bodiless = false :: boolean()           % what goes on is not to have a body any more
}).
-opaque hooked() :: #hooked{}.

-type failed() :: {failed, hornbeam_error:reason()}.

-callback new(#head{}, Settings :: term()) -> State :: term().
-callback request(State) -> {ok, #head{}, State} | {reply, hornbeam_exchange:command(), State} | failed() when State :: term().
-callback mounted(Prefix :: binary(), State) -> State when State :: term().
-callback own_answer(hornbeam_error:reason() | bad_handshake, hornbeam_exchange:command(), State :: term()) -> hornbeam_exchange:command() | failed().
-callback response(101 | 200..999, hornbeam_headers:headers(), State :: term()) -> {ok, 101 | 200..999, hornbeam_headers:headers()} | failed().

-define(HAS_BODY(Status), (Status =/= 204 andalso Status =/= 304)).

%% @doc Of a request that has not been shown to them yet.
-spec new(#head{}, hooks()) -> none | hooked().
new(_Head, none) -> none;
new(#head{method = Method} = Head, {Runner, Settings}) -> #hooked{runner = Runner, state = Runner:new(Head, Settings), method = Method}.

%% @doc Shows it to them: it goes on as they want it, or is answered.
-spec request(hooked()) -> {ok, #head{}, hooked()} | {reply, hornbeam_exchange:command(), none | hooked()}.
request(#hooked{runner = Runner, state = State0, method = Method} = Hooked) ->
    case Runner:request(State0) of
        {ok, #head{method = Changed} = Head, State} -> {ok, Head, Hooked#hooked{state = State, method = Changed}};
        {reply, Reply, State} -> {reply, Reply, Hooked#hooked{state = State}};
        {failed, Reason} -> {reply, hornbeam_error:reply(Reason, Method), none}
    end.

%% @doc It has come to a mount.
-spec mounted(Prefix :: binary(), none | hooked()) -> none | hooked().
mounted(_Prefix, none) -> none;
mounted(Prefix, #hooked{runner = Runner, state = State} = Hooked) -> Hooked#hooked{state = Runner:mounted(Prefix, State)}.

%% @doc The server's own answer, which they may make.
-spec own_answer(hornbeam_error:reason(), Method :: binary(), none | hooked()) -> {hornbeam_exchange:command(), none | hooked()}.
own_answer(Reason, Method, Hooked) -> own_answer(Reason, {hornbeam_error:reply(Reason, Method), Hooked}).

%% @doc The same for an answer that is in no table.
-spec own_answer(hornbeam_error:reason() | bad_handshake, {hornbeam_exchange:command(), none | hooked()}) ->
    {hornbeam_exchange:command(), none | hooked()}.
own_answer(_Reason, {Reply, none}) -> {Reply, none};
own_answer(Reason, {Reply, #hooked{runner = Runner, state = State, method = Method} = Hooked}) ->
    case Runner:own_answer(Reason, Reply, State) of
        {failed, Failed} -> {hornbeam_error:reply(Failed, Method), none};
        Own -> {Own, Hooked}
    end.

%% @doc Commands on their way to the client. With the head of the response the hooks have seen all that there is for them, and what they kept of the
%% request is forgotten. When a hook fails: the commands before the response, and why.
-spec commands([hornbeam_exchange:command()], none | hooked()) ->
    {ok, [hornbeam_exchange:command()], none | hooked()} | {failed, hornbeam_error:reason(), [hornbeam_exchange:command()]}.
commands(Commands, none) -> {ok, Commands, none};
commands(Commands, Hooked) -> commands(Commands, [], Hooked).

commands([{reply, Status0, Fields0, Length, Body} | Rest], Done, Hooked) ->
    case response(Status0, Fields0, Hooked) of
        {ok, Status, Fields} -> {ok, lists:reverse(Done, [reply(Status0, Status, Fields, Length, Body, Hooked) | Rest]), none};
        {failed, Reason} -> {failed, Reason, lists:reverse(Done)}
    end;
commands([{start, Status0, Fields0, Length} | Rest], Done, Hooked) ->
    case response(Status0, Fields0, Hooked) of
        {ok, Status, Fields} when ?HAS_BODY(Status) =:= ?HAS_BODY(Status0) ->
            {ok, lists:reverse(Done, [{start, Status, Fields, case Status of 204 -> none; _ -> Length end} | Rest]), none};
        {ok, Status, Fields} ->
            commands(Rest, [reply(Status0, Status, Fields, Length, <<>>, Hooked) | Done], Hooked#hooked{state = none, bodiless = true});
        {failed, Reason} -> {failed, Reason, lists:reverse(Done)}
    end;
commands([{data, _, _} | Rest], Done, #hooked{bodiless = true} = Hooked) -> commands(Rest, Done, Hooked);
commands([{trailers, _} | Rest], Done, #hooked{bodiless = true} = Hooked) -> commands(Rest, Done, Hooked);
commands([Command | Rest], Done, Hooked) -> commands(Rest, [Command | Done], Hooked);
commands([], Done, Hooked) -> {ok, lists:reverse(Done), Hooked}.

response(Status, Fields, #hooked{runner = Runner, state = State}) -> Runner:response(Status, Fields, State).

%% From a status that has a body to one that has none, or the other way (RFC 9110, 8.6).
reply(From, To, Fields, Length, Body, _Hooked) when ?HAS_BODY(From) =:= ?HAS_BODY(To), To =/= 204 -> {reply, To, Fields, Length, Body};
reply(_From, 204, Fields, _Length, _Body, _Hooked) -> {reply, 204, Fields, none, <<>>};
reply(_From, 304, Fields, Length, _Body, _Hooked) -> {reply, 304, Fields, Length, <<>>};
reply(_From, To, Fields, Length, _Body, #hooked{method = <<"HEAD">>}) -> {reply, To, Fields, Length, <<>>};
reply(_From, To, Fields, _Length, _Body, _Hooked) -> {reply, To, Fields, 0, <<>>}.

%% @doc The same for a response that is whole, and all there is left to say.
-spec last([hornbeam_exchange:command()], none | hooked()) -> [hornbeam_exchange:command()].
last(Commands, none) ->
    Commands;
last(Commands0, #hooked{method = Method} = Hooked) ->
    case commands(Commands0, Hooked) of
        {ok, Commands, _} -> Commands;
        {failed, Reason, Before} -> Before ++ [hornbeam_error:reply(Reason, Method), done]
    end.

%% @doc A WebSocket was accepted.
-spec accept(hornbeam_websocket_handshake:accepted(), none | hooked()) -> {ok, hornbeam_websocket_handshake:accepted()} | failed().
accept(Accepted, none) ->
    {ok, Accepted};
accept(Accepted, Hooked) ->
    case response(101, hornbeam_websocket_handshake:fields(Accepted), Hooked) of
        {ok, 101, Fields} -> {ok, hornbeam_websocket_handshake:with_fields(Fields, Accepted)};
        {failed, Reason} -> {failed, Reason}
    end.
