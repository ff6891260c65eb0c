%%% The hooks of a server (option `http_hooks') on one request: asked in order, looked after, counted.
%%%
%%% Called by: hornbeam_hooked, in the process of the connection, which waits; hornbeam_server (settings/2), hornbeam_metrics_text (figures/1).
%%% Calls: the hooks themselves (hornbeam_http_hook), hornbeam_http_hook_values (whether what they returned may be), hornbeam_http_hook_metrics, hornbeam_mounts.
%%%
%%% on_request goes from the first hook to the last and ends with the first reply; on_error likewise; on_response from the last to the first,
%%% so that the first hook has the last word. Each hook has a context of its own for the request.
%%%
%%% Failure. A hook that raises or throws, or returns what may not be, is logged once, with its name and its stack, and counted; the request is
%%% over for all hooks. What it was given or has returned is not logged: there are cookies among it. Nothing limits how long a hook takes: that would
%%% need a process for each call; one that waits holds its own connection and no other.
-module(hornbeam_http_hooks).
-behaviour(hornbeam_hooked).

-export([settings/2, figures/1]).
-export_type([settings/0]).
-export([new/2, request/1, mounted/2, own_answer/3, response/3]).

-include("hornbeam_head.hrl").

-type hook() :: #{on_request => fun((hornbeam_http_hook:request()) -> term()),
                  on_response => fun((hornbeam_http_hook:response(), hornbeam_http_hook:request(), term()) -> term()),
                  on_error => fun((hornbeam_http_hook:error(), hornbeam_http_hook:request(), term()) -> term())}.
-type settings() :: #{server := atom(), hooks := [{pos_integer(), hook()}], metrics := hornbeam_http_hook_metrics:ref()}.

-record(state, {
    settings :: settings(),
    head :: #head{},
    request :: hornbeam_http_hook:request(),
    contexts = #{} :: #{pos_integer() => term()}
}).

%% @doc What a server's requests need of its options; hornbeam_http_hook_modules has looked whether all of it is there.
-spec settings(Name :: atom(), Config :: map()) -> hornbeam_hooked:hooks().
settings(_Name, #{http_hooks := []}) ->
    none;
settings(Name, #{http_hooks := Given}) ->
    ok = code:ensure_modules_loaded([hornbeam_http_hook_values, hornbeam_http_hook]),
    Hooks = [hornbeam_http_hook_modules:hook(One) || One <- Given],
    {?MODULE, #{server => Name, hooks => lists:enumerate(Hooks), metrics => counters_of(hornbeam_mounts:hooks(Name))}}.

%% A reload keeps them.
counters_of({?MODULE, #{metrics := Metrics}}) -> Metrics;
counters_of(none) -> hornbeam_http_hook_metrics:new().

%% @doc What hornbeam_http_hook_metrics:read/1 says.
-spec figures(settings()) -> {[{atom(), non_neg_integer(), float(), non_neg_integer()}], non_neg_integer()}.
figures(#{metrics := Metrics}) -> hornbeam_http_hook_metrics:read(Metrics).

-spec new(#head{}, settings()) -> #state{}.
new(Head, #{server := Server} = Settings) ->
    #state{settings = Settings, head = Head, request = hornbeam_http_hook_values:request(Head, Server)}.

-spec request(#state{}) -> {ok, #head{}, #state{}} | {reply, hornbeam_exchange:command(), #state{}} | {failed, hornbeam_error:reason()}.
request(#state{settings = #{hooks := Hooks}} = State) ->
    requested(Hooks, State).

requested([{Number, #{on_request := Fun}} | Rest], #state{request = Request, contexts = Contexts} = State) ->
    case call(on_request, Fun, [Request], fun(Returned) -> asked(Returned, State) end, State) of
        {ok, {next, Changed, Head}} ->
            requested(Rest, State#state{request = Changed, head = Head});
        {ok, {next, Changed, Head, Context}} ->
            requested(Rest, State#state{request = Changed, head = Head, contexts = Contexts#{Number => Context}});
        {ok, Reply} ->
            ok = hornbeam_http_hook_metrics:replied(metrics(State)),
            {reply, Reply, State};
        {error, Reason} ->
            {failed, Reason}
    end;
requested([_Without | Rest], State) ->
    requested(Rest, State);
requested([], #state{head = Head} = State) ->
    {ok, Head, State}.

asked(ok, #state{request = Request, head = Head}) -> {ok, {next, Request, Head}};
asked({ok, New}, State) -> changed(New, State);
asked({ok, New, Context}, State) ->
    case changed(New, State) of
        {ok, {next, Request, Head}} -> {ok, {next, Request, Head, Context}};
        Error -> Error
    end;
asked({reply, Status, Fields, Body}, State) -> reply(Status, Fields, Body, State);
asked(_Other, _State) -> {error, "it must return ok, {ok, Request}, {ok, Request, Context} or {reply, Status, Fields, Body}"}.

changed(New, #state{request = Old, head = Head0}) ->
    case hornbeam_http_hook_values:changed(New, Old, Head0) of
        {ok, Request, Head} -> {ok, {next, Request, Head}};
        Error -> Error
    end.

reply(Status, Fields, Body, #state{head = #head{method = Method}}) ->
    hornbeam_http_hook_values:reply(Status, Fields, Body, Method).

-spec mounted(Prefix :: binary(), #state{}) -> #state{}.
mounted(Prefix, #state{request = Request} = State) ->
    State#state{request = Request#{mount := Prefix}}.

-spec own_answer(hornbeam_error:reason() | bad_handshake, hornbeam_exchange:command(), #state{}) ->
    hornbeam_exchange:command() | {failed, hornbeam_error:reason()}.
own_answer(Reason, {reply, Status, Fields, _, _} = Own, #state{settings = #{hooks := Hooks}} = State) ->
    errors(Hooks, #{reason => Reason, status => Status, fields => Fields}, Own, State).

errors([{Number, #{on_error := Fun}} | Rest], Error, Own, #state{request = Request} = State) ->
    Made = fun(default) -> {ok, default};
              ({reply, Status, Fields, Body}) -> reply(Status, Fields, Body, State);
              (_Other) -> {error, "it must return default or {reply, Status, Fields, Body}"}
           end,
    case call(on_error, Fun, [Error, Request, context(Number, State)], Made, State) of
        {ok, default} -> errors(Rest, Error, Own, State);
        {ok, Reply} -> Reply;
        {error, Reason} -> {failed, Reason}
    end;
errors([_Without | Rest], Error, Own, State) -> errors(Rest, Error, Own, State);
errors([], _Error, Own, _State) -> Own.

-spec response(101 | 200..999, hornbeam_headers:headers(), #state{}) ->
    {ok, 101 | 200..999, hornbeam_headers:headers()} | {failed, hornbeam_error:reason()}.
response(Status, Fields, #state{settings = #{hooks := Hooks}} = State) ->
    responded(lists:reverse(Hooks), #{status => Status, fields => Fields}, State).

responded([{Number, #{on_response := Fun}} | Rest], Response0, #state{request = Request} = State) ->
    Changed = fun(ok) -> {ok, Response0};
                 ({ok, New}) -> hornbeam_http_hook_values:response(New, Response0);
                 (_Other) -> {error, "it must return ok or {ok, Response}"}
              end,
    case call(on_response, Fun, [Response0, Request, context(Number, State)], Changed, State) of
        {ok, Response} -> responded(Rest, Response, State);
        {error, Reason} -> {failed, Reason}
    end;
responded([_Without | Rest], Response, State) -> responded(Rest, Response, State);
responded([], #{status := Status, fields := Fields}, _State) -> {ok, Status, Fields}.

context(Number, #state{contexts = Contexts}) -> maps:get(Number, Contexts, undefined).

metrics(#state{settings = #{metrics := Metrics}}) -> Metrics.

%%% One call. Check: whether what it returned may be, and what it means.

call(Stage, Fun, Arguments, Check, State) ->
    Started = erlang:monotonic_time(),
    {Outcome, Returned} = guarded(Fun, Arguments),
    Took = erlang:monotonic_time() - Started,
    case Outcome =:= returned andalso Check(Returned) of
        false ->
            ok = hornbeam_http_hook_metrics:called(metrics(State), Stage, Took, failed),
            failed(Stage, Fun, Returned, State);
        {ok, Value} ->
            ok = hornbeam_http_hook_metrics:called(metrics(State), Stage, Took, ok),
            {ok, Value};
        {error, no_descriptor} ->
            ok = hornbeam_http_hook_metrics:called(metrics(State), Stage, Took, ok),
            {error, no_descriptor};
        {error, Text} ->
            ok = hornbeam_http_hook_metrics:called(metrics(State), Stage, Took, failed),
            failed(Stage, Fun, Text, State)
    end.

guarded(Fun, Arguments) ->
    try {returned, apply(Fun, Arguments)}
    catch Class:Reason:Stack -> {raised, [text(Class, Reason), [["\n    ", frame(Frame)] || {_, _, _, _} = Frame <- own(Stack)]]}
    end.

%% Not how it was called.
own(Stack) -> lists:takewhile(fun(Frame) -> element(1, Frame) =/= ?MODULE end, Stack).

failed(Stage, Fun, Why, #state{request = #{method := Method, path := Path}}) ->
    logger:error("~ts ~ts: the hook ~ts failed in ~ts: ~ts", [Method, Path, name(Fun), Stage, Why]),
    {error, hook_failed}.

%% Of a term that a request may be a part of no more than what kind it is.
text(Class, Reason) when is_atom(Reason) -> io_lib:format("~ts:~tp", [Class, Reason]);
text(Class, Reason) when is_tuple(Reason), is_atom(element(1, Reason)) -> io_lib:format("~ts:{~tp, ...}", [Class, element(1, Reason)]);
text(Class, _Reason) -> io_lib:format("~ts", [Class]).

%% Without arguments.
frame({Module, Function, Arguments, Where}) when is_list(Arguments) -> frame({Module, Function, length(Arguments), Where});
frame({Module, Function, Arity, Where}) ->
    Line = case {proplists:get_value(file, Where), proplists:get_value(line, Where)} of
        {File, Number} when is_list(File), is_integer(Number) -> io_lib:format(" (~ts, line ~b)", [File, Number]);
        _ -> ""
    end,
    [io_lib:format("~tp:~tp/~b", [Module, Function, Arity]), Line].

name(Fun) ->
    Info = fun(Item) -> element(2, erlang:fun_info(Fun, Item)) end,
    io_lib:format("~ts:~ts/~b", [Info(module), Info(name), Info(arity)]).
