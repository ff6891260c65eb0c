%%% A rate limit before Python is asked: an HTTP hook with a bucket of tokens for each client, in ETS.
%%%
%%% A bucket holds ?BURST tokens and fills up by one in ?EVERY ms; a request takes one, or is answered with 429. What is kept of a client is one
%%% number, the time at which its bucket will be full again (as in the generic cell rate algorithm, ITU-T I.371); whose bucket is full takes
%%% no memory: a sweep removes it. Beyond ?CLIENTS clients those that are new share one bucket, so that the table has a bound.
%%%
%%% The table belongs to a process that does nothing but sweep it. The first request starts that.
-module(rate_limit).
-behaviour(hornbeam_http_hook).

-export([on_request/1, on_response/3, sweep/0]).

-define(BURST, 5).
-define(EVERY, 2000).
-define(CLIENTS, 100000).
-define(SWEEP, 10000).

on_request(#{peer := Peer} = Request) ->
    case take(client(Peer), erlang:monotonic_time(millisecond)) of
        {ok, Left} -> {ok, Request, Left};
        {wait, Time} ->
            Seconds = integer_to_binary((Time + 999) div 1000),
            {reply, 429, [{<<"content-type">>, <<"text/plain">>}, {<<"retry-after">>, Seconds} | fields(0)], <<"Too many requests\n">>}
    end.

%% The context is how many are left; a reply has said it.
on_response(_Response, _Request, undefined) -> ok;
on_response(#{fields := Fields} = Response, _Request, Left) -> {ok, Response#{fields := Fields ++ fields(Left)}}.

fields(Left) ->
    [{<<"ratelimit-limit">>, integer_to_binary(?BURST)}, {<<"ratelimit-remaining">>, integer_to_binary(Left)}].

%% An address; of IPv6 the network, which a client has for itself.
client({{A, B, C, D, _, _, _, _}, _Port}) -> {A, B, C, D};
client({Address, _Port}) -> Address.

take(Client, Now) ->
    Table = table(),
    Key = case ets:member(Table, Client) orelse ets:info(Table, size) < ?CLIENTS of
        true -> Client;
        false -> others
    end,
    _ = ets:insert_new(Table, {Key, Now}),
    take(Table, Key, Now).

%% Of requests at the same time one is first; the others look again.
take(Table, Key, Now) ->
    case ets:lookup(Table, Key) of
        [{_, Full} = Old] ->
            Next = max(Full, Now) + ?EVERY,
            case Next - Now =< ?BURST * ?EVERY of
                false -> {wait, Next - Now - ?BURST * ?EVERY};
                true ->
                    case ets:select_replace(Table, [{Old, [], [{const, {Key, Next}}]}]) of
                        1 -> {ok, (?BURST * ?EVERY - (Next - Now)) div ?EVERY};
                        0 -> take(Table, Key, Now)
                    end
            end;
        [] -> % swept just now
            _ = ets:insert_new(Table, {Key, Now}),
            take(Table, Key, Now)
    end.

table() ->
    case ets:whereis(?MODULE) of
        undefined -> start();
        _ -> ?MODULE
    end.

%% Requests may come at the same time: one of their processes gets the name, and all wait for the table.
start() ->
    {_, Monitor} = spawn_monitor(fun own/0),
    receive
        {'DOWN', Monitor, process, _, already} -> table();
        {'DOWN', Monitor, process, _, started} -> ?MODULE
    end.

own() ->
    Starter = self(),
    Owner = spawn(fun() ->
        try register(?MODULE, self()) of
            true ->
                ?MODULE = ets:new(?MODULE, [named_table, public, {write_concurrency, true}, {read_concurrency, true}]),
                Starter ! {self(), started},
                ?MODULE:sweep()
        catch error:badarg -> Starter ! {self(), already}
        end
    end),
    receive {Owner, What} -> exit(What) end.

%% Called by name, so that a reload brings it to new code.
sweep() ->
    receive after ?SWEEP -> ok end,
    Now = erlang:monotonic_time(millisecond),
    _ = ets:select_delete(?MODULE, [{{'_', '$1'}, [{'=<', '$1', Now}], [true]}]),
    ?MODULE:sweep().
