%%% One request and its response, between a protocol and the pool.
%%%
%%% Called by: hornbeam_http1 and hornbeam_http2_stream, in the connection's process, which must not wait here, but for hooks. Calls: hornbeam_gate
%%% (may it come in), hornbeam_hooked (what hooks say to it), hornbeam_clients (has its client too many), hornbeam_scope, hornbeam_request (the
%%% state machine, whose effects on pool and worker are carried out here), hornbeam_pool, hornbeam_frame, hornbeam_worker, hornbeam_websocket_handshake,
%%% hornbeam_compress, hornbeam_affinity (where a mount has that option), hornbeam_watched (what an observer is told),
%%% and the module that answers for folders of files where there are such (hornbeam_static). Channels, where there are some, are a module that
%%% hornbeam_websocket is given (hornbeam_channel_connection).
%%%
%%% Every function answers with commands for the protocol, in order, which it carries out in its own way:
%%%
%%%   {inform, Status, Headers}                 an informational response
%%%   {reply, Status, Headers, Length, Body}    a whole response. Length: what content-length says; `none': nothing is said
%%%   {start, Status, Headers, Length}          the head of one that goes on; `none': the protocol frames it
%%%   {data, fin | nofin, Data}, {trailers, Headers}    and what follows; trailers end it
%%%   {read, Octets}                            so much more of the request's body may be read
%%%   {timer, Name, Time}, cancel_timer         the one time limit of the request: event({timeout, Name}) when it is over
%%%   close                                     HTTP/1: the connection ends after this response
%%%   {upgrade, Accepted}                       a WebSocket was accepted; the exchange is over
%%%   cut                                       the response cannot be completed, and the client must see it; the exchange is over
%%%   done                                      the response is complete; the exchange is over
%%%
%%% Messages that the protocol passes on with event/2, all of the form {Owner, Event} with the Owner of open/3:
%%%   from hornbeam_worker  {worker, Type, Payload}, {worker_lost, Why}, drain
%%%   from hornbeam_pool    try_again
-module(hornbeam_exchange).

-export([open/3, refuse/3, over/0, event/2, gone/1, is_gathering/1]).
-export_type([exchange/0, context/0, observer/0, channels/0, command/0, body/0, piece/0, head/0]).

-include("hornbeam.hrl").
-include("hornbeam_head.hrl").

-type head() :: #head{}.
%% What is the same for all requests of a connection.
-type context() :: #{server := atom(), gate := hornbeam_gate:settings(), max_client_requests := pos_integer() | infinity, observer := observer(),
                     static := none | {module(), term()}, channels := none | channels(),
                     compress := off | non_neg_integer(), defaults := hornbeam_headers:defaults(), place := hornbeam_scope:place()}.
-type observer() :: hornbeam_watched:observer().
%% guest: whose a WebSocket of these paths becomes. streams: whose checkout(Rest, Head, Server) is a worker for a request below these paths (Rest of its
%% path), as a slot with a place that is taken; messages to and from it are those of hornbeam_worker.
-type channels() :: #{pool := hornbeam_pool:id(), guest := module(), paths := [binary()], streams := module(), stream_paths := [binary()]}.
-type body() :: iodata() | {sendfile, Size :: non_neg_integer(), [piece()]}.
%% Of a file, which the protocol opens by its path, or closes when it is open; or octets between such.
-type piece() :: iodata() | {file, binary() | file:fd(), Offset :: non_neg_integer(), Size :: pos_integer()}.
-type command() :: {inform, 100..199, hornbeam_headers:headers()}
                 | {reply, 200..999, hornbeam_headers:headers(), non_neg_integer() | none, body()}
                 | {start, 200..999, hornbeam_headers:headers(), non_neg_integer() | none}
                 | {data, fin | nofin, iodata()} | {trailers, hornbeam_headers:headers()}
                 | {read, non_neg_integer()} | {timer, response | queue, timeout()} | cancel_timer
                 | close | {upgrade, hornbeam_websocket_handshake:accepted()} | cut | done.

-record(exchange, {
    owner :: hornbeam_pool:owner(),
    pool :: hornbeam_pool:id() | fun(() -> hornbeam_pool_choice:taken()),
    path :: binary(),
    request :: hornbeam_request:request(),
    handshake = none :: none | hornbeam_websocket_handshake:handshake(),
    compress = off :: off | hornbeam_compress:state(),
    watched = none :: hornbeam_watched:watched(),
    hooked = none :: none | hornbeam_hooked:hooked(),
    affinity = none :: none | hornbeam_affinity:affinity(),
    %% Whether its client has one less in progress when this is over: a WebSocket is no request any more. On HTTP/2 a response may still
    %% have to wait for the client: there it is the end of the stream that counts.
    leaves :: boolean()
}).
-opaque exchange() :: #exchange{} | over.

