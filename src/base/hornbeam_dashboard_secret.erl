%%% The password and the token of the dashboard, as their files have them; and what is wrong with a file that has none.
%%%
%%% Called by: hornbeam_dashboard_access (at the start of a dashboard), hornbeam_doctor_dashboard. Calls: hornbeam_password (is_hash/1), hornbeam_private_folder
%%% (whose files are ours). Loaded only where there is a dashboard, or somebody asks.
-module(hornbeam_dashboard_secret).

-export([read/2, text/1]).
-export_type([kind/0, problem/0]).

-include_lib("kernel/include/file.hrl").

-type kind() :: password | token.
%% open: others may read or write it. foreign: it is somebody else's. malformed: no hash of a password. short: no token.
-type problem() :: open | foreign | empty | malformed | short | file:posix().

-define(SHORTEST_TOKEN, 20).

%% @doc The hash of the password, or one of the token: the token itself is not kept. The file is its owner's alone, or of a group that may read it: so does
%% Kubernetes mount secrets.
-spec read(kind(), file:name_all()) -> {ok, binary()} | {error, problem()}.
read(Kind, File) ->
    Own = hornbeam_private_folder:own_uid(),
    case {file:read_file_info(File), file:read_file(File)} of
        {{ok, #file_info{mode = Mode}}, {ok, _}} when Mode band 8#027 =/= 0 -> {error, open};
        {{ok, #file_info{uid = Uid}}, {ok, _}} when Uid =/= Own, Uid =/= 0 -> {error, foreign};
        {{ok, _}, {ok, Text}} -> checked(Kind, string:trim(Text));
        {_, {error, Reason}} -> {error, Reason};
        {{error, Reason}, _} -> {error, Reason}
    end.

checked(_Kind, <<>>) ->
    {error, empty};
checked(password, Text) ->
    case hornbeam_password:is_hash(Text) of
        true -> {ok, Text};
        false -> {error, malformed}
    end;
checked(token, Text) when byte_size(Text) >= ?SHORTEST_TOKEN -> {ok, crypto:hash(sha256, Text)};
checked(token, _Text) -> {error, short}.

%% @doc For a person.
-spec text(problem()) -> unicode:chardata().
text(open) -> "others may read or write it; chmod 600";
text(foreign) -> "it is neither yours nor root's";
text(empty) -> "it is empty";
text(malformed) -> "it does not hold what hornbeam password prints";
text(short) -> io_lib:format("a token has ~b characters or more", [?SHORTEST_TOKEN]);
text(Posix) -> file:format_error(Posix).
