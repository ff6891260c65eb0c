%%% The TLS files, for `hornbeam doctor': whether they can be used, and for how long.
%%%
%%% Called by: hornbeam_doctor, hornbeam_doctor_cluster (certificate/1). Calls: hornbeam_tls (load/2), hornbeam_reason, public_key. Records of public_key.hrl are matched
%%% as tuples: see hornbeam_cluster_ca.
-module(hornbeam_doctor_tls).

-export([examine/1, certificate/1, private/1]).

-include_lib("kernel/include/file.hrl").

-define(RENEW, "Renew it, then restart the server; hornbeam:reload_certs() from Erlang takes a renewed certfile without that.").
-define(SOON, 14).
-define(DAY, 86400).

-spec examine(Config :: map()) -> [hornbeam_doctor:finding()].
examine(#{ssl := false}) ->
    [];
examine(#{certfile := Cert, keyfile := Key, sni := Sni} = Config) ->
    %% Under a name of its own: what a running server has loaded stays.
    Loaded = hornbeam_tls:load(?MODULE, Config),
    ok = hornbeam_tls:forget(?MODULE),
    case Loaded of
        ok ->
            Files = [{Cert, Key} | [{C, K} || {_, C, K} <- Sni]],
            lists:append([[certificate(C) | private(case K of <<>> -> C; _ -> K end)] || {C, K} <- Files]);
        {error, Reason} ->
            [{wrong, ["TLS: ", hornbeam_reason:format(Reason)], "docs/troubleshooting.md says more."}]
    end.

%% @doc How long the first certificate in a file holds.
-spec certificate(file:name_all()) -> hornbeam_doctor:finding().
certificate(File) ->
    try
        {ok, Pem} = file:read_file(File),
        [Der | _] = [Each || {'Certificate', Each, not_encrypted} <- public_key:pem_decode(Pem)],
        {'OTPCertificate', Tbs, _, _} = public_key:pkix_decode_cert(Der, otp),
        {'Validity', From, Until} = element(6, Tbs),
        judged(File, seconds(From), seconds(Until), erlang:system_time(second))
    catch
        error:_ -> {wrong, ["TLS: ", File, " holds no certificate that can be read"], "It is to be in PEM."}
    end.

judged(File, From, Until, Now) ->
    Day = fun(Seconds) -> string:slice(calendar:system_time_to_rfc3339(Seconds, [{offset, "Z"}]), 0, 10) end,
    Left = (Until - Now) div ?DAY,
    if
        Now < From -> {wrong, ["TLS: ", File, " is valid from ", Day(From)], "Look at the clock, or take another certificate."};
        Now > Until -> {wrong, ["TLS: ", File, " was valid until ", Day(Until)], ?RENEW};
        Left < ?SOON -> {warning, io_lib:format("TLS: ~ts is valid for ~b days, until ~ts", [File, Left, Day(Until)]), ?RENEW};
        true -> {ok, io_lib:format("TLS: ~ts is valid for ~b days, until ~ts", [File, Left, Day(Until)]), ""}
    end.

%% As X.509 has it: with two digits for the year until 2049 (RFC 5280, 4.1.2.5.1).
seconds({utcTime, [Y1 | _] = Digits}) when Y1 >= $5 -> seconds({generalTime, "19" ++ Digits});
seconds({utcTime, Digits}) -> seconds({generalTime, "20" ++ Digits});
seconds({generalTime, Digits}) ->
    {ok, [Year, Month, Day, Hour, Minute, Second], "Z"} = io_lib:fread("~4d~2d~2d~2d~2d~2d", Digits),
    calendar:datetime_to_gregorian_seconds({{Year, Month, Day}, {Hour, Minute, Second}}) - calendar:datetime_to_gregorian_seconds({{1970, 1, 1}, {0, 0, 0}}).

%% @doc Whether others can read a private key.
-spec private(file:name_all()) -> [hornbeam_doctor:finding()].
private(File) ->
    case file:read_file_info(File) of
        {ok, #file_info{mode = Mode}} when Mode band 8#004 =/= 0 ->
            [{warning, ["TLS: every user of this machine can read the key in ", File], ["chmod 600 ", File]}];
        _ -> []
    end.
