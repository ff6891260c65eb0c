%%% Tells systemd (or whatever set NOTIFY_SOCKET) how the service is doing: sd_notify(3)'s protocol, one datagram each.
%%%
%%% Called by: hornbeam_cli (ready), hornbeam_reload (reloading, ready), hornbeam_signals (stopping). Without
%%% NOTIFY_SOCKET nothing is done. A datagram that cannot be sent is a line in the log and no more.
-module(hornbeam_systemd).

-export([ready/0, reloading/0, stopping/0]).

-spec ready() -> ok.
ready() ->
    notify(["READY=1\nSTATUS=serving\n"]).

%% MONOTONIC_USEC: for Type=notify-reload, when this reload began by the clock that all processes share.
-spec reloading() -> ok.
reloading() ->
    Now = os:perf_counter(microsecond),
    notify(["RELOADING=1\nMONOTONIC_USEC=", integer_to_list(Now), "\nSTATUS=reloading\n"]).

-spec stopping() -> ok.
stopping() ->
    notify(["STOPPING=1\nSTATUS=stopping\n"]).

notify(Text) ->
    case os:getenv("NOTIFY_SOCKET") of
        false -> ok;
        "" -> ok;
        %% The abstract namespace (unix(7)) begins with a NUL.
        [$@ | Name] -> send(<<0, (unicode:characters_to_binary(Name))/binary>>, Text);
        Path -> send(unicode:characters_to_binary(Path), Text)
    end.

send(Path, Text) ->
    Sent = case gen_udp:open(0, [local]) of
        {ok, Socket} ->
            Result = gen_udp:send(Socket, {local, Path}, 0, Text),
            ok = gen_udp:close(Socket),
            Result;
        {error, Why} ->
            {error, Why}
    end,
    case Sent of
        ok -> ok;
        {error, Reason} -> logger:warning("NOTIFY_SOCKET cannot be written: ~ts", [inet:format_error(Reason)])
    end.
