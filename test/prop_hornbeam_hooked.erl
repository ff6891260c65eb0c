%%% Properties of hornbeam_hooked, run by properties_tests: whatever status a hook gives a response, of whatever kind and in whatever pieces, what
%%% leaves is one well-formed response; when the hook fails nothing of it has left.
-module(prop_hornbeam_hooked).
-behaviour(hornbeam_hooked).

-include_lib("proper/include/proper.hrl").
-include("hornbeam_head.hrl").

-export([prop_framing/0]).
-export([new/2, request/1, mounted/2, own_answer/3, response/3]).

-define(HAS_BODY(Method, Status), (Method =/= <<"HEAD">> andalso Status =/= 204 andalso Status =/= 304)).

%% A runner whose settings are what it answers.
new(_Head, Settings) -> Settings.
request(State) -> {ok, #head{method = <<"GET">>, path = <<"/">>, version = 'HTTP/1.1'}, State}.
mounted(_Prefix, State) -> State.
own_answer(_Reason, Reply, _State) -> Reply.
response(_Status, _Fields, failed) -> {failed, hook_failed};
response(_Status, Fields, To) -> {ok, To, [{<<"x-hook">>, <<"1">>} | Fields]}.

prop_framing() ->
    numtests(200, ?FORALL({Method, From, To, Kind, Pieces, IsSized},
                          {method(), status(), oneof([failed, status()]), oneof([whole, parts]), pieces(), boolean()},
        begin
            Hooked = hornbeam_hooked:new(#head{method = Method, path = <<"/">>, version = 'HTTP/1.1'}, {?MODULE, To}),
            %% Each in a call of its own: hooks see the head, whatever comes with it.
            Sent = sent(response(Kind, Method, From, Pieces, IsSized), Hooked),
            is_response(To, Method, Sent) andalso (To =:= failed orelse kept(Method, From, To, Pieces, Sent))
        end)).

response(whole, Method, Status, Pieces, _IsSized) ->
    [[{timer, response, 1}, hornbeam_response:reply(Method, Status, [], iolist_to_binary(Pieces)), done]];
response(parts, Method, Status, Pieces, IsSized) ->
    Length = case IsSized andalso Status =/= 204 of true -> iolist_size(Pieces); false -> none end,
    Data = [[{data, nofin, Piece}] || ?HAS_BODY(Method, Status), Piece <- Pieces],
    [[{start, Status, [], Length}] | Data] ++ [[{data, fin, <<>>} || ?HAS_BODY(Method, Status)] ++ [done]].

sent([Commands | Rest], Hooked0) ->
    case hornbeam_hooked:commands(Commands, Hooked0) of
        {ok, Out, Hooked} -> Out ++ sent(Rest, Hooked);
        {failed, hook_failed, Before} -> Before ++ [failed]
    end;
sent([], _Hooked) ->
    [].

is_response(failed, _Method, Sent) -> [One || One <- Sent, One =/= {timer, response, 1}] =:= [failed];
is_response(To, Method, [{timer, response, 1} | Sent]) -> is_response(To, Method, Sent);
is_response(To, Method, [{reply, To, [{<<"x-hook">>, _}], Length, Body}, done]) ->
    case ?HAS_BODY(Method, To) of
        true -> Length =:= iolist_size(Body);
        false -> iolist_size(Body) =:= 0 andalso (To =/= 204 orelse Length =:= none)
    end;
is_response(To, Method, [{start, To, [{<<"x-hook">>, _}], Length} | Data]) ->
    Octets = [Piece || {data, _, Piece} <- Data],
    lists:last(Data) =:= done andalso
    case ?HAS_BODY(Method, To) of
        true -> lists:member(Length, [none, iolist_size(Octets)]) andalso length([fin || {data, fin, _} <- Data]) =:= 1;
        false -> Octets =:= [] andalso (To =/= 204 orelse Length =:= none)
    end;
is_response(_To, _Method, _Sent) ->
    false.

%% Where both have a body it is the application's.
kept(Method, From, To, Pieces, Sent) when ?HAS_BODY(Method, From), ?HAS_BODY(Method, To) ->
    iolist_to_binary([Piece || {data, _, Piece} <- Sent] ++ [Body || {reply, _, _, _, Body} <- Sent]) =:= iolist_to_binary(Pieces);
kept(_Method, _From, _To, _Pieces, _Sent) ->
    true.

method() -> oneof([<<"GET">>, <<"HEAD">>]).
status() -> oneof([200, 204, 304, 404, 500]).
pieces() -> list(binary()).