%% @doc A request whose head has been read. One with a body waits for event(submit), so that what of it came together
%% with the head goes with it.
-spec open(#head{}, hornbeam_pool:owner(), context()) -> {[command()], exchange()}.
open(Head0, Owner, #{gate := Gate, server := Server, observer := Observer} = Context) ->
    {Head1, Watched} = hornbeam_watched:opened(Head0, Observer),
    case hornbeam_gate:admit(Head1, Server, Gate) of
        {ok, Head, Mount} ->
            entered(Head, Mount, Head1, Owner, none, Watched, Context);
        {hooks, Hooks, Head, Prefix} ->
            hooked(hornbeam_hooked:request(hornbeam_hooked:new(Head, Hooks)), Prefix, Head1, Owner, Watched, Context);
        {refuse, Reason} ->
            refused(Reason, Head1, hornbeam_hooked:new(Head1, hornbeam_mounts:hooks(Server)), Watched)
    end.

%% Hooks have seen it.
hooked({ok, Head, Hooked}, Prefix, Before, Owner, Watched, #{server := Server} = Context) ->
    Mount = hornbeam_gate:route(Head, Server, Prefix),
    entered(Head, Mount, Before, Owner, mounted(Mount, Hooked), Watched, Context);
hooked({reply, Reply, Hooked}, _Prefix, Before, _Owner, Watched, #{compress := Compress}) ->
    {Commands, _Done} = hornbeam_compress:commands(hornbeam_hooked:last([Reply, done], Hooked), hornbeam_compress:new(Before, Compress)),
    {hornbeam_watched:last(Commands, Watched), over}.

mounted(none, Hooked) -> Hooked;
mounted(#mount{prefix = Prefix}, Hooked) -> hornbeam_hooked:mounted(Prefix, Hooked).

entered(Head, Mount, Before, Owner, Hooked, Watched, Context) ->
    case enter(Head, Before, Owner, Context) of
        ok -> placed(Head, Mount, Owner, Hooked, Watched, Context);
        full -> {hornbeam_watched:last(answer(too_many_requests, Before, Hooked), Watched), over}
    end.

refused(Reason, Head, Hooked, Watched) ->
    {hornbeam_watched:last([close || Reason =/= not_found] ++ answer(Reason, Head, Hooked), Watched), over}.

%% Files come before the application of a prefix that is as long, or shorter (hornbeam_static).
placed(Head, #mount{} = Mount, Owner, Hooked, Watched, #{static := none} = Context) ->
    admitted(Head, Mount, Owner, Hooked, Watched, Context);
placed(Head, Mount, Owner, Hooked, Watched, #{static := Static} = Context) ->
    case static(Head, Mount, Static) of
        pass when Mount =/= none ->
            admitted(Head, Mount, Owner, Hooked, Watched, Context);
        Answer ->
            ok = leave(Head#head.version =/= 'HTTP/2', Owner),
            {hornbeam_watched:last(answered(Answer, Head, Hooked), Watched), over}
    end.

%% A mount of a host has all requests of that host.
static(_Head, _Mount, none) -> pass;
static(_Head, #mount{host = Host}, _Static) when Host =/= any -> pass;
static(Head, none, {Module, Settings}) -> Module:answer(Head, none, Settings);
static(Head, #mount{prefix = Prefix}, {Module, Settings}) -> Module:answer(Head, Prefix, Settings).

answered(pass, Head, Hooked) ->
    answer(not_found, Head, Hooked);
answered({refused, Reason, Own}, _Head, Hooked0) ->
    {Reply, Hooked} = hornbeam_hooked:own_answer(Reason, {Own, Hooked0}),
    hornbeam_hooked:last([Reply, done], Hooked);
answered({reply, _, _, _, Body} = Reply, _Head, Hooked) ->
    Commands = hornbeam_hooked:last([Reply, done], Hooked),
    _ = lists:keymember(Body, 5, Commands) orelse close_files(Body),
    Commands.

%% A hook has made the response another one.
close_files({sendfile, _, Pieces}) -> lists:foreach(fun file:close/1, lists:usort([Fd || {file, Fd, _, _} <- Pieces]));
close_files(_) -> ok.

%% A client is whose connection it is, or whom a trusted proxy names. A proxy that names nobody is none, nor is the peer of a Unix socket.
enter(#head{peer = {Ip, _} = Peer}, #head{peer = Before}, {_, Number}, #{server := Server, gate := Gate, max_client_requests := Max})
        when is_tuple(Ip), is_integer(Max) ->
    case Peer =:= Before andalso hornbeam_gate:is_proxy(Peer, Gate) of
        true -> ok;
        false -> hornbeam_clients:enter(Server, Number, Ip, Max)
    end;
enter(_Head, _Before, _Owner, _Context) ->
    ok.

admitted(Head, #mount{settings = Settings} = Mount, Owner, Hooked, Watched, #{place := Place, compress := Compress} = Context) ->
    Leaves = Head#head.version =/= 'HTTP/2',
    Pool = worker(Head, Mount, Context),
    case hornbeam_websocket_handshake:is_upgrade(Head, Settings) of
        false ->
            {Effects, Request} = hornbeam_request:new(Head, hornbeam_scope:encode(Head, Mount, Place), Settings),
            run(Effects, [], #exchange{owner = Owner, pool = Pool, path = Head#head.path, request = Request, watched = Watched,
                                       hooked = Hooked, affinity = affinity(Head, Mount), leaves = Leaves,
                                       compress = hornbeam_compress:new(Head, Compress)});
        true ->
            websocket(Head, Mount, Owner, Hooked, Watched, Leaves, Context)
    end.

affinity(_Head, #mount{affinity = none}) -> none;
affinity(Head, Mount) -> hornbeam_affinity:new(Head, Mount).

websocket(Head, #mount{pool = Pool, settings = Settings} = Mount, Owner, Hooked0, Watched, Leaves, #{server := Server, place := Place, channels := Channels}) ->
    case hornbeam_websocket_handshake:check(Head, Server, Settings, guest(Head, Pool, Channels)) of
        {ok, Handshake} ->
            {Effects, Request} = hornbeam_request:websocket(Head, hornbeam_scope:encode(Head, Mount, Place), Settings),
            run(Effects, [], #exchange{owner = Owner, pool = Pool, path = Head#head.path, request = Request, watched = Watched,
                                       hooked = Hooked0, affinity = affinity(Head, Mount), leaves = Leaves, handshake = Handshake});
        {refuse, {Status, Headers, Text}} ->
            ok = leave(Leaves, Owner),
            Own = {reply, Status, hornbeam_error:headers(Status) ++ Headers, byte_size(Text), Text},
            {Reply, Hooked} = hornbeam_hooked:own_answer(bad_handshake, {Own, Hooked0}),
            {hornbeam_watched:last(hornbeam_hooked:last([Reply, done], Hooked), Watched), over}
    end.

%% Of the root application some paths are those of channels.
guest(#head{path = Path}, Pool, #{pool := Pool, guest := Module, paths := Paths}) ->
    case lists:member(Path, Paths) of
        true -> Module;
        false -> none
    end;
guest(_Head, _Pool, _Channels) ->
    none.

%% Where a request gets its worker: a pool, or what answers a stream of events.
worker(#head{path = Path} = Head, #mount{pool = Pool}, #{server := Server, channels := #{pool := Pool, streams := Module, stream_paths := Paths}}) ->
    case below(Paths, Path) of
        {ok, Rest} -> fun() -> Module:checkout(Rest, Head, Server) end;
        no -> Pool
    end;
worker(_Head, #mount{pool = Pool}, _Context) ->
    Pool.

below([], _Path) ->
    no;
below([Prefix | Prefixes], Path) ->
    case Path of
        <<Prefix:(byte_size(Prefix))/binary, Rest/binary>> -> {ok, Rest};
        _ -> below(Prefixes, Path)
    end.

%% @doc The answer to what was never a request: its head could not be read. What is known of it is for the observer; hooks do not see it.
-spec refuse(hornbeam_error:reason(), #head{}, context()) -> [command()].
refuse(Reason, Head0, #{observer := Observer}) ->
    {Head, Watched} = hornbeam_watched:opened(Head0, Observer),
    hornbeam_watched:last([close | answer(Reason, Head, none)], Watched).

%% @doc An exchange that takes no further part in anything.
-spec over() -> exchange().
over() -> over.

answer(Reason, #head{method = Method}, Hooked0) ->
    {Reply, Hooked} = hornbeam_hooked:own_answer(Reason, Method, Hooked0),
    hornbeam_hooked:last([Reply, done], Hooked).

%% @doc Whether the request waits for its body, or for `submit'.
-spec is_gathering(exchange()) -> boolean().
is_gathering(#exchange{request = Request}) -> hornbeam_request:is_gathering(Request);
is_gathering(over) -> false.

-spec event(hornbeam_request:event(), exchange()) -> {[command()], exchange()}.
event({worker, response, Payload} = Event, #exchange{request = Request0, watched = {_, _}, compress = off, hooked = none, affinity = none} = Exchange) ->
    case hornbeam_request:event(Event, Request0) of
        {[cancel_timer, {reply, _, _, _, _} = Reply, done], _Over} -> whole(Reply, Payload, Exchange);
        {Effects, Request} -> goes_on(Event, Effects, Request, Exchange)
    end;
event(Event, #exchange{request = Request0} = Exchange) ->
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    goes_on(Event, Effects, Request, Exchange);
event(_Late, over) ->
    {[], over}.

goes_on(Event, Effects, Request, #exchange{watched = Watched} = Exchange) ->
    run(Effects, [], Exchange#exchange{request = Request, watched = hornbeam_watched:news(Event, Watched)}).

%% Nearly all responses. The observer is told all of it at once.
whole(Reply, Payload, #exchange{owner = Owner, leaves = Leaves, handshake = Handshake, watched = Watched}) ->
    ok = given_back(Owner, Leaves, Handshake),
    {[cancel_timer, hornbeam_watched:whole(Payload, Reply, Watched), done], over}.

%% @doc The client has gone, or the connection ends.
-spec gone(exchange()) -> ok.
gone(#exchange{request = Request} = Exchange) ->
    {_Commands, Gone} = run(hornbeam_request:gone(Request), [], Exchange),
    ended(Gone);
gone(over) ->
    ok.

ended(over) ->
    ok;
ended(#exchange{owner = Owner, leaves = Leaves, handshake = Handshake, watched = Watched, request = Request, compress = Compress}) ->
    ok = given_back(Owner, Leaves, Handshake),
    ok = hornbeam_compress:stop(Compress),
    hornbeam_watched:over(hornbeam_request:was_placed(Request), Watched).

given_back(Owner, Leaves, Handshake) ->
    _ = Handshake =:= none orelse hornbeam_websocket_handshake:failed(Handshake),
    leave(Leaves, Owner).

leave(true, {_, Number}) -> hornbeam_clients:leave(Number);
leave(false, _Owner) -> ok.

%%% Effects. Commands: for the protocol, newest first.

run([], Commands, Exchange) ->
    respond(lists:reverse(Commands), Exchange);
run([checkout | Rest], Commands, #exchange{pool = Make} = Exchange) when is_function(Make) ->
    again(placed(Make()), Rest, Commands, Exchange);
run([checkout | Rest], Commands, #exchange{pool = Pool, affinity = none} = Exchange) ->
    again(placed(hornbeam_pool:checkout(Pool)), Rest, Commands, Exchange);
run([checkout | Rest], Commands, #exchange{pool = Pool, affinity = Affinity0} = Exchange) ->
    {Taken, Affinity} = hornbeam_affinity:checkout(Pool, Affinity0),
    again(placed(Taken), Rest, Commands, Exchange#exchange{affinity = Affinity});
run([{open, Slot, Id, Frame} | Rest], Commands, #exchange{owner = Owner} = Exchange) ->
    ok = hornbeam_worker:open(Slot, Id, Owner, Frame),
    run(Rest, Commands, Exchange);
run([{send, Slot, Frame} | Rest], Commands, Exchange) ->
    ok = hornbeam_worker:send(Slot, Frame),
    run(Rest, Commands, Exchange);
run([{close, Slot, Id, Frame} | Rest], Commands, Exchange) ->
    ok = hornbeam_worker:close(Slot, Id, Frame),
    run(Rest, Commands, Exchange);
run([{wait, Where} | Rest], Commands, #exchange{pool = Pool, owner = Owner, watched = Watched} = Exchange) ->
    case hornbeam_pool:wait(Pool, Owner, Where) of
        ok -> run(Rest, Commands, Exchange#exchange{watched = hornbeam_watched:happened(waits, Watched)});
        {error, Reason} -> again({wait_failed, Reason}, Rest, Commands, Exchange)
    end;
run([cancel_wait | Rest], Commands, #exchange{pool = Pool, owner = Owner} = Exchange) ->
    ok = hornbeam_pool:cancel(Pool, Owner),
    run(Rest, Commands, Exchange);
run([{accept, Slot, Id, {Subprotocol, Headers}} | Rest], Commands, #exchange{handshake = Handshake, hooked = Hooked} = Exchange) ->
    case accept(hornbeam_websocket_handshake:accept(Handshake, Slot, Id, Subprotocol, Headers), Hooked) of
        {ok, Accepted} -> run(Rest, [{upgrade, Accepted} | Commands], Exchange#exchange{handshake = none, leaves = true});
        {error, Reason} -> again({accept_failed, Reason}, Rest, Commands, Exchange);
        {failed, Reason} -> again({accept_failed, Reason}, Rest, Commands, Exchange#exchange{hooked = none})
    end;
run([{fail, Reason} | Rest], Commands, #exchange{request = Request, hooked = Hooked0} = Exchange) ->
    #{method := Method} = hornbeam_request:summary(Request),
    {Reply, Hooked} = hornbeam_hooked:own_answer(Reason, Method, Hooked0),
    run(Rest, [Reply | Commands], Exchange#exchange{hooked = Hooked});
run([{log, Level, Reason} | Rest], Commands, #exchange{path = Path, request = Request} = Exchange) ->
    #{method := Method} = hornbeam_request:summary(Request),
    logger:log(Level, "~ts ~ts: ~ts", [Method, Path, hornbeam_reason:format(Reason)]),
    run(Rest, Commands, Exchange);
run([Command | Rest], Commands, Exchange) ->
    run(Rest, [Command | Commands], Exchange).

accept({ok, Accepted}, Hooked) -> hornbeam_hooked:accept(Accepted, Hooked);
accept({error, Reason}, _Hooked) -> {error, Reason}.

placed({ok, Slot, Id, Load}) -> {placed, Slot, Id, Load};
placed(none) -> no_place.

%% What was done is news for the request; what it answers comes before the rest.
again(Event, Rest, Commands, #exchange{request = Request0, watched = Watched} = Exchange) ->
    {Effects, Request} = hornbeam_request:event(Event, Request0),
    run(Effects ++ Rest, Commands, Exchange#exchange{request = Request, watched = hornbeam_watched:news(Event, Watched)}).

%% On the way to the client: with the cookie that says where it belongs, changed by hooks, compressed, seen by the observer. When a hook fails
%% the application is told that its client has gone, which gets the server's answer.
respond(Commands, #exchange{compress = off, watched = none, hooked = none, affinity = none} = Exchange) ->
    {Commands, left(Commands, Exchange)};
respond(Commands, #exchange{affinity = none} = Exchange) ->
    changed(Commands, Exchange);
respond(Commands0, #exchange{affinity = Affinity0} = Exchange) ->
    {Commands, Affinity} = hornbeam_affinity:commands(Commands0, Affinity0),
    changed(Commands, Exchange#exchange{affinity = Affinity}).

changed(Commands, #exchange{hooked = none} = Exchange) ->
    responded(Commands, Exchange);
changed(Commands0, #exchange{hooked = Hooked0, request = Request} = Exchange) ->
    case hornbeam_hooked:commands(Commands0, Hooked0) of
        {ok, Commands, Hooked} ->
            responded(Commands, Exchange#exchange{hooked = Hooked});
        {failed, Reason, Before} ->
            run(hornbeam_request:gone(Request) ++ [{fail, Reason}, done], lists:reverse(Before), Exchange#exchange{hooked = none})
    end.

responded(Commands0, #exchange{compress = Compress0, watched = Watched0} = Exchange) ->
    {Commands1, Compress} = hornbeam_compress:commands(Commands0, Compress0),
    {Commands, Watched} = hornbeam_watched:sends(Commands1, Watched0),
    {Commands, left(Commands, Exchange#exchange{compress = Compress, watched = Watched})}.

left(Commands, Exchange) ->
    case Commands =/= [] andalso is_last(lists:last(Commands)) of
        true -> ended(Exchange), over;
        false -> Exchange
    end.

is_last(done) -> true;
is_last(cut) -> true;
is_last({upgrade, _}) -> true;
is_last(_) -> false.
