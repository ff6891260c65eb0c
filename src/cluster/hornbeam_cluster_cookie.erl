%%% The secret that the nodes of a cluster share: Erlang's cookie, from a file, the environment or, with TLS, from what else they share.
%%%
%%% Called by hornbeam_cluster_distribution. Calls hornbeam_private_folder (whose file is ours). Never takes a cookie from a command line, which every
%%% user of the machine can read, nor from ~/.erlang.cookie. What HORNBEAM_CLUSTER_COOKIE says is taken out of the environment, so that no worker has it, and
%%% kept in a persistent term.
-module(hornbeam_cluster_cookie).

-export([read/1]).

-include_lib("kernel/include/file.hrl").

-define(VARIABLE, "HORNBEAM_CLUSTER_COOKIE").
-define(MIN, 20).
-define(MAX, 255).

-spec read(hornbeam_options:options()) -> {ok, atom()} | {error, hornbeam_options:error()}.
read(#{cluster_cookie_file := File, cluster_insecure := Insecure, cluster_ca := Ca}) ->
    case {File, from_environment()} of
        {<<>>, none} when Insecure -> wrong(["or ", ?VARIABLE, " is needed: with cluster_insecure nothing but the cookie keeps others out"]);
        {<<>>, none} -> {ok, derived(Ca)};
        {<<>>, Text} -> checked(Text, ["environment variable ", ?VARIABLE]);
        {_, _} -> from_file(File)
    end.

wrong(Text) -> {error, {bad_option, cluster_cookie_file, unicode:characters_to_binary(Text)}}.

from_environment() ->
    case os:getenv(?VARIABLE, "") of
        "" ->
            persistent_term:get(?MODULE, none);
        Text ->
            true = os:unsetenv(?VARIABLE),
            ok = persistent_term:put(?MODULE, list_to_binary(Text)),
            list_to_binary(Text)
    end.

%% The owner's alone, or of a group that may read it: so does Kubernetes mount secrets.
from_file(File) ->
    Own = hornbeam_private_folder:own_uid(),
    case {file:read_file_info(File), file:read_file(File)} of
        {{ok, #file_info{mode = Mode}}, {ok, _}} when Mode band 8#027 =/= 0 ->
            wrong([File, ": others may read or write it; chmod 600"]);
        {{ok, #file_info{uid = Uid}}, {ok, _}} when Uid =/= Own, Uid =/= 0 -> wrong([File, ": it is neither yours nor root's"]);
        {{ok, _}, {ok, Text}} -> checked(string:trim(Text), File);
        {{ok, _}, {error, Reason}} -> wrong([File, ": ", file:format_error(Reason)]);
        {{error, Reason}, _} -> wrong([File, ": ", file:format_error(Reason)])
    end.

checked(Text, Where) ->
    case re:run(Text, ["^[!-~]{", integer_to_list(?MIN), ",", integer_to_list(?MAX), "}$"], [dollar_endonly, {capture, none}]) of
        match -> {ok, binary_to_atom(Text, latin1)};
        nomatch -> wrong(io_lib:format("~ts: a cookie has ~b to ~b letters, digits and signs, without blanks", [Where, ?MIN, ?MAX]))
    end.

%% No secret: certificates keep others out. It tells one cluster from another.
derived(File) ->
    {ok, Pem} = file:read_file(File),
    [{'Certificate', First, not_encrypted} | _] = public_key:pem_decode(Pem),
    binary_to_atom(binary:encode_hex(crypto:hash(sha256, ["hornbeam cluster ", First])), latin1).
