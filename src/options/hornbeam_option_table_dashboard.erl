%%% The options of the dashboard: a part of the table of options (hornbeam_option_table, which says what an entry is).
-module(hornbeam_option_table_dashboard).

-export([dashboard/0, is_guarded/1, is_local/1]).

-spec dashboard() -> [hornbeam_option_types:spec()].
dashboard() ->
    [#{group => observability, key => dashboard_bind, metavar => "ADDRESS", type => {list, {custom, hornbeam_option_bind}}, default => [],
       scope => server,
       doc => "Addresses for the dashboard; hornbeam dev has one on 127.0.0.1. One that others can reach needs dashboard_password_file or "
              "dashboard_token_file."},
     #{group => observability, key => dashboard_password_file, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}},
       default => "", scope => server,
       doc => "File with what hornbeam password has printed, for the server's user alone; \"\" for none."},
     #{group => observability, key => dashboard_token_file, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}},
       default => "", scope => server,
       doc => "File with a token of 20 characters or more, for the server's user alone: to sign in with, or as Authorization: Bearer TOKEN. \"\" "
              "for none."},
     #{group => observability, key => dashboard_certfile, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}},
       default => "", scope => server,
       doc => "Certificate in PEM, with the intermediate ones after it: the dashboard then speaks TLS. \"\" for HTTP."},
     #{group => observability, key => dashboard_keyfile, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}},
       default => "", scope => server,
       doc => "Its private key in PEM (keyfile_password, where it is encrypted); \"\" when dashboard_certfile holds it as well."},
     #{group => observability, key => dashboard_hosts, flag => "dashboard-host", metavar => "HOST", type => {list, text}, default => [],
       scope => server,
       doc => "Names by which the dashboard may be called besides IP addresses and localhost; others are refused (DNS rebinding)."}].

%% @doc A check of the whole map of options: whoever can reach the dashboard can see the server's data and restart its workers.
-spec is_guarded(map()) -> ok | {error, {atom(), iodata()}}.
is_guarded(#{dashboard_certfile := <<>>, dashboard_keyfile := <<_, _/binary>>}) ->
    {error, {dashboard_certfile, "is needed beside dashboard_keyfile"}};
is_guarded(#{dashboard_bind := Binds, dashboard_password_file := <<>>, dashboard_token_file := <<>>}) ->
    case [Bind || Bind <- Binds, not is_local(Bind)] of
        [] -> ok;
        [Bind | _] ->
            {error, {dashboard_bind, ["can be reached by others at ", hornbeam_option_bind:format(Bind),
                                      ": it needs dashboard_password_file or dashboard_token_file"]}}
    end;
is_guarded(_) ->
    ok.

%% @doc Whether only this machine reaches it.
-spec is_local(hornbeam_option_bind:bind()) -> boolean().
%% A socket in the file system is its owner's and group's (unix_mode); what somebody else has opened can be anything.
is_local({tcp, {127, _, _, _}, _, _}) -> true;
is_local({tcp, {0, 0, 0, 0, 0, 0, 0, 1}, _, _}) -> true;
is_local({unix, _}) -> true;
is_local(_) -> false.
