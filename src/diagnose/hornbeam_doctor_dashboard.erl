%%% The dashboard's password, token and certificate, for `hornbeam doctor': whether their files can be used.
%%%
%%% Called by: hornbeam_doctor. Calls: hornbeam_dashboard_secret, hornbeam_side_listener (tls/2), hornbeam_doctor_tls, hornbeam_option_bind, hornbeam_option_table_dashboard (is_local/1). Whether there is a file at all, and whether an address needs one, is known when options are read.
-module(hornbeam_doctor_dashboard).

-export([examine/1]).

-spec examine(Config :: map()) -> [hornbeam_doctor:finding()].
examine(#{dashboard_bind := [_ | _] = Binds, dashboard_password_file := Password, dashboard_token_file := Token} = Config) ->
    tls(hornbeam_side_listener:tls(hornbeam_dashboard, Config), Binds)
    ++ [secret(Kind, File, hornbeam_dashboard_secret:read(Kind, File)) || {Kind, File} <- [{password, Password}, {token, Token}], File =/= <<>>];
examine(_NoDashboard) ->
    [].

tls(none, Binds) ->
    [{warning, ["dashboard: it speaks HTTP on ", hornbeam_option_bind:format(Bind)],
      "Whoever is on the way can read the password and what is shown: dashboard_certfile, or a TLS proxy before 127.0.0.1."}
     || Bind <- Binds, not hornbeam_option_table_dashboard:is_local(Bind)];
tls(Tls, _Binds) ->
    hornbeam_doctor_tls:examine(Tls).

secret(Kind, File, {ok, _}) ->
    {ok, ["dashboard: ", File, " has its ", atom_to_list(Kind)], ""};
secret(Kind, File, {error, Problem}) ->
    {wrong, ["dashboard: ", File, ": ", hornbeam_dashboard_secret:text(Problem)], ["The start fails. ", to_do(Problem, Kind, File)]}.

to_do(open, _Kind, File) -> ["chmod 600 ", File];
to_do(foreign, _Kind, File) -> ["Run the server as its owner, or: chown USER ", File];
to_do(eacces, _Kind, File) -> ["The server's user may not read it, or enter a folder above it: chown USER ", File];
to_do(Problem, token, File) when Problem =:= empty; Problem =:= short; Problem =:= enoent ->
    ["Make one: (umask 077; openssl rand -hex 32 > ", File, ")"];
to_do(Problem, password, File) when Problem =:= empty; Problem =:= malformed; Problem =:= enoent ->
    ["It is not the password itself: (umask 077; hornbeam password > ", File, ")"];
to_do(_Problem, _Kind, _File) -> "Take another file.".
