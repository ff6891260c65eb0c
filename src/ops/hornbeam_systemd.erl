%%% Tells systemd (or whatever set NOTIFY_SOCKET) how the service is doing: sd_notify(3)'s protocol, one datagram each.
%%%
%%% Called by: hornbeam_cli (ready, waiting, failed), hornbeam_reload (reloading, ready), hornbeam_signals (stopping). hornbeam.Server of Python
%%% listens, too. Without NOTIFY_SOCKET nothing is done. That it serves and cannot say so is a line in the log; whoever was told of that may listen no longer.
-module(hornbeam_systemd).

-export([ready/1, waiting/1, failed/1, reloading/0, stopping/0]).

%% @doc It serves. Addresses: as hornbeam:info/1 has them; none where that is known already.
-spec ready(Addresses :: [binary()]) -> ok.
ready([]) ->
    _ = notify("READY=1\nSTATUS=serving\n"),
    ok;
ready(Addresses) ->
    case notify(["READY=1\nSTATUS=serving on ", lists:join(", ", Addresses), "\n"]) of
        ok -> ok;
        {error, Reason} -> logger:warning("NOTIFY_SOCKET cannot be written: ~ts", [inet:format_error(Reason)])
    end.

%% @doc It serves, but is not ready before this is there.
-spec waiting(unicode:chardata()) -> ok.
waiting(What) ->
    _ = notify(["STATUS=serving, waiting for ", What, "\n"]),
    ok.

%% @doc It does not, and why: the first line of it.
-spec failed(unicode:chardata()) -> ok.
failed(Text) ->
    [Line | _] = string:split(string:trim(unicode:characters_to_list(Text)), "\n"),
    _ = notify(["STATUS=", unicode:characters_to_binary(Line), "\n"]),
    ok.

%% MONOTONIC_USEC: for Type=notify-reload, when this reload began by the clock that all processes share.
-spec reloading() -> ok.
reloading() ->
    Now = os:perf_counter(microsecond),
    _ = notify(["RELOADING=1\nMONOTONIC_USEC=", integer_to_list(Now), "\nSTATUS=reloading\n"]),
    ok.

-spec stopping() -> ok.
stopping() ->
    _ = notify(["STOPPING=1\nSTATUS=stopping\n"]),
    ok.

notify(Text) ->
    case os:getenv("NOTIFY_SOCKET") of
        false -> ok;
        "" -> ok;
        %% The abstract namespace (unix(7)) begins with a NUL.
        [$@ | Name] -> send(<<0, (unicode:characters_to_binary(Name))/binary>>, Text);
        Path -> send(unicode:characters_to_binary(Path), Text)
    end.

send(Path, Text) ->
    case gen_udp:open(0, [local]) of
        {ok, Socket} ->
            Result = gen_udp:send(Socket, {local, Path}, 0, Text),
            ok = gen_udp:close(Socket),
            Result;
        {error, Reason} ->
            {error, Reason}
    end.
